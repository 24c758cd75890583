"""The embedded backend: one SQLite file that all workers of one machine share."""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from tillit_server.storage.group_commit import GroupCommit
from tillit_server.storage.ports import (
    Claim,
    Journal,
    Linker,
    Once,
    Records,
    Settlement,
    StorageUnavailable,
    Tickets,
)
from tillit_server.storage.sealing import Sealer
from tillit_server.storage.sqlite_commit import Committer
from tillit_server.storage.sqlite_file import (
    RETRY,
    identity,
    is_busy,
    is_fatal,
    open_for_writing,
    unavailable,
)
from tillit_server.storage.sqlite_housekeeping import Housekeeper
from tillit_server.storage.sqlite_read import Readers
from tillit_server.storage.sqlite_shapes import SqliteJournal, SqliteOnce, SqliteRecords, SqliteTickets
from tillit_server.storage.turns import Turn
from tillit_server.storage.work import Prepared, Preparer

_log = logging.getLogger(__name__)
_EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h
_CHECKPOINT_PAGES = 1000
_PAGES_EACH = 4  # what a settlement with two claims adds to the log, roughly


def end_process(reason: str) -> None:
    """Log and leave at once: after a failed fsync, nothing this process believes of the file is certain."""
    _log.critical("storage failed for good, ending this process: %s", reason)
    logging.shutdown()
    os._exit(_EXIT_CODE)


class SqliteStore:
    """A `Store` on one SQLite file in WAL mode; what it settles is on disk when it says so.

    Records of `unsealed_kinds` are stored as given (their owner has sealed them). `on_fatal` is called when
    the disk has failed in a way that must not be retried. `steady` is a clock that nobody can set.
    `on_commit` hears the seconds of each transaction. Safe for threads; each process makes its own instance,
    after any fork.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float],
        sealer: Sealer,
        linker: Linker,
        key_hash_secret: bytes,
        timeout: float = 0.8,
        unsealed_kinds: Collection[str] = frozenset({"ring"}),
        on_fatal: Callable[[str], None] = end_process,
        steady: Callable[[], float] = time.monotonic,
        on_commit: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        """Open the file. Raises `StorageRefused` with a hint (damaged, too new), or `StorageUnavailable`."""
        self._connection = open_for_writing(path)
        self._path = path
        self._on_fatal = on_fatal
        self._on_commit = on_commit
        self._broken = ""
        self._moved = False
        self._scrub = False
        self._closing = threading.Event()
        self._pages = 0
        self._identity = identity(path)
        self._preparer = Preparer(sealer, linker.digest, key_hash_secret, unsealed_kinds)
        housekeeper = Housekeeper(self._connection, steady)
        self._committer = Committer(self._connection, linker, clock, housekeeper)
        self._readers = Readers(path, timeout)
        self._turn = Turn(path)
        self._group = GroupCommit(self._commit, self._tidy, self._turn, timeout)
        parts = (self._group.submit, self._preparer, self._readers)
        self._once = SqliteOnce(*parts, clock)
        self.once: Once = self._once
        self.tickets: Tickets = SqliteTickets(*parts, clock)
        self.records: Records = SqliteRecords(*parts, clock)
        self.journal: Journal = SqliteJournal(*parts)

    def settle(self, settlement: Settlement, *, durable: bool = True) -> None:
        """Do all of it or none of it; `ports.Store` has the promise."""
        work = self._preparer.prepare(settlement)
        entries_only = not (work.claims or work.redemptions or work.issues or work.puts)
        if durable or not entries_only or not self._group.post(work):
            self._group.submit(work)

    def seen(self, space: str, key: str) -> bool:
        """A look, not a judgement: True when the id is already spent."""
        return self._once.seen(space, key)

    def first_seen(self, claims: Sequence[Claim]) -> Claim | None:
        """One look for several ids: the first of them that is already spent."""
        return self._once.first_seen(claims)

    def ping(self) -> None:
        """Read something. Raises `StorageUnavailable`."""
        if self._broken:
            raise StorageUnavailable(self._broken)
        self._readers.rows("SELECT 1 FROM removed LIMIT 1")

    def close(self) -> None:
        """Write what was accepted without waiting, and let go of the files."""
        if self._closing.is_set():
            return
        finished = self._group.close()
        self._closing.set()
        self._readers.close()
        if finished:
            self._connection.close()
            self._turn.close()

    def _commit(self, batch: list[Prepared], deadline: float) -> None:
        """Settle a batch or say why not; called by the thread that leads, in this process's turn."""
        try:
            self._begin(deadline)
            begun = time.monotonic()
            self._committer.commit(batch)
            self._on_commit(time.monotonic() - begun)
            self._check_identity()
        except sqlite3.Error as error:
            self._roll_back()
            if is_fatal(error):
                self._fail(f"writing failed: {error}")
            for work in batch:
                work.outcome = unavailable(error) or error
        except Exception as error:  # noqa: BLE001  (whatever it is, every waiting thread must hear of it)
            self._roll_back()
            for work in batch:
                work.outcome = error
        else:
            self._pages += sum(_PAGES_EACH + len(work.entries) for work in batch)
            self._scrub = self._scrub or any(work.forget is not None for work in batch)

    def _begin(self, deadline: float) -> None:
        if self._broken:
            raise StorageUnavailable(self._broken)
        if self._moved:
            self._check_identity()
        busy: sqlite3.Error | None = None  # held by a stranger: our own processes wait in line for their turn
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                busy = error
                if not is_busy(error) or time.monotonic() > deadline or self._closing.wait(RETRY):
                    raise
            else:
                # Whoever waits has been told that it failed: let go in the very moment, it comes too late.
                if busy is not None and time.monotonic() > deadline:
                    raise busy
                return

    def _check_identity(self) -> None:
        """After a commit: what was written to a file that has moved, no other process will ever see."""
        self._moved = True
        if identity(self._path) != self._identity:
            raise StorageUnavailable("the file of the store was moved or replaced")
        self._moved = False

    def _tidy(self) -> None:
        """Move the log into the database, after the answers and before the next process has its turn."""
        if (self._pages < _CHECKPOINT_PAGES and not self._scrub) or self._broken:
            return
        self._pages = 0
        try:
            if self._scrub:
                # What was destroyed must not live on in the log; a reader may make us wait a round.
                busy, *_ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                self._scrub = bool(busy)
            else:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error as error:
            # Whatever else it is, the log still holds everything, and a later round will try again.
            if is_fatal(error):
                self._fail(f"moving the log failed: {error}")

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._fail(f"rolling back failed: {error}")

    def _fail(self, reason: str) -> None:
        self._broken = reason
        self._on_fatal(reason)
