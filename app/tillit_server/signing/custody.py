"""The custodian: keeps the installation's master key and seals with it what the rings hold.

The master key is 32 random bytes in ``keys/master.key``, the one file every host must be given. With a
passphrase file it lies there wrapped: AES-256-GCM under a key that scrypt (RFC 7914) derives from the
passphrase. Nothing is ever encrypted with the master key itself, only with keys derived from it (HKDF, RFC
5869).
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from tillit_server.signing.files import (
    CustodyError,
    create_secret,
    locked,
    private_directory,
    read_secret,
    replace_secret,
    sweep,
)
from tillit_server.signing.guard import Guard

__all__ = ["Custody", "CustodyError", "open_custody", "rewrap_master"]

MASTER_FILE = "master.key"
KEY_BYTES = 32
NONCE_BYTES = 12
MIN_PASSPHRASE_BYTES = 12
SCRYPT_COST = 2**15
MIN_SCRYPT_COST = 2**10
MAX_SCRYPT_COST = 2**17  # a forged file must not make the start-up take minutes or gigabytes
SCRYPT_BLOCK = 8


class Custody:
    """Seals, opens and authenticates with keys derived from the master key.

    Immutable, so safe in any thread.
    """

    def __init__(self, master: bytes, directory: Path) -> None:
        """``master``: 32 bytes; ``directory``: where the rollback guard lies."""
        self._seal_key = AESGCM(_derive(master, "seal"))
        self._mac_key = _derive(master, "authenticate")
        self.master_id = _master_id(master)
        self._directory = directory
        self.guard = Guard(directory, self.authenticate)

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
        return "sealed:" + _encode(nonce + self._seal_key.encrypt(nonce, plain, context.encode()))

    def open(self, sealed: str, *, context: str) -> bytes:
        """What ``seal`` was given. Raises ``CustodyError`` if it is damaged, foreign, or something else's."""
        scheme, _, text = sealed.partition(":")
        try:
            raw = _decode(text) if scheme == "sealed" else b""
            return self._seal_key.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], context.encode())
        except (ValueError, InvalidTag):
            raise CustodyError(f"{context}: the sealed secret is damaged or belongs elsewhere") from None

    def authenticate(self, document: bytes) -> str:
        """HMAC-SHA-256 of ``document``, base64url: shows that a ring was written by this installation."""
        return _encode(hmac.digest(self._mac_key, document, "sha256"))


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
        _make_missing(path, passphrase_file, scrypt_cost)
    passphrase = None if passphrase_file is None else _passphrase(passphrase_file)
    data = read_secret(path)
    if data is None:
        raise CustodyError(
            f"{path}: there is no master key; restore it from the backup, or copy it from another host"
        )
    return Custody(_unwrap(path, data, passphrase), directory)


def rewrap_master(
    directory: Path, *, passphrase_file: Path | None, new_file: Path, scrypt_cost: int = SCRYPT_COST
) -> str:
    """Wrap the master key under the passphrase in ``new_file``, made where missing; gives the key's id.

    The old file or the new one is there whenever a process is killed. Raises ``CustodyError``.
    """
    open_custody(directory, passphrase_file=passphrase_file)
    path = directory / MASTER_FILE
    try:
        with locked(directory):
            sweep(path)
            passphrase = None if passphrase_file is None else _passphrase(passphrase_file)
            master = _unwrap(path, read_secret(path) or b"", passphrase)
            if not os.path.lexists(new_file):
                create_secret(new_file, secrets.token_urlsafe(KEY_BYTES).encode() + b"\n")
            replace_secret(path, _wrap(master, _passphrase(new_file), scrypt_cost))
    except OSError as error:
        raise CustodyError(f"{path}: cannot be wrapped anew ({error.strerror})") from None
    return _master_id(master)


def _make_missing(path: Path, passphrase_file: Path | None, cost: int) -> None:
    try:
        with locked(path.parent):
            sweep(path)
            if os.path.lexists(path):
                return  # a passphrase made now would not be the one that opens it
            passphrase = None
            if passphrase_file is not None:
                sweep(passphrase_file)
                passphrase_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                create_secret(passphrase_file, secrets.token_urlsafe(KEY_BYTES).encode() + b"\n")
                passphrase = _passphrase(passphrase_file)
            create_secret(path, _wrap(secrets.token_bytes(KEY_BYTES), passphrase, cost))
    except OSError as error:
        raise CustodyError(f"{path}: cannot be made ({error.strerror})") from None


def _passphrase(path: Path) -> bytes:
    data = read_secret(path)
    if data is None:
        raise CustodyError(f"{path}: there is no passphrase file")
    passphrase = data.rstrip(b"\r\n")
    if len(passphrase) < MIN_PASSPHRASE_BYTES:
        raise CustodyError(f"{path}: the passphrase is shorter than {MIN_PASSPHRASE_BYTES} characters")
    return passphrase


def _wrap(master: bytes, passphrase: bytes | None, cost: int) -> bytes:
    header: dict[str, Any] = {"tillit": "master-key", "v": 1, "id": _master_id(master)}
    if passphrase is None:
        document = {**header, "key": _encode(master)}
        return orjson.dumps({**document, "check": _checksum(document)}, option=orjson.OPT_APPEND_NEWLINE)
    header |= {
        "kdf": "scrypt",
        "n": cost,
        "r": SCRYPT_BLOCK,
        "p": 1,
        "salt": _encode(secrets.token_bytes(16)),
    }
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = AESGCM(_stretch(passphrase, header)).encrypt(nonce, master, orjson.dumps(header))
    document = {**header, "sealed": _encode(nonce + sealed)}
    return orjson.dumps({**document, "check": _checksum(document)}, option=orjson.OPT_APPEND_NEWLINE)


def _unwrap(path: Path, data: bytes, passphrase: bytes | None) -> bytes:
    damaged = CustodyError(f"{path}: the master key file is truncated or damaged; restore it from the backup")
    try:
        document = orjson.loads(data)
        check = document.pop("check")
        known = (document["tillit"], document["v"]) == ("master-key", 1)
        if not known or not hmac.compare_digest(check, _checksum(document)):
            raise damaged
        if ("kdf" in document) != (passphrase is not None):
            needs = "needs a passphrase file" if "kdf" in document else "is not protected by the passphrase"
            raise CustodyError(f"{path}: the master key {needs}; check the setting passphrase_file")
        master = (
            _decode(document["key"]) if passphrase is None else _unseal_master(path, document, passphrase)
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        raise damaged from None
    if len(master) != KEY_BYTES or _master_id(master) != document["id"]:
        raise damaged
    return master


def _unseal_master(path: Path, document: Mapping[str, Any], passphrase: bytes) -> bytes:
    raw = _decode(document["sealed"])
    header = {name: value for name, value in document.items() if name != "sealed"}
    try:
        return AESGCM(_stretch(passphrase, header)).decrypt(
            raw[:NONCE_BYTES], raw[NONCE_BYTES:], orjson.dumps(header)
        )
    except InvalidTag:
        raise CustodyError(f"{path}: wrong passphrase for this master key") from None


def _stretch(passphrase: bytes, header: Mapping[str, Any]) -> bytes:
    cost = header["n"]
    if (
        header["kdf"] != "scrypt"
        or header["p"] != 1
        or header["r"] != SCRYPT_BLOCK
        or not MIN_SCRYPT_COST <= cost <= MAX_SCRYPT_COST
    ):
        raise ValueError("scrypt parameters")
    return Scrypt(salt=_decode(header["salt"]), length=KEY_BYTES, n=cost, r=SCRYPT_BLOCK, p=1).derive(
        passphrase
    )


def _derive(master: bytes, purpose: str) -> bytes:
    return HKDFExpand(SHA256(), KEY_BYTES, f"tillit custody v1 {purpose}".encode()).derive(master)


def _master_id(master: bytes) -> str:
    # A name for the key, so that two installations are told apart; 32 random bytes cannot be found from it.
    return _derive(master, "name")[:4].hex()


def _checksum(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
