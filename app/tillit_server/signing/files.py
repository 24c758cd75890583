"""Files that hold secrets.

Read only when nobody else could have read or swapped them; written so that a crash leaves either the old
file or the new one.
"""

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from tillit_server.storage.syncing import sync

MAX_BYTES = 65_536
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_TEMPORARY = ".new-"


class CustodyError(Exception):
    """Key material is missing, damaged or open to others; the service must not start.

    ``line`` is one line for the person at the terminal. It names files, never their content.
    """

    def __init__(self, line: str) -> None:
        super().__init__(line)
        self.line = line


def read_secret(path: Path) -> bytes | None:
    """The content of a secret file, ``None`` if there is no such file.

    Raises ``CustodyError`` unless it is a regular file of our own user, closed to everybody else, neither
    empty nor larger than 64 KiB. A FIFO or a device is refused without waiting for it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if path.is_symlink():
            raise CustodyError(f"{path}: is a symbolic link; secrets must be regular files") from None
        raise CustodyError(f"{path}: cannot be opened ({error.strerror})") from None
    try:
        _require_private(path, os.fstat(descriptor))
        data = os.read(descriptor, MAX_BYTES + 1)
    except OSError as error:
        raise CustodyError(f"{path}: cannot be read ({error.strerror})") from None
    finally:
        os.close(descriptor)
    if not data:
        raise CustodyError(f"{path}: is empty")
    if len(data) > MAX_BYTES:
        raise CustodyError(f"{path}: is larger than {MAX_BYTES} bytes")
    return data


def _require_private(path: Path, found: os.stat_result) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        raise CustodyError(f"{path}: is not a regular file")
    if found.st_uid != os.geteuid():
        raise CustodyError(f"{path}: belongs to user {found.st_uid}, the service runs as {os.geteuid()}")
    if mode & _OTHERS:
        raise CustodyError(f"{path}: mode {mode:04o} lets others in; run: chmod 600 {path}")


def private_directory(path: Path, *, make: bool) -> None:
    """Check that only our user can put files into ``path``; with ``make`` create it.

    Raises ``CustodyError``.
    """
    try:
        if make:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
    except FileNotFoundError:
        raise CustodyError(f"{path}: there is no such directory") from None
    except OSError as error:
        raise CustodyError(f"{path}: cannot be used ({error.strerror})") from None
    if not stat.S_ISDIR(found.st_mode):
        raise CustodyError(f"{path}: is not a directory")
    if found.st_uid != os.geteuid():
        raise CustodyError(f"{path}: belongs to user {found.st_uid}, the service runs as {os.geteuid()}")
    if found.st_mode & _OTHERS_WRITE:
        raise CustodyError(
            f"{path}: mode {found.st_mode & 0o7777:04o} lets others write; run: chmod 700 {path}"
        )


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Let one process at a time change the files of ``directory``; a killed process lets go by itself."""
    descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def create_secret(path: Path, data: bytes) -> bool:
    """Make ``path`` with mode 0600, whole and on disk, unless it is there already.

    True for the one winner.
    """
    temporary = _write_beside(path, data)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)
    return True


def replace_secret(path: Path, data: bytes) -> None:
    """Put new content in the place of the old; a reader or a crash sees the one or the other.

    Raises ``OSError``.
    """
    temporary = _write_beside(path, data)
    try:
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def sweep(path: Path) -> None:
    """Remove what a killed process left half-written of ``path``. Call it under ``locked``."""
    for left in path.parent.glob(f"{_TEMPORARY}{path.name}-*"):
        left.unlink(missing_ok=True)


def _write_beside(path: Path, data: bytes) -> Path:
    temporary = path.with_name(f"{_TEMPORARY}{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123  (a descriptor, not a path)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary
