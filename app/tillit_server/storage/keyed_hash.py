"""HMAC-SHA-256 with the key's half of the work done once, and without giving up the interpreter.

`hmac.digest` lets other threads run at every call; under load each call then waits for its turn again, which
costs more than the hash.
"""

import hashlib

_BLOCK = 64


class KeyedHash:
    """HMAC-SHA-256 (RFC 2104) under one key; the same bytes as `hmac.digest(key, message, "sha256")`."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        padded = (key if len(key) <= _BLOCK else hashlib.sha256(key).digest()).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))

    def __call__(self, message: bytes) -> bytes:
        """The 32 bytes of the MAC."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()
