"""Values at rest (ATT-3): JSON, sealed with AES-256-GCM under a data key of their own.

A sealed value is `version (1 byte) · length of the key id (1) · key id · nonce (12) · ciphertext and tag`.
The data key is derived from the ring secret for one (kind, key), and the additional data names both again, so
a value that is moved to another record does not open.
"""

import hmac
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tillit_server.storage.ports import Json

_VERSION = b"\x01"
_NONCE_BYTES = 12


class Unsealable(Exception):
    """The value was not sealed here, under these names and with a key of this ring; or it was changed."""


@dataclass(frozen=True, slots=True)
class SealingKeys:
    """The ring: `current` seals, all of `secrets` (key id → 32 bytes) open."""

    current: str
    secrets: Mapping[str, bytes]

    def __repr__(self) -> str:
        """Name the keys, never show them."""
        return f"SealingKeys(current={self.current!r}, ids={sorted(self.secrets)!r})"


class Sealer:
    """Seals and opens JSON values. `ring` is asked each time, so a rotation needs no restart."""

    def __init__(self, ring: Callable[[], SealingKeys]) -> None:
        self._ring = ring

    def seal(self, kind: str, key: str, value: Json) -> bytes:
        """Seal `value` for the record (kind, key). Raises `TypeError` when it is not JSON."""
        ring = self._ring()
        identifier = ring.current.encode()
        head = _VERSION + bytes((len(identifier),)) + identifier
        nonce = os.urandom(_NONCE_BYTES)
        names = _names(kind, key)
        aead = AESGCM(_data_key(ring.secrets[ring.current], names))
        return head + nonce + aead.encrypt(nonce, orjson.dumps(value), head + names)

    def open(self, kind: str, key: str, sealed: bytes) -> Json:
        """Open what `seal` made for the same (kind, key), also under an older key. Raises `Unsealable`."""
        split = 2 + sealed[1] if len(sealed) > 1 else 0
        head, nonce = sealed[:split], sealed[split : split + _NONCE_BYTES]
        rest = sealed[split + _NONCE_BYTES :]
        if head[:1] != _VERSION or not rest:
            raise Unsealable(f"{kind}: not a sealed value of a version we know")
        try:
            secret = self._ring().secrets.get(head[2:].decode("ascii"))
        except UnicodeDecodeError:
            secret = None
        if secret is None:
            raise Unsealable(f"{kind}: sealed with a key that is not in the ring")
        names = _names(kind, key)
        try:
            plain = AESGCM(_data_key(secret, names)).decrypt(nonce, rest, head + names)
        except InvalidTag:
            raise Unsealable(f"{kind}: the value was changed or belongs to another record") from None
        return orjson.loads(plain)


def _names(kind: str, key: str) -> bytes:
    # The length keeps ("ab", "c") and ("a", "bc") apart.
    raw = kind.encode()
    return len(raw).to_bytes(2, "big") + raw + key.encode("utf-8", "surrogatepass")


def _data_key(secret: bytes, names: bytes) -> bytes:
    return hmac.digest(secret, b"tillit record" + names, "sha256")
