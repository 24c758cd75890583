"""The custodian: seals with the installation's master key what the rings hold.

The master key is the one file every host must be given. Nothing is ever encrypted with the master key itself,
only with keys derived from it (HKDF, RFC 5869). While a new master key takes over there are two: whatever
either has sealed opens, and the newer one seals as soon as a ring has been seen that it sealed.
"""

import contextlib
import hmac
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tillit_server.signing.files import CustodyError, locked, private_directory
from tillit_server.signing.guard import Guard
from tillit_server.signing.master_key import (
    MASTER_FILE,
    NEXT_FILE,
    NONCE_BYTES,
    SCRYPT_COST,
    decode,
    derive,
    encode,
    make_missing,
    master_id,
    read_master,
)
from tillit_server.storage.syncing import sync

__all__ = ["Custody", "CustodyError", "open_custody"]


class _Master:
    """What is derived from one master key."""

    def __init__(self, master: bytes) -> None:
        self.seal_key = AESGCM(derive(master, "seal"))
        self.mac_key = derive(master, "authenticate")


class Custody:
    """Seals, opens and authenticates with keys derived from the master key. Safe in any thread."""

    def __init__(self, directory: Path, read: Callable[[], Sequence[bytes]]) -> None:
        """``directory``: where the master key's files and the rollback guard lie.

        ``read``: gives the master keys of this host, oldest first. Raises what ``read`` raises.
        """
        self._directory = directory
        self._read = read
        # In the order in which they follow each other.
        self._masters: dict[str, _Master] = {}
        self._looked = self._files()
        self._learn(read())
        self.master_id = next(iter(self._masters))
        self.guard = Guard(directory, self.authenticate, self.authentic)

    def __repr__(self) -> str:
        return f"Custody(master_id={self.master_id!r})"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold off the other processes of this host that want the same; raises ``CustodyError``."""
        try:
            with locked(self._directory):
                yield
        except OSError as error:
            raise CustodyError(f"{self._directory}: cannot be written ({error.strerror})") from None

    def seal(self, plain: bytes, *, context: str) -> str:
        """Encrypt (AES-256-GCM, random nonce).

        ``context`` says what it is and must be named again to open it.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        key = self._masters[self.master_id].seal_key
        return "sealed:" + encode(nonce + key.encrypt(nonce, plain, context.encode()))

    def open(self, sealed: str, *, context: str) -> bytes:
        """What ``seal`` was given. Raises ``CustodyError`` if it is damaged, foreign, or something else's."""
        for master in reversed(self._masters):
            with contextlib.suppress(ValueError, InvalidTag):
                return self._open(master, sealed, context)
        raise CustodyError(f"{context}: the sealed secret is damaged or belongs elsewhere")

    def renewed(self, text: str, *, context: str) -> str:
        """The same secret, sealed with the master key that seals now; what is not sealed stays as it is.

        Raises ``CustodyError``.
        """
        if not text.startswith("sealed:"):
            return text
        try:
            self._open(self.master_id, text, context)
        except (ValueError, InvalidTag):
            return self.seal(self.open(text, context=context), context=context)
        return text

    def authenticate(self, document: bytes, master: str = "") -> str:
        """HMAC-SHA-256 of ``document``, base64url: shows that a ring was written by this installation."""
        return encode(hmac.digest(self._masters[master or self.master_id].mac_key, document, "sha256"))

    def authentic(self, document: bytes, mac: str) -> bool:
        """Whether any master key of this host, by now, has authenticated ``document``."""
        return self._is_ours(document, mac) or (self._look_again() and self._is_ours(document, mac))

    def has(self, master: str) -> bool:
        """Whether this host has the master key of that id, by now."""
        return master in self._masters or (self._look_again() and master in self._masters)

    def follow(self, master: str) -> None:
        """Seal with this master key from now on, unless a later one seals already."""
        order = list(self._masters)
        if order.index(master) > order.index(self.master_id):
            self.master_id = master

    def finish(self) -> None:
        """Put the next master key in the place of the first, which is gone then. Raises ``CustodyError``.

        Call it when nothing sealed with the first is left; killed at any moment, one of them is there.
        """
        try:
            self.guard.renew()
            with locked(self._directory):
                if self._files() != self._looked:
                    return  # somebody else was faster
                (self._directory / NEXT_FILE).replace(self._directory / MASTER_FILE)
                sync(self._directory)
        except OSError as error:
            raise CustodyError(f"{self._directory}: cannot be written ({error.strerror})") from None

    @property
    def next_id(self) -> str:
        """The id of the master key that shall take over, empty if there is none."""
        if not (self._directory / NEXT_FILE).exists():
            return ""
        return next(reversed(self._masters)) if self._files() == self._looked else ""

    def _open(self, master: str, sealed: str, context: str) -> bytes:
        scheme, _, text = sealed.partition(":")
        raw = decode(text) if scheme == "sealed" else b""
        key = self._masters[master].seal_key
        return key.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], context.encode())

    def _is_ours(self, document: bytes, mac: str) -> bool:
        return any(
            hmac.compare_digest(mac, self.authenticate(document, master)) for master in tuple(self._masters)
        )

    def _look_again(self) -> bool:
        """Whether the files are others than they were; what they hold is known then."""
        found = self._files()
        if found == self._looked:
            return False
        self._looked = found
        self._learn(self._read())
        return True

    def _learn(self, masters: Sequence[bytes]) -> None:
        for master in masters:
            self._masters.setdefault(master_id(master), _Master(master))

    def _files(self) -> tuple[tuple[int, int] | None, ...]:
        """What tells whether the files are others than they were."""
        found: list[tuple[int, int] | None] = []
        for name in (MASTER_FILE, NEXT_FILE):
            try:
                stat = (self._directory / name).lstat()
            except OSError:
                found.append(None)
            else:
                found.append((stat.st_ino, stat.st_mtime_ns))
        return tuple(found)


def open_custody(
    directory: Path,
    *,
    passphrase_file: Path | None = None,
    make: bool = False,
    scrypt_cost: int = SCRYPT_COST,
) -> Custody:
    """Open the master key in ``directory``; with ``make`` create what is missing, one winner among processes.

    ``make`` is for development mode and for the first start of an installation: it creates the directory,
    the passphrase file (random) and the master key, all closed to others. Raises ``CustodyError`` with one
    readable line for every set-up that is broken or open to others (threats K4).
    """
    private_directory(directory, make=make)
    path = directory / MASTER_FILE
    if make:
        make_missing(path, passphrase_file, scrypt_cost)

    def read() -> Sequence[bytes]:
        following = read_master(directory / NEXT_FILE, passphrase_file)
        master = read_master(path, passphrase_file)
        if master is None:
            raise CustodyError(
                f"{path}: there is no master key; restore it from the backup, or copy it from another host"
            )
        return (master,) if following is None else (master, following)

    return Custody(directory, read)
