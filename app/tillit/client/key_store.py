"""Where an EHR keeps its own keys: the one in use and, during a renewal, the one that will follow."""

import json
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from tillit.protocol.errors import Rejected
from tillit.protocol.gate import read_json
from tillit.protocol.jose import SigningKey, load_private_jwk, private_jwk

_MODE: Final = 0o600
_MEMBERS: Final = frozenset({"current", "next"})


class KeyStoreError(Exception):
    """The keys cannot be read or written; the text says why and what to do, and holds no key material."""


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """``current`` signs; ``next`` was made and may or may not be registered yet."""

    current: SigningKey
    next: SigningKey | None = None


class KeyStore(Protocol):
    """What a renewal asks of the place where keys are kept: a file, a database, a vault."""

    def load(self) -> StoredKeys:
        """The keys that were saved last. Raises `KeyStoreError`."""

    def save(self, keys: StoredKeys) -> None:
        """Keep `keys` and forget all others, wholly or not at all; they are safe when this returns.

        Raises `KeyStoreError`.
        """


class FileKeyStore:
    """Keys in one file of mode 0600. A private JWK alone, as a client begins with, counts as the current key.

    A save replaces the file by a complete one, so that whoever is killed in the middle leaves either. A file
    that others may read is refused where the system knows such modes.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def load(self) -> StoredKeys:
        """The keys in the file. Raises `KeyStoreError`."""
        try:
            with self.path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                document = read_json(file.read())
        except OSError as error:
            raise KeyStoreError(f"{self.path}: cannot be read ({error.strerror})") from error
        except Rejected as error:
            raise KeyStoreError(f"{self.path}: {error}") from error
        if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
            raise KeyStoreError(f"{self.path}: others may read it; chmod 600, and renew the key")
        return self._keys(document)

    def save(self, keys: StoredKeys) -> None:
        """Replace the file. Raises `KeyStoreError`."""
        document = {
            "current": private_jwk(keys.current),
            "next": None if keys.next is None else private_jwk(keys.next),
        }
        new = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        try:
            try:
                _write(new, json.dumps(document).encode())
                new.replace(self.path)
            finally:
                new.unlink(missing_ok=True)
            _sync_directory(self.path.parent)
        except OSError as error:
            raise KeyStoreError(f"{self.path}: cannot be written ({error.strerror})") from error

    def _keys(self, document: Any) -> StoredKeys:
        if not isinstance(document, Mapping):
            raise KeyStoreError(f"{self.path}: a JSON object needed")
        whole = document if set(document) == _MEMBERS else {"current": document, "next": None}
        following = whole["next"]
        return StoredKeys(self._key(whole["current"]), None if following is None else self._key(following))

    def _key(self, jwk: Any) -> SigningKey:
        if not isinstance(jwk, Mapping):
            raise KeyStoreError(f"{self.path}: a private JWK needed")
        try:
            return load_private_jwk(jwk)
        except Rejected as error:
            raise KeyStoreError(f"{self.path}: {error}") from error


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    """Make a replaced name last; not every system lets a directory be opened, or needs it."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
