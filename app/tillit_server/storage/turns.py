"""Taking turns between processes: a blocking file lock in front of SQLite's own, which can only be polled.

Two locks make it fair: who waits for the turn holds the queue, and who has had a few turns looks for a queue
before taking another. The kernel lets go of both when a process dies.
"""

import fcntl
import os
from pathlib import Path

_IN_A_ROW = 4


class Turn:
    """One process's place in the line. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open `path-queue` and `path-turn`, made with mode 0600 where missing. Raises `OSError`."""
        self._queue = _open(path.with_name(path.name + "-queue"))
        self._turn = _open(path.with_name(path.name + "-turn"))
        self._in_a_row = 0

    def try_acquire(self) -> bool:
        """Take the turn if nobody has it and, now and then, if nobody waits for it."""
        if self._in_a_row >= _IN_A_ROW:
            if not _try(self._queue):
                return False
            fcntl.flock(self._queue, fcntl.LOCK_UN)
            self._in_a_row = 0
        self._in_a_row += 1
        return _try(self._turn)

    def acquire(self) -> None:
        """Wait for the turn, however long: only for a thread that nobody waits for without a deadline."""
        fcntl.flock(self._queue, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._turn, fcntl.LOCK_EX)
            self._in_a_row = 1
        finally:
            fcntl.flock(self._queue, fcntl.LOCK_UN)

    def release(self) -> None:
        """Let the next process in."""
        fcntl.flock(self._turn, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give up the place in the line."""
        os.close(self._queue)
        os.close(self._turn)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
