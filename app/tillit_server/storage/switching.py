"""Putting a store in the place of another, so that a start finds the old one or the new one and never none.

The new store is made in a directory of its own. When it is whole, that directory gets another name, and from
this instant the new store is the one that counts: whoever comes next finishes what is left to do.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tillit_server.storage.ports import StorageRefused
from tillit_server.storage.sqlite_file import DATABASE
from tillit_server.storage.syncing import sync

MOVED: Final = "moved"
"""Lies in a data directory whose records and audit have been moved to a server; and the kind of a record."""
BACK: Final = "back"
"""The record of a server whose records and audit have been moved, or are being moved, to a data directory."""
_MAKING, _WHOLE, _GONE = "restoring", "restored", "restoring.gone"
_NOTE: Final = "note"


def begin(data: Path) -> Path:
    """The empty directory in which a store is made; what a killed process left there is gone.

    While it is there nothing starts on ``data``. Raises ``OSError``.
    """
    with _alone(data):
        give_up(data)
        (data / _MAKING).mkdir(mode=0o700)
    return data / _MAKING


def give_up(data: Path) -> None:
    """Remove what was begun, all of it at once as far as a start can see. Raises ``OSError``."""
    shutil.rmtree(data / _GONE, ignore_errors=True)
    if (data / _MAKING).exists():
        (data / _MAKING).rename(data / _GONE)
        shutil.rmtree(data / _GONE)


def noted(data: Path) -> str | None:
    """What was noted of a store that is being made; None if there is no such store, empty for no note."""
    if not (data / _MAKING).exists():
        return None
    try:
        return (data / _MAKING / _NOTE).read_text(encoding="ascii")
    except FileNotFoundError:
        return ""


def note(data: Path, text: str) -> None:
    """Note something with the store that is being made, on disk when this returns. Raises ``OSError``."""
    path = data / _MAKING / _NOTE
    path.write_text(text, encoding="ascii")
    sync(path)
    sync(path.parent)


def put_in_place(data: Path, aside: str) -> None:
    """Make the new store the one of ``data``; what was there is kept in the directory ``aside`` in it.

    Raises ``OSError``.
    """
    note(data, aside)
    sync(data / _MAKING / DATABASE)
    (data / _MAKING).rename(data / _WHOLE)
    sync(data)
    finish(data)


def finish(data: Path) -> bool:
    """Do what is left to do of ``put_in_place``, whoever was killed in it; whether there was anything.

    Raises ``OSError``.
    """
    whole = data / _WHOLE
    if not whole.exists():
        return False
    with _alone(data):
        if not whole.exists():
            return False
        new = whole / DATABASE
        if new.exists():
            aside = data / (whole / _NOTE).read_text(encoding="ascii")
            for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", MOVED):
                if (data / name).exists():
                    aside.mkdir(mode=0o700, exist_ok=True)
                    (data / name).rename(aside / name)
            new.rename(data / DATABASE)
            sync(data)
        shutil.rmtree(whole)
    return True


def require_nothing_half_done(data: Path) -> None:
    """Raise ``StorageRefused`` while a store is being made, or was when its maker was killed."""
    if noted(data) is not None:
        raise StorageRefused(
            "a restore is under way, or was interrupted before it put anything in place",
            f"Run the same command again; or remove {data / _MAKING} to go on with what was here before",
        )


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
