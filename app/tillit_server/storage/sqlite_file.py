"""Opening the one SQLite file: its schema, its health, and what its errors mean to us."""

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tillit_server.storage.ports import StorageCorrupt, StorageRefused, StorageTooNew, StorageUnavailable

DATABASE = "tillit.sqlite"
"""The name of the file in the data directory."""
SCHEMA_VERSION = 2
_APPLICATION_ID = 0x54494C54  # "TILT"
_CHECK_BUDGET = 1.0
_CHECK_STEPS = 100_000
_OPEN_TIMEOUT = 5.0
RETRY = 0.005
"""Seconds between two tries where SQLite does not wait by itself."""
_checked: set[tuple[int, ...]] = set()

# Without an adapter of their own, bytes are asked at every use, by three failing look-ups, whether they would
# rather be something else: two thousand instructions for each digest and each entry.
sqlite3.register_adapter(bytes, bytes)

_SCHEMA = """
CREATE TABLE once (digest BLOB PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX once_until ON once (until);
CREATE TABLE pruned (low REAL NOT NULL, high REAL NOT NULL);
CREATE TABLE ticket (
    digest BLOB PRIMARY KEY, value BLOB NOT NULL, until REAL NOT NULL, redeemed INTEGER NOT NULL
);
CREATE INDEX ticket_until ON ticket (until);
CREATE TABLE record (
    kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, version INTEGER NOT NULL, until REAL,
    PRIMARY KEY (kind, key)
);
CREATE INDEX record_until ON record (until) WHERE until IS NOT NULL;
CREATE TABLE removed (kind TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE journal (id INTEGER PRIMARY KEY, public BLOB NOT NULL, sealed BLOB NOT NULL, link BLOB NOT NULL);
CREATE TABLE label (
    period TEXT NOT NULL, label BLOB NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (period, label, id)
) WITHOUT ROWID;
"""

_MIGRATIONS = {
    1: """
ALTER TABLE record ADD COLUMN until REAL;
CREATE INDEX record_until ON record (until) WHERE until IS NOT NULL
""",
}
"""What makes a file of that schema one of the next."""

RESTORE_HINT = (
    "Stop all workers, keep a copy of the file, and put back the last backup "
    "(or salvage with the .recover command of the sqlite3 shell). "
    "Never start on an empty file instead: ids spent in this one would be good again"
)

_FATAL = {"SQLITE_IOERR_FSYNC", "SQLITE_IOERR_DIR_FSYNC", "SQLITE_IOERR_READ", "SQLITE_IOERR_CORRUPTFS"}
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_AWAY = {
    sqlite3.SQLITE_BUSY: "locked by another process",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "read-only",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_IOERR: "the file cannot be read or written",
    sqlite3.SQLITE_PROTOCOL: "locked by another process",
    sqlite3.SQLITE_PERM: "no permission",
    sqlite3.SQLITE_CONSTRAINT: "another process writes to our audit chain",
}


def is_fatal(error: sqlite3.Error) -> bool:
    """Whether to end the process: after a failed fsync the kernel may have dropped what it was given."""
    return getattr(error, "sqlite_errorname", "") in _FATAL or _primary(error) in _CORRUPT


def is_busy(error: sqlite3.Error) -> bool:
    """Whether somebody outside our line of turns holds SQLite's own lock."""
    return _primary(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}


def unavailable(error: sqlite3.Error) -> StorageUnavailable | None:
    """What to tell the caller, or None when the error is a defect of ours."""
    reason = "the disk has failed" if is_fatal(error) else _AWAY.get(_primary(error))
    return None if reason is None else StorageUnavailable(reason)


def _primary(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def connect(path: Path, *, timeout: float = 0.0) -> sqlite3.Connection:
    """Open a connection that any one thread at a time may use, without Python's own transactions."""
    uri = f"{path.resolve().as_uri()}?mode=rw"
    connection = sqlite3.connect(
        uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        connection.execute("PRAGMA synchronous=FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open the store's file, made where missing (mode 0600), and check it as far as a second allows.

    Raises `StorageCorrupt`, `StorageTooNew`, `StorageRefused` (not ours, no WAL), `StorageUnavailable`
    (locked, read-only, disk full, directory gone).
    """
    try:
        # Made without opening it: closing any descriptor of the file would drop SQLite's locks in this
        # process.
        os.mknod(path, 0o600 | stat.S_IFREG)
    except FileExistsError:
        pass
    except OSError as error:
        raise StorageUnavailable(f"the store cannot be opened: {error.strerror}") from error
    try:
        connection = connect(path, timeout=_OPEN_TIMEOUT)
    except sqlite3.Error as error:
        raise _refusal(error, path) from error
    try:
        _prepare(connection, path)
        _check(connection, path)
        # From here on turns are taken in our own line; see `turns`.
        connection.execute("PRAGMA busy_timeout=0")
        connection.execute("PRAGMA wal_autocheckpoint=8000")
        connection.execute("PRAGMA secure_delete=ON")
    except sqlite3.Error as error:
        connection.close()
        raise _refusal(error, path) from error
    except BaseException:
        connection.close()
        raise
    return connection


def new_file(path: Path) -> sqlite3.Connection:
    """Make a store's file (mode 0600) to be filled by one process and then left alone.

    Neither a log nor a sync: its maker brings it to disk when it is whole. Raises `sqlite3.Error`,
    `StorageRefused` when it is there already, `StorageUnavailable`.
    """
    try:
        os.mknod(path, 0o600 | stat.S_IFREG)
    except FileExistsError:
        raise StorageRefused(f"{path} is there already", "Remove it, or name another place") from None
    except OSError as error:
        raise StorageUnavailable(f"{path} cannot be made: {error.strerror}") from error
    connection = connect(path)
    try:
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_sealed_file(path: Path) -> sqlite3.Connection:
    """Open, for reading alone, a file that nobody writes to any more; nothing is made beside it.

    What follows the database in the file is not looked at, nor a log beside it. Raises `sqlite3.Error`.
    """
    return _connect_for_reading(path, "mode=ro&immutable=1")


def connect_evidence(path: Path) -> sqlite3.Connection:
    """Open, for reading alone, the file of a store that was left as it lay, with the log beside it.

    Raises `sqlite3.Error`.
    """
    return _connect_for_reading(path, "mode=ro")


def _connect_for_reading(path: Path, how: str) -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?{how}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


def fold(path: Path) -> None:
    """Make one file of a store that nobody has open, its log included. Raises `sqlite3.Error`."""
    connection = connect(path)
    try:
        connection.execute("PRAGMA journal_mode=DELETE")
    finally:
        connection.close()


def _refusal(error: sqlite3.Error, path: Path) -> StorageRefused | StorageUnavailable:
    if _primary(error) in _CORRUPT:
        return StorageCorrupt(f"{path} is damaged: {error}", RESTORE_HINT)
    return unavailable(error) or StorageRefused(f"{path}: {error}", RESTORE_HINT)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the file to the present schema, waiting for others who do the same.

    SQLite does not wait where two who read could wait for each other, as at the change to a write-ahead log.
    """
    end = time.monotonic() + _OPEN_TIMEOUT
    while True:
        try:
            return _migrate(connection, path)
        except sqlite3.Error as error:
            if not is_busy(error) or time.monotonic() > end:
                raise
        time.sleep(RETRY)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    with _transaction(connection, "DEFERRED"):
        _recognise(connection, path)
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise StorageRefused(f"{path} cannot use a write-ahead log", "Put the data on a local file system")
    with _transaction(connection, "IMMEDIATE"):
        version = _recognise(connection, path)
        steps = [_MIGRATIONS[older] for older in range(version, SCHEMA_VERSION)] if version else [_SCHEMA]
        for statement in ";".join(steps).split(";"):
            connection.execute(statement)
        if not version:
            connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
        # Written every time: a file that is read-only, or on a full disk, shows itself now.
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


@contextmanager
def _transaction(connection: sqlite3.Connection, mode: str) -> Iterator[None]:
    connection.execute(f"BEGIN {mode}")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _recognise(connection: sqlite3.Connection, path: Path) -> int:
    """The version of the schema, 0 if there is none; refuses files of others and those of a later release.

    In a transaction: another process may be making a store of the file.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if owner != _APPLICATION_ID and (owner or tables):
        raise StorageRefused(f"{path} is not a store of this service", "Check the path in the settings")
    if version > SCHEMA_VERSION:
        raise StorageTooNew(
            f"{path} has schema {version}, this release knows {SCHEMA_VERSION}",
            "Start the newer release, or put back the backup made before the upgrade",
        )
    return int(version) if tables else 0


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """SQLite's own check, once in a process, cut off after a second.

    A large file must not keep a respawned worker away; every value and every entry proves itself when read.
    """
    found = path.stat()
    state = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
    if state in _checked:
        return
    end = time.monotonic() + _CHECK_BUDGET
    connection.set_progress_handler(lambda: time.monotonic() > end, _CHECK_STEPS)
    try:
        rows = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_INTERRUPT:
            raise
        rows = [("ok",)]
    finally:
        connection.set_progress_handler(None, 0)
    if rows != [("ok",)]:
        raise StorageCorrupt(f"{path} is damaged: {rows[0][0]}", RESTORE_HINT)
    _checked.add(state)


def identity(path: Path) -> tuple[int, int]:
    """Which file lies at the path. Raises `StorageUnavailable` when there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116  (in every commit, and Path.stat costs twice as much)
    except OSError as error:
        raise StorageUnavailable(f"the store is away: {error.strerror}") from error
    return found.st_dev, found.st_ino
