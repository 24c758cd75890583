"""The file of the master key: 32 random bytes, wrapped under a passphrase if there is one.

With a passphrase file it is AES-256-GCM under a key that scrypt (RFC 7914) derives from the passphrase. While
a new master key takes over (``signing/renewal.py``) it lies in a second file beside the first.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from functools import lru_cache
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
    read_secret,
    replace_secret,
    sweep,
)

MASTER_FILE, NEXT_FILE = "master.key", "master.key.next"
KEY_BYTES = 32
NONCE_BYTES = 12
MIN_PASSPHRASE_BYTES = 12
SCRYPT_COST = 2**15
MIN_SCRYPT_COST = 2**10
MAX_SCRYPT_COST = 2**17  # a forged file must not make the start-up take minutes or gigabytes
SCRYPT_BLOCK = 8


def read_master(path: Path, passphrase_file: Path | None) -> bytes | None:
    """The master key in a file, None if there is no such file. Raises ``CustodyError``."""
    passphrase = None if passphrase_file is None else _passphrase(passphrase_file)
    data = read_secret(path)
    return None if data is None else _unwrap(path, data, passphrase)


def make_next(directory: Path, passphrase_file: Path | None, cost: int = SCRYPT_COST) -> str:
    """Make the master key that shall follow, wrapped as the present one, where there is none; gives its id.

    Raises ``CustodyError``.
    """
    path = directory / NEXT_FILE
    try:
        with locked(directory):
            sweep(path)
            passphrase = None if passphrase_file is None else _passphrase(passphrase_file)
            create_secret(path, _wrap(secrets.token_bytes(KEY_BYTES), passphrase, cost))
            return master_id(_unwrap(path, read_secret(path) or b"", passphrase))
    except OSError as error:
        raise CustodyError(f"{path}: cannot be made ({error.strerror})") from None


def rewrap_master(
    directory: Path, *, passphrase_file: Path | None, new_file: Path, scrypt_cost: int = SCRYPT_COST
) -> str:
    """Wrap the master key under the passphrase in ``new_file``, made where missing; gives the key's id.

    The old file or the new one is there whenever a process is killed. Raises ``CustodyError``.
    """
    path = directory / MASTER_FILE
    try:
        with locked(directory):
            sweep(path)
            if (directory / NEXT_FILE).exists():
                raise CustodyError(f"{directory / NEXT_FILE} waits to take over: first keys renew-master")
            passphrase = None if passphrase_file is None else _passphrase(passphrase_file)
            master = _unwrap(path, read_secret(path) or b"", passphrase)
            if not os.path.lexists(new_file):
                create_secret(new_file, secrets.token_urlsafe(KEY_BYTES).encode() + b"\n")
            replace_secret(path, _wrap(master, _passphrase(new_file), scrypt_cost))
    except OSError as error:
        raise CustodyError(f"{path}: cannot be wrapped anew ({error.strerror})") from None
    return master_id(master)


def make_missing(path: Path, passphrase_file: Path | None, cost: int) -> None:
    """Make the master key, and its passphrase, unless the key is there. Raises ``CustodyError``."""
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
    header: dict[str, Any] = {"tillit": "master-key", "v": 1, "id": master_id(master)}
    if passphrase is None:
        document = {**header, "key": encode(master)}
        return orjson.dumps({**document, "check": _checksum(document)}, option=orjson.OPT_APPEND_NEWLINE)
    header |= {
        "kdf": "scrypt",
        "n": cost,
        "r": SCRYPT_BLOCK,
        "p": 1,
        "salt": encode(secrets.token_bytes(16)),
    }
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = AESGCM(_stretch(passphrase, header)).encrypt(nonce, master, orjson.dumps(header))
    document = {**header, "sealed": encode(nonce + sealed)}
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
        master = decode(document["key"]) if passphrase is None else _unseal_master(path, document, passphrase)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise damaged from None
    if len(master) != KEY_BYTES or master_id(master) != document["id"]:
        raise damaged
    return master


def _unseal_master(path: Path, document: Mapping[str, Any], passphrase: bytes) -> bytes:
    raw = decode(document["sealed"])
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
    return _stretched(passphrase, decode(header["salt"]), cost)


@lru_cache(maxsize=4)
def _stretched(passphrase: bytes, salt: bytes, cost: int) -> bytes:
    # Remembered, because workers are forked from a process that has done it: it would be the better half of
    # what the start of one costs. Whoever could read it there can read the file of the passphrase.
    return Scrypt(salt=salt, length=KEY_BYTES, n=cost, r=SCRYPT_BLOCK, p=1).derive(passphrase)


def derive(master: bytes, purpose: str) -> bytes:
    """A key for one purpose (HKDF, RFC 5869)."""
    return HKDFExpand(SHA256(), KEY_BYTES, f"tillit custody v1 {purpose}".encode()).derive(master)


def master_id(master: bytes) -> str:
    """The name of a master key, eight hexadecimal digits."""
    # A name for the key, so that two installations are told apart; 32 random bytes cannot be found from it.
    return derive(master, "name")[:4].hex()


def _checksum(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def encode(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode(text: str) -> bytes:
    """The opposite; raises ``ValueError``."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
