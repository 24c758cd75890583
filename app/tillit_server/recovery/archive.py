"""The file of a backup: an embedded database with what lasts, then the manifest, then a line that ends it.

Whatever is a secret lies in it sealed, as in the store. The database is read where it lies in the file.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from tillit_server.recovery.manifest import MAX_BYTES, BackupDamaged, Manifest
from tillit_server.signing.custody import Custody
from tillit_server.storage.copying import Walk, write_file
from tillit_server.storage.ports import Head, StorageRefused, StorageUnavailable
from tillit_server.storage.sealed_file import SealedFile
from tillit_server.storage.sqlite_file import SCHEMA_VERSION
from tillit_server.storage.syncing import sync

LEFT_OUT: Final = ("family", "fence")
"""Kinds of records that no backup holds: what must not come back, and what speaks of another server."""
_END: Final = b"\ntillit-backup "
_DIGITS: Final = 10
_END_BYTES: Final = len(_END) + _DIGITS + 1
_CHUNK: Final = 1_048_576


def write_archive(
    path: Path, walk: Walk, custody: Custody, *, issuer: str, release: str, now: float
) -> Manifest:
    """Write a backup of what ``walk`` gives to a new file, whole and on disk, or leave nothing of that name.

    Until it is whole its name ends with ``.part``. Raises ``StorageRefused`` when either is there already,
    ``StorageUnavailable``.
    """
    part = path.with_name(path.name + ".part")
    if os.path.lexists(path):
        raise StorageRefused(f"{path} is there already", "Name a new file")
    try:
        rows = write_file(walk, part, without=LEFT_OUT)
        heads = _heads(part)
        with part.open("r+b") as file:
            manifest = Manifest(
                issuer=issuer,
                release=release,
                schema=SCHEMA_VERSION,
                made_at=int(now),
                rows=rows,
                heads=heads,
                sha256=_pass_on(file, part.stat().st_size),
                size=file.tell(),
                master=custody.master_id,
            )
            line = manifest.to_line(custody)
            file.write(line + _end(len(line)))
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        sync(path.parent)
    except StorageRefused:
        raise
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise StorageUnavailable(f"{path} cannot be written: {error.strerror}") from error
        raise
    return manifest


class Archive:
    """A backup that is whole and ours; ``manifest`` is verified, the database behind it as well."""

    def __init__(self, path: Path, file: BinaryIO, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._file = file

    def extract(self, path: Path) -> None:
        """Write the database to a new file (mode 0600), and bring it to disk.

        What is written is what was verified, or ``BackupDamaged`` is raised. Raises ``OSError``.
        """
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as target:
            self._file.seek(0)
            if _pass_on(self._file, self.manifest.size, target) != self.manifest.sha256:
                raise BackupDamaged(f"{self.path}: changed while it was read")
            target.flush()
            os.fsync(target.fileno())


@contextmanager
def opened_archive(path: Path, custody: Custody) -> Iterator[Archive]:
    """Open a backup and verify all of it, the last byte included, before anything is read from it.

    Raises ``BackupDamaged``, ``StorageRefused`` for one of a later release, ``StorageUnavailable``.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise StorageUnavailable(f"{path} cannot be opened: {error.strerror}") from error
    with file:
        try:
            manifest = _verified(file, custody)
        except BackupDamaged as damage:
            raise BackupDamaged(f"{path}: {damage}") from None
        if manifest.schema > SCHEMA_VERSION:
            raise StorageRefused(
                f"{path} has schema {manifest.schema}, this release knows {SCHEMA_VERSION}",
                f"Restore it with release {manifest.release}",
            )
        yield Archive(path, file, manifest)


def _verified(file: BinaryIO, custody: Custody) -> Manifest:
    size = file.seek(0, os.SEEK_END)
    line = _manifest_line(file, size)
    manifest = Manifest.read(line, custody)
    if manifest.size + len(line) + _END_BYTES != size:
        raise BackupDamaged("a part is missing, or there is too much of it")
    file.seek(0)
    if _pass_on(file, manifest.size) != manifest.sha256:
        raise BackupDamaged("the database in it was changed")
    return manifest


def _manifest_line(file: BinaryIO, size: int) -> bytes:
    """The line before the end, which says how long it is."""
    if size < _END_BYTES:
        raise BackupDamaged("not a backup, or only the beginning of one")
    file.seek(size - _END_BYTES)
    end = file.read(_END_BYTES)
    digits = end[len(_END) : -1]
    if not digits.isdigit() or end != _end(int(digits)):
        raise BackupDamaged("not a backup, or its end is missing")
    length = int(digits)
    if not 0 < length <= min(MAX_BYTES, size - _END_BYTES):
        raise BackupDamaged("its end was changed")
    file.seek(size - _END_BYTES - length)
    return file.read(length)


def _end(length: int) -> bytes:
    return _END + f"{length:0{_DIGITS}d}".encode() + b"\n"


def _pass_on(source: BinaryIO, size: int, target: BinaryIO | None = None) -> str:
    """The SHA-256 of the next ``size`` bytes, which are also written to ``target``."""
    digest, left = hashlib.sha256(), size
    while left and (chunk := source.read(min(_CHUNK, left))):
        left -= len(chunk)
        digest.update(chunk)
        if target is not None:
            target.write(chunk)
    return digest.hexdigest()


def _heads(database: Path) -> tuple[Head, ...]:
    with closing(SealedFile(database)) as file:
        return tuple(file.journal.heads())
