"""What lasts, on a PostgreSQL server that any number of hosts share: records and the journal."""

import time
from collections.abc import Callable, Collection, Hashable
from contextlib import suppress

from sqlalchemy import text

from tillit_server.storage.forgetting import KEEP, Forgetting
from tillit_server.storage.group_commit import GroupCommit
from tillit_server.storage.ports import Journal, Linker, Records, Settlement, StorageUnavailable
from tillit_server.storage.sealing import Sealer
from tillit_server.storage.spending import Guard, Standing
from tillit_server.storage.sql_commit import SqlCommitter
from tillit_server.storage.sql_connect import Database
from tillit_server.storage.sql_shapes import SqlJournal, SqlRecords
from tillit_server.storage.sql_writer import Writer
from tillit_server.storage.work import Prepared, Preparer

# A count alone could come again in a database that was put back, or on a standby that lagged. The start tells
# servers apart, and which transactions the counts are from tells apart what was put back into a running one.
_SETTLED = text(
    "SELECT CAST(pg_postmaster_start_time() AS text), string_agg(concat_ws(' ', slot, count, xmin), ','"
    " ORDER BY slot) FROM settled"
)
_STANDING = text("SELECT pg_is_in_recovery(), extract(epoch FROM clock_timestamp())")
_PRUNED = 64
_PRUNE_SECONDS = 0.1
_PRUNE = text(
    "WITH dead AS (SELECT kind, key FROM record WHERE until < :before ORDER BY until LIMIT :rows"
    " FOR UPDATE SKIP LOCKED),"
    " gone AS (DELETE FROM record USING dead WHERE record.kind = dead.kind AND record.key = dead.key"
    " RETURNING record.kind, record.version)"
    # The reader of a record that is gone must not overwrite a later one of that name.
    " INSERT INTO removed (kind, version) SELECT kind, max(version) FROM gone GROUP BY kind ORDER BY kind"
    " ON CONFLICT (kind) DO UPDATE SET version = greatest(removed.version, excluded.version)"
)


class SqlStore:
    """`shared.Lasting` on PostgreSQL; settlements of one process share transactions.

    Safe for threads; `database` and `writer` stay their owner's. Records of `unsealed_kinds` are stored as
    given. `steady` is a clock that nobody can set; `on_commit` hears the seconds of each transaction.
    """

    def __init__(
        self,
        database: Database,
        writer: Writer,
        *,
        clock: Callable[[], float],
        sealer: Sealer,
        linker: Linker,
        key_hash_secret: bytes,
        unsealed_kinds: Collection[str] = frozenset({"ring"}),
        steady: Callable[[], float] = time.monotonic,
        on_commit: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._database = database
        self._writer = writer
        self._clock = clock
        self._forgetting = Forgetting(steady)
        self._on_commit = on_commit
        self._closed = False
        self._preparer = Preparer(sealer, linker.digest, key_hash_secret, unsealed_kinds)
        self._committer = SqlCommitter(writer, linker, clock)
        self._group = GroupCommit(self._commit, self._tidy, _EverybodysTurn(), database.timeout)
        self.records: Records = SqlRecords(self._group.submit, self._preparer, database, clock)
        self.journal: Journal = SqlJournal(self._group.submit, self._preparer, database)

    def prepare(self, settlement: Settlement, *, durable: bool = True) -> Callable[[Guard | None], None]:
        """Do all that needs no server; `shared.Lasting` has the promise."""
        work = self._preparer.prepare(Settlement(puts=settlement.puts, entries=settlement.entries))

        def write(guard: Guard | None) -> None:
            work.guard = guard
            if durable or work.puts or guard or not self._group.post(work):
                self._group.submit(work)

        return write

    def ping(self) -> None:
        """Read something. Raises `StorageUnavailable`."""
        if self._closed:
            raise StorageUnavailable("the store is closed")
        if self._writer.replaced:
            raise StorageUnavailable("the database was restored, or moved, under us")
        self._database.rows(text("SELECT FROM removed LIMIT 1"))

    def settled(self) -> Hashable:
        """What each settlement with a guard changes, on any host, and what then never comes again.

        Raises `StorageUnavailable`.
        """
        ((server, counts),) = self._database.rows(_SETTLED)
        return server, counts

    def standing(self) -> Standing:
        """What the server says of itself. Raises `StorageUnavailable`, also if it is a standby."""
        ((standby, now),) = self._database.rows(_STANDING)
        if standby:
            raise StorageUnavailable("the database is a standby: nothing can be written")
        return Standing(time=float(now))

    def close(self) -> None:
        """Write what was accepted without waiting."""
        self._closed = True
        self._group.close()

    def _commit(self, batch: list[Prepared], deadline: float) -> None:
        begun = time.monotonic()
        try:
            self._committer.commit(batch, deadline)
            self._on_commit(time.monotonic() - begun)
        except Exception as error:  # noqa: BLE001  (whatever it is, every waiting thread must hear of it)
            for work in batch:
                work.outcome = error

    def _tidy(self) -> None:
        now = self._clock()
        if self._forgetting.due(now):
            # What is not forgotten now is forgotten next time.
            with suppress(StorageUnavailable), self._writer.connection(_soon()) as connection:
                connection.execute(_PRUNE, {"before": now - KEEP, "rows": _PRUNED})


class _EverybodysTurn:
    """The server itself lets many write at once."""

    def try_acquire(self) -> bool:
        return True

    def acquire(self) -> None:
        pass

    def release(self) -> None:
        pass


def _soon() -> float:
    return time.monotonic() + _PRUNE_SECONDS
