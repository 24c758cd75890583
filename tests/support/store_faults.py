"""Ways in which the store of a running service is taken away, and given back."""

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from support.service import Service
from tillit_server.storage.ports import StorageUnavailable


@contextmanager
def locked_by_a_stranger(service: Service) -> Iterator[None]:
    """Another process holds SQLite's exclusive lock."""
    with closing(
        sqlite3.connect(service.data / "tillit.sqlite", timeout=5, isolation_level=None)
    ) as stranger:
        stranger.execute("BEGIN EXCLUSIVE")
        yield
        stranger.execute("ROLLBACK")


@contextmanager
def over_quota(service: Service) -> Iterator[None]:
    """No file of a worker may grow any more."""
    workers = service.worker_pids()
    limits = [resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in workers]
    for pid, (_, hard) in zip(workers, limits, strict=True):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        for pid, limit in zip(workers, limits, strict=True):
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)


@contextmanager
def moved_away(service: Service) -> Iterator[None]:
    """The file of the store is gone from its place, and comes back."""
    file = service.data / "tillit.sqlite"
    elsewhere = file.rename(service.data / "elsewhere")
    try:
        yield
    finally:
        elsewhere.rename(file)


FAULTS = {"S6 a lock": locked_by_a_stranger, "S7 a quota": over_quota, "U3 no file": moved_away}

NOTHING_WRITTEN = ("S6 a lock", "S7 a quota")
"""What was written to a file that is no longer the store's stays spent: the safe side."""


class Failing:
    """The store of an installation, of whose calls one fails. What it is made of counts too."""

    def __init__(self, real: Any, at: int) -> None:
        self._real, self._at, self.calls = real, at, [0]

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name in {"tickets", "records", "once", "journal"}:
            part = Failing(found, self._at)
            part.calls = self.calls
            return part

        def call(*arguments: Any, **named: Any) -> Any:
            self.calls[0] += 1
            if self.calls[0] == self._at:
                raise StorageUnavailable("a test took the store away")
            return found(*arguments, **named)

        return call
