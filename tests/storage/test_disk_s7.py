"""Threat S7: the disk is full, read-only, or cannot sync."""

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.disks import small_disk
from support.stores import (
    AUDIT_SECRET,
    PROCESSES,
    START,
    fill_up,
    note,
    open_store,
    settle_once,
)
from tillit_server.audit.chain import chain_secret, verify
from tillit_server.storage.ports import Claim, Settlement, StorageUnavailable

PAYLOAD = Settlement(claims=(Claim("proof", "p", START + 60),), entries=(note("issued"),))


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
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 1, stand_in="test_s7_disk_full") as place:
        yield place


def test_s7_disk_really_full(disk: Path) -> None:
    """On a disk of one megabyte the reason is named, and room made by others is used without a restart."""
    ballast = disk / "ballast"
    store = open_store(disk / "store.sqlite")
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


def test_a_process_opens_and_settles(tmp_path: Path) -> None:
    """The default end of the process is not taken without cause."""
    process = PROCESSES.Process(target=settle_once, args=(tmp_path / "store.sqlite",))
    process.start()
    process.join()

    assert process.exitcode == 0
