"""Server nonces for DPoP (RFC 9449 section 8), derived from a secret and the clock; nothing is stored."""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Final

from tillit.protocol.jwk import base64url

_OCTETS: Final = 18
_AHEAD: Final = 10  # another server's clock may be this many seconds ahead of ours
_CURRENT: Final = 1  # the current secret comes first, and of its nonces the one of the previous slot


class Nonces:
    """Nonces that every process with the same secrets agrees on.

    A nonce names a slot of time and is good in its own slot and the next, so it lives between one and
    two ``slot_seconds``. It may be used more than once; single use is the business of the proof's jti.
    ``secrets`` gives the current secret first and older ones, still accepted, after it.
    """

    def __init__(self, secrets: Callable[[], Sequence[bytes]], slot_seconds: int = 120) -> None:
        """Keep where secrets come from; they are asked for each time, so that they can rotate."""
        self._secrets = secrets
        self._slot_seconds = slot_seconds
        self._known: tuple[tuple[bytes, ...], int, int, tuple[str, ...]] = ((), 0, 0, ())

    def issue(self, now: float) -> str:
        """Give the nonce of this instant."""
        return self._acceptable(now)[_CURRENT]

    def valid(self, nonce: str, now: float) -> bool:
        """Tell whether we (any of us) issued this nonce in the current or the previous slot."""
        candidate = nonce.encode("utf-8", "surrogatepass")
        found = False
        for known in self._acceptable(now):
            found |= hmac.compare_digest(candidate, known.encode("ascii"))
        return found

    def _acceptable(self, now: float) -> tuple[str, ...]:
        secrets = tuple(self._secrets())
        first = int(now) // self._slot_seconds - 1
        last = (int(now) + _AHEAD) // self._slot_seconds
        known = self._known
        if known[:3] != (secrets, first, last):
            nonces = tuple(_derive(secret, slot) for secret in secrets for slot in range(first, last + 1))
            known = self._known = (secrets, first, last, nonces)
        return known[3]


def _derive(secret: bytes, slot: int) -> str:
    message = b"tillit dpop nonce" + slot.to_bytes(8, "big", signed=True)
    return base64url(hmac.digest(secret, message, hashlib.sha256)[:_OCTETS])
