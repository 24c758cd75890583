"""Taking turns between processes: a blocking file lock in front of SQLite's own, which can only be polled.

Two locks make it fair: who waits for the turn holds the queue, so a process that has just had its turn cannot
snatch the next one from under a waiting neighbour. The kernel lets go of both when a process dies.
"""

import fcntl
import os
from pathlib import Path


class Turn:
    """One process's place in the line. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open `path-queue` and `path-turn`, made with mode 0600 where missing. Raises `OSError`."""
        self._queue = _open(path.with_name(path.name + "-queue"))
        self._turn = _open(path.with_name(path.name + "-turn"))

    def try_acquire(self) -> bool:
        """Take the turn if nobody has it and nobody waits for it."""
        try:
            fcntl.flock(self._queue, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            fcntl.flock(self._turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            fcntl.flock(self._queue, fcntl.LOCK_UN)
        return True

    def acquire(self) -> None:
        """Wait for the turn, however long: only for a thread that nobody waits for without a deadline."""
        fcntl.flock(self._queue, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._turn, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._queue, fcntl.LOCK_UN)

    def release(self) -> None:
        """Let the next process in."""
        fcntl.flock(self._turn, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give up the place in the line."""
        os.close(self._queue)
        os.close(self._turn)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
