"""Threat S6: somebody else holds the lock, or the turn."""

import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from support.stores import (
    PROCESSES,
    START,
    hold_exclusively,
    note,
    open_store,
)
from tillit_server.storage import sqlite_file
from tillit_server.storage.ports import Claim, Settlement, StorageUnavailable

PAYLOAD = Settlement(claims=(Claim("proof", "p", START + 60),), entries=(note("issued"),))


def test_s6_a_stranger_with_the_exclusive_lock(tmp_path: Path) -> None:
    """Every caller hears 503 within a second, reading goes on, and afterwards writing works at once."""
    path = tmp_path / "store.sqlite"
    store = open_store(path)
    held, let_go = PROCESSES.Event(), PROCESSES.Event()
    stranger = PROCESSES.Process(target=hold_exclusively, args=(path, held, let_go))
    stranger.start()
    held.wait()
    waited: list[float] = []

    def ask() -> None:
        begin = time.monotonic()
        with pytest.raises(StorageUnavailable):
            store.settle(PAYLOAD)
        waited.append(time.monotonic() - begin)

    callers = [threading.Thread(target=ask) for _ in range(8)]
    for caller in callers:
        caller.start()
    assert not store.seen("proof", "p")
    for caller in callers:
        caller.join()
    let_go.set()
    stranger.join()
    begin = time.monotonic()
    store.settle(PAYLOAD)

    assert len(waited) == 8
    assert max(waited) < 1.0
    assert time.monotonic() - begin < 1.0
    assert store.journal.heads()[0].seq == 1
    store.close()


class LetGoLate:
    """A connection whose second try begins in time and is made when all the time is over and the lock is free."""

    def __init__(self, real: sqlite3.Connection, stranger: sqlite3.Connection, seconds: float) -> None:
        self._real, self._stranger, self._tries = real, stranger, 0
        self._over = time.monotonic() + seconds

    def execute(self, statement: str) -> sqlite3.Cursor:
        """Run it, the second one late."""
        self._tries += 1
        if self._tries == 2:
            self._stranger.rollback()
            while time.monotonic() < self._over:
                pass
        return self._real.execute(statement)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_s6_a_lock_that_is_let_go_too_late_changes_nothing(tmp_path: Path) -> None:
    """When the lock becomes free as the time runs out, nothing is done behind the back of who heard 503."""
    path = tmp_path / "store.sqlite"
    store, stranger = open_store(path, timeout=0.05), sqlite3.connect(path)
    stranger.execute("BEGIN EXCLUSIVE")
    store._connection = LetGoLate(store._connection, stranger, 0.1)
    with pytest.raises(StorageUnavailable, match="locked"):
        store.settle(PAYLOAD)

    assert not store.seen("proof", "p")
    assert store.journal.heads() == []
    store.settle(PAYLOAD)
    store.close()
    stranger.close()


class Hasty:
    """A connection that is told `busy` at once, a few times, at the change to the log, as two that change it are."""

    def __init__(self, real: sqlite3.Connection) -> None:
        self._real, self.refusals = real, 3

    def execute(self, statement: str) -> sqlite3.Cursor:
        """Run it, or be told that it is busy."""
        if "journal_mode" in statement and self.refusals:
            self.refusals -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return self._real.execute(statement)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_s6_whoever_opens_waits_also_where_sqlite_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is told `busy` without having waited tries again, and starts."""
    real = sqlite_file.connect
    monkeypatch.setattr(sqlite_file, "connect", lambda path, *, timeout: Hasty(real(path, timeout=timeout)))
    connection: Any = sqlite_file.open_for_writing(tmp_path / "store.sqlite")

    assert connection.refusals == 0
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_s6_a_neighbour_that_is_stuck_in_its_turn(tmp_path: Path) -> None:
    """When another worker never gives its turn back, callers hear 503 in time, and go on when it does."""
    path = tmp_path / "store.sqlite"
    store, neighbour = open_store(path, timeout=0.2), open_store(path, slot=2)
    neighbour._turn.acquire()
    for _ in range(2):
        begin = time.monotonic()
        with pytest.raises(StorageUnavailable, match="in time"):
            store.settle(PAYLOAD)
        assert time.monotonic() - begin < 0.5
    neighbour._turn.release()
    store.settle(PAYLOAD)

    assert store.journal.heads()[0].seq == 1
    neighbour.close()
    store.close()


def test_s6_four_writers_share_the_turn(tmp_path: Path) -> None:
    """Four instances that never pause all get through, none is starved to its deadline."""
    stores = [open_store(tmp_path / "store.sqlite", slot=slot) for slot in range(1, 5)]
    waits: list[float] = []

    def run(store: Any) -> None:
        for number in range(60):
            begin = time.monotonic()
            store.journal.append(note(str(number)))
            waits.append(time.monotonic() - begin)

    writers = [threading.Thread(target=run, args=(store,)) for store in stores]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert len(waits) == 240
    assert [head.seq for head in stores[0].journal.heads()] == [60] * 4
    for store in stores:
        store.close()
