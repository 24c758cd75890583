"""Whether a database is one that this release may use.

Schemas are numbered. A step up either expands (the release before goes on with what it knows) or contracts,
and then raises the floor: the oldest schema whose release may still use the database. So two releases can
run side by side while an upgrade goes from host to host. Every process holds a shared lock on the schema that
it knows, and the floor rises above none that is held: no step takes away what a running release needs.
"""

from sqlalchemy import Connection, text

from tillit_server.storage.ports import StorageRefused, StorageTooNew
from tillit_server.storage.sql_connect import Database

SCHEMA = 1
"""The schema this release was written for."""

VERSION_TABLE = "tillit_migration"
MIGRATION_LOCK = 0x74696C6C6974  # "tillit"
RELEASES = 0x54494C52  # "TILR"
"""The class of the locks that say which schemas are in use."""

UP = "Run `tillit migrate up` with this release's settings"

_EXISTS = text("SELECT to_regclass(:table)::text").bindparams(table=VERSION_TABLE)
_NUMBERS = text("SELECT version_num, floor FROM tillit_migration, tillit_schema")
_ALONE = text("SELECT pg_try_advisory_xact_lock(:class, :schema)")
_RAISE = text("UPDATE tillit_schema SET floor = :floor")
_FSYNC = text("SELECT current_setting('fsync')")


def found_schema(database: Database) -> tuple[int, int]:
    """The database's schema and its floor; zeros where there is none. Raises `StorageUnavailable`."""
    if database.rows(_EXISTS)[0][0] is None:
        return 0, 0
    rows = database.rows(_NUMBERS)
    return (int(rows[0][0]), int(rows[0][1])) if rows else (0, 0)


def require_schema(database: Database) -> None:
    """Raise `StorageRefused`, with the command to run, unless this release may use the database.

    Raises `StorageUnavailable` too.
    """
    schema, floor = found_schema(database)
    if schema < SCHEMA:
        what = f"has schema {schema}" if schema else "has no tables of ours yet"
        raise StorageRefused(f"the database {what}, this release needs schema {SCHEMA}", UP)
    if floor > SCHEMA:
        raise StorageTooNew(
            f"the database has schema {schema} for releases from schema {floor}, this one knows {SCHEMA}",
            "Start the newer release; `tillit migrate status` shows where the database stands",
        )


def raise_floor(connection: Connection, floor: int) -> None:
    """What a contracting step does first: only releases that know schema ``floor`` may go on from here.

    Raises `StorageRefused` while a process of an older one is connected; nobody can connect until the step's
    transaction has ended, and then sees the new floor.
    """
    for schema in range(1, floor):
        if not connection.execute(_ALONE, {"class": RELEASES, "schema": schema}).scalar():
            raise StorageRefused(
                f"a release that knows schema {schema} alone is still running",
                "Upgrade every host to the release before this one, then run `tillit migrate up` again",
            )
    connection.execute(_RAISE, {"floor": floor})


def require_durable(database: Database) -> None:
    """Raise `StorageRefused` if what the server acknowledges does not outlive a power cut."""
    if database.rows(_FSYNC)[0][0] != "on":
        raise StorageRefused("the database server runs with fsync off", "Set fsync = on in postgresql.conf")
