"""Threats S7 and U3 at room level: nothing is acknowledged that is not durable, and the store recovers by itself."""

import errno
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from support.stores import (
    AUDIT_SECRET,
    START,
    note,
    open_store,
)
from tillit_server.audit.chain import chain_secret, verify
from tillit_server.storage.ports import Claim, Settlement, StorageUnavailable

PAYLOAD = Settlement(claims=(Claim("proof", "p", START + 60),), entries=(note("issued"),))


def test_u3_the_directory_goes_and_comes_back(tmp_path: Path) -> None:
    """Writes into a file that nobody can find again are not acknowledged; once it is back, they are."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    store = open_store(home / "store.sqlite")
    store.journal.append(note("before"))
    home.rename(elsewhere)
    with pytest.raises(StorageUnavailable):
        store.settle(PAYLOAD)
    elsewhere.rename(home)
    store.journal.append(note("after"))

    assert verify(store.journal, chain_secret(AUDIT_SECRET)).intact
    store.close()


def test_u3_the_file_is_replaced_while_we_run(tmp_path: Path) -> None:
    """A backup put back under a running worker is never written beside: 503 until the restart."""
    path = tmp_path / "store.sqlite"
    store = open_store(path)
    store.journal.append(note("before"))
    shutil.copy(path, tmp_path / "backup")
    (tmp_path / "backup").rename(path)
    with pytest.raises(StorageUnavailable, match="replaced"):
        store.settle(PAYLOAD)
    with pytest.raises(StorageUnavailable, match="replaced"):
        store.settle(PAYLOAD)
    store.close()


@pytest.mark.parametrize("what", ["missing", "a file", "a directory in its place"])
def test_a_place_that_cannot_be_used(tmp_path: Path, what: str) -> None:
    """Opening fails with a reason, not with a traceback of SQLite."""
    path = tmp_path / "data" / "store.sqlite"
    if what == "a file":
        (tmp_path / "data").write_text("")
    elif what == "a directory in its place":
        path.mkdir(parents=True)
    with pytest.raises(StorageUnavailable):
        open_store(path)


def failing(code: int, name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(name)
    error.sqlite_errorcode = code
    error.sqlite_errorname = name
    return error


def test_s7_a_failed_fsync_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported once, never tried again, and nothing is acknowledged ever after."""
    reasons: list[str] = []
    store = open_store(tmp_path / "store.sqlite", on_fatal=reasons.append)
    execute = store._committer._execute

    def fail_to_commit(query: str, *values: Any) -> Any:
        if query == "COMMIT":
            raise failing(sqlite3.SQLITE_IOERR_FSYNC, "SQLITE_IOERR_FSYNC")
        return execute(query, *values)

    monkeypatch.setattr(store._committer, "_execute", fail_to_commit)
    with pytest.raises(StorageUnavailable, match="failed"):
        store.settle(PAYLOAD)
    monkeypatch.undo()
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            store.settle(PAYLOAD)
    with pytest.raises(StorageUnavailable):
        store.ping()

    assert len(reasons) == 1
    store.close()


def test_a_write_that_fails_does_not_move_the_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed commit the next entry takes the number and the link that the failed one would have had."""
    store = open_store(tmp_path / "store.sqlite")
    store.journal.append(note("one"))
    execute = store._committer._execute

    def full(query: str, *values: Any) -> Any:
        if query == "COMMIT":
            raise failing(sqlite3.SQLITE_FULL, "SQLITE_FULL")
        return execute(query, *values)

    monkeypatch.setattr(store._committer, "_execute", full)
    with pytest.raises(StorageUnavailable, match="full"):
        store.settle(PAYLOAD)
    monkeypatch.undo()
    store.settle(PAYLOAD)
    report = verify(store.journal, chain_secret(AUDIT_SECRET))

    assert (report.intact, report.entries) == (True, 2)
    store.close()


def test_a_defect_in_one_commit_is_everybodys_error_and_nobodys_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even an unexpected exception reaches the caller, and the store goes on afterwards."""
    store = open_store(tmp_path / "store.sqlite")

    def broken(*_: Any) -> Any:
        raise OSError(errno.EPIPE, "defect")

    monkeypatch.setattr(store._committer, "_judge", broken)
    with pytest.raises(OSError, match="defect"):
        store.settle(PAYLOAD)
    monkeypatch.undo()
    store.settle(PAYLOAD)

    assert store.seen("proof", "p")
    store.close()


def test_refusals_wait_for_the_store_to_come_back(tmp_path: Path) -> None:
    """Entries that nobody waits for survive a time in which the store is away."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    store = open_store(home / "store.sqlite")
    home.rename(elsewhere)
    store.settle(Settlement(entries=(note("refused"),)), durable=False)
    with pytest.raises(StorageUnavailable):
        store.settle(PAYLOAD)
    elsewhere.rename(home)
    store.close()
    store = open_store(home / "store.sqlite")
    texts = [entry.public for entry in store.journal.read(1)]

    assert note("refused").public in texts
    store.close()
