"""The one connection by which a process writes, and the audit chain that is its own as long as it holds it.

The chain's slot is a lock of the session, so it is free again when the process dies, on whatever host. It is
for peace only: two processes that write to one slot get in each other's way, but the journal's own key lets
just one of them have each number, and the other goes on behind it.

Another lock of the session says which schema the process knows, so that no migration takes that away from it.
A process that was not connected when all of it was put back, or moved away, goes on with nothing it knows.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from tillit_server.storage.ports import StorageUnavailable
from tillit_server.storage.sql_connect import Database, driver, set_deadline, speaking_of_storage
from tillit_server.storage.sql_schema import RELEASES, SCHEMA

_log = logging.getLogger(__name__)
_MAX_SLOTS = 1024
SLOT_CLASS = 0x54494C54  # "TILT"
"""The class of the advisory locks that are slots."""

# A commit that a power cut may undo, or the promotion of a standby that commits are to wait for, is none,
# whatever is usual on that server, or will be.
_DURABLE = text(
    "SELECT set_config('synchronous_commit',"
    " CASE WHEN usual IN ('off', 'local') THEN 'on' ELSE usual END, false)"
    " FROM current_setting('synchronous_commit') AS usual"
)
_TAKEN = text(
    "SELECT CAST(objid AS integer) FROM pg_locks WHERE locktype = 'advisory'"
    " AND classid = CAST(:class AS oid)"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_TAKE = text("SELECT pg_try_advisory_lock(:class, :slot)")
_JOIN = text("SELECT pg_advisory_lock_shared(:class, :schema)")
_FLOOR = text("SELECT floor FROM tillit_schema")
_LANDMARKS = text("SELECT kind, key FROM record WHERE kind = ANY(CAST(:kinds AS text[])) ORDER BY 1, 2")


class Writer:
    """The connection for writing, with the lowest free slot (1, 2, 3 …) or a given one. For one thread."""

    def __init__(self, database: Database, *, slot: int | None = None, landmarks: Sequence[str] = ()) -> None:
        """Connect and take a slot. Raises `StorageUnavailable`.

        `landmarks`: kinds of records that come only when all is put back from elsewhere, or moved away.
        """
        self._database = database
        self._held: Connection | None = None
        self._landmarks = list(landmarks)
        self._known: Sequence[object] | None = None
        self.replaced = False
        self.slot = slot or 0
        with self.connection(time.monotonic() + database.timeout) as connection:
            if not self.slot:
                self.slot = self._lowest_free(connection)

    @contextmanager
    def connection(self, deadline: float) -> Iterator[Connection]:
        """The connection, made anew where it was lost. Raises `StorageUnavailable`.

        After any error it is given up, and with it whatever was not committed.
        """
        held = self._held
        if held is not None and driver(held).is_stale():
            self.close()
            held = None
        try:
            with speaking_of_storage():
                held = self._held = held or self._connected(deadline)
                set_deadline(held, deadline)
                yield held
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection and the slot."""
        held, self._held = self._held, None
        if held is not None:
            # What is wrong with it was said when it mattered.
            with suppress(SQLAlchemyError):
                held.close()

    def _connected(self, deadline: float) -> Connection:
        opened = self._database.detached(deadline)
        try:
            opened.execute(_DURABLE)
            _join(opened)
            self._require_same(opened)
            if self.slot and not opened.execute(_TAKE, {"class": SLOT_CLASS, "slot": self.slot}).scalar():
                _log.warning("audit slot %d is shared with another process", self.slot)
        except BaseException:
            opened.close()
            raise
        return opened

    def _require_same(self, connection: Connection) -> None:
        """Raise `StorageUnavailable`, for good, if all was put back or moved while we were not connected."""
        found = connection.execute(_LANDMARKS, {"kinds": self._landmarks}).all()
        if self._known is None:
            self._known = found
        self.replaced = self.replaced or found != self._known
        if self.replaced:
            raise StorageUnavailable("the database was restored, or moved, under us: start anew")

    @staticmethod
    def _lowest_free(connection: Connection) -> int:
        for _ in range(_MAX_SLOTS):
            taken = set(connection.execute(_TAKEN, {"class": SLOT_CLASS}).scalars())
            slot = next(number for number in range(1, _MAX_SLOTS + 2) if number not in taken)
            if slot > _MAX_SLOTS:
                break
            if connection.execute(_TAKE, {"class": SLOT_CLASS, "slot": slot}).scalar():
                return slot
        raise StorageUnavailable("all audit slots are taken")


def _join(connection: Connection) -> None:
    """Be one of those that use the schema we know, unless it was taken away while we were not connected."""
    connection.execute(_JOIN, {"class": RELEASES, "schema": SCHEMA})
    if connection.execute(_FLOOR).scalar_one() > SCHEMA:  # looked at behind the lock
        raise StorageUnavailable("the database is for later releases by now")
