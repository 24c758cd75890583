"""The first schema: records, journal, count of settlements, and the floor: which releases may use it all."""

from alembic import op

revision = "0001"
down_revision = None

_SCHEMA = (
    """CREATE TABLE record (
        kind text NOT NULL, key bytea NOT NULL, value bytea NOT NULL, version bigint NOT NULL,
        until double precision, PRIMARY KEY (kind, key)
    )""",
    "CREATE INDEX record_until ON record (until) WHERE until IS NOT NULL",
    "CREATE TABLE removed (kind text PRIMARY KEY, version bigint NOT NULL)",
    """CREATE TABLE journal (
        slot integer NOT NULL, seq bigint NOT NULL, public bytea NOT NULL, sealed bytea NOT NULL,
        link bytea NOT NULL, PRIMARY KEY (slot, seq)
    )""",
    """CREATE TABLE label (
        period text NOT NULL, label bytea NOT NULL, slot integer NOT NULL, seq bigint NOT NULL,
        PRIMARY KEY (period, label, slot, seq)
    )""",
    "CREATE TABLE settled (slot integer PRIMARY KEY, count bigint NOT NULL)",
    "CREATE TABLE tillit_schema (floor integer NOT NULL)",
    "INSERT INTO tillit_schema VALUES (1)",
)


def upgrade() -> None:
    """Make the tables. Ciphertext and hashes do not compress, so the server need not try."""
    for statement in _SCHEMA:
        op.execute(statement)
    for table, column in (("record", "value"), ("journal", "sealed")):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL")
