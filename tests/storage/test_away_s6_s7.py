"""Threats S6, S7 and U3 at room level: the store is away, says so in time, and comes back by itself."""

import errno
import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from support.stores import (
    AUDIT_SECRET,
    PROCESSES,
    START,
    fill_up,
    hold_exclusively,
    note,
    open_store,
    settle_once,
)
from tillit_server.audit.chain import chain_secret, verify
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


def test_s7_disk_full(tmp_path: Path) -> None:
    """Nothing is acknowledged that is not there, reading goes on, and with room again writing does too."""
    path = tmp_path / "store.sqlite"
    results = PROCESSES.SimpleQueue()
    process = PROCESSES.Process(target=fill_up, args=(path, 200_000, results))
    process.start()
    acknowledged, errors, readable, recovery = results.get()
    process.join()
    store = open_store(path)
    report = verify(store.journal, chain_secret(AUDIT_SECRET))

    assert acknowledged
    assert errors
    assert readable
    assert recovery < 2.0
    assert all(store.seen("a", name) for name in [*acknowledged, "after"])
    assert report.intact
    assert report.entries == len(acknowledged) + 2
    store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("mounting a small disk needs root; test_s7_disk_full does without")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_s7_disk_really_full(small_disk: Path) -> None:
    """On a disk of one megabyte the reason is named, and room made by others is used without a restart."""
    ballast = small_disk / "ballast"
    store = open_store(small_disk / "store.sqlite")
    store.journal.append(note("before"))
    ballast.write_bytes(b"x" * 600_000)
    acknowledged: list[int] = []

    def write_on() -> None:
        for number in itertools.count():
            store.journal.append(note("x" * 5_000))
            acknowledged.append(number)

    with pytest.raises(StorageUnavailable, match="disk is full"):
        write_on()
    with pytest.raises(StorageUnavailable):
        store.journal.append(note("x" * 5_000))
    ballast.unlink()
    store.journal.append(note("after"))

    assert verify(store.journal, chain_secret(AUDIT_SECRET)).entries == len(acknowledged) + 2
    store.close()


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


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("chattr"), reason="root may write anywhere")
def test_s7_read_only(tmp_path: Path) -> None:
    """A file that may only be read refuses to open for writing, and says which."""
    path = tmp_path / "store.sqlite"
    open_store(path).close()
    if os.geteuid() == 0:
        if subprocess.run(["chattr", "+i", str(path)], check=False, capture_output=True).returncode:
            pytest.skip("this file system knows no immutable files, and root may write everything else")
    else:
        path.chmod(0o400)
    try:
        with pytest.raises(StorageUnavailable):
            open_store(path)
    finally:
        if os.geteuid() == 0:
            subprocess.run(["chattr", "-i", str(path)], check=True)


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


SHIM = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static int failing(void) { const char *flag = getenv("FAIL_FLAG"); return flag && access(flag, F_OK) == 0; }
int fsync(int fd) { if (failing()) { errno = EIO; return -1; } return syscall(SYS_fsync, fd); }
int fdatasync(int fd) { if (failing()) { errno = EIO; return -1; } return syscall(SYS_fdatasync, fd); }
"""

VICTIM = """
import sys, pathlib
sys.path.insert(0, sys.argv[3])
from support.stores import note, open_store
store = open_store(pathlib.Path(sys.argv[1]))
store.journal.append(note("acknowledged"))
print("acknowledged", flush=True)
pathlib.Path(sys.argv[2]).touch()
store.journal.append(note("lost"))
print("still here", flush=True)
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler; the test above does without")
def test_s7_a_disk_that_really_cannot_sync(tmp_path: Path) -> None:
    """With fsync failing in the C library the process is gone before it could acknowledge anything."""
    shim = tmp_path / "shim.so"
    (tmp_path / "shim.c").write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, tmp_path / "shim.c"], check=True)
    flag = tmp_path / "fail"
    ended = subprocess.run(
        [sys.executable, "-c", VICTIM, tmp_path / "store.sqlite", flag, Path(__file__).parents[1]],
        env={**os.environ, "LD_PRELOAD": str(shim), "FAIL_FLAG": str(flag)},
        check=False,
        capture_output=True,
        text=True,
    )
    store = open_store(tmp_path / "store.sqlite")

    assert ended.stdout == "acknowledged\n"
    assert ended.returncode == 70
    assert store.journal.heads()[0].seq >= 1
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


def test_a_process_opens_and_settles(tmp_path: Path) -> None:
    """The default end of the process is not taken without cause."""
    process = PROCESSES.Process(target=settle_once, args=(tmp_path / "store.sqlite",))
    process.start()
    process.join()

    assert process.exitcode == 0
