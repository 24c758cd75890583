"""Writer slots: each living process writes a chain of its own, numbered by the file lock it holds.

A process that comes in place of a dead one takes the lowest free slot over and goes on with its chain.
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from tillit_server.storage.ports import StorageUnavailable

_MAX_SLOTS = 1024


class SlotLease:
    """The lowest free slot (1, 2, 3 …), ours until `release` or the end of the process."""

    def __init__(self, directory: Path) -> None:
        """Take a slot. Raises `StorageUnavailable`: the directory cannot be used, or all slots are taken."""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.slot, self._descriptor = _take(directory)
        except OSError as error:
            raise StorageUnavailable(f"no audit slot: {error.strerror}") from error

    def release(self) -> None:
        """Let somebody else go on with the chain."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def in_use(directory: Path) -> bool:
    """Whether a living process has a slot."""
    for path in directory.glob("slot-*"):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def _take(directory: Path) -> tuple[int, int]:
    for slot in range(1, _MAX_SLOTS + 1):
        descriptor = os.open(directory / f"slot-{slot}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return slot, descriptor
    raise StorageUnavailable("all audit slots are taken")
