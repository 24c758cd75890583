"""Token families: everything issued from one login of one client, revoked together (RFC 9700 §4.14).

A family lives as one record of kind ``family``, which goes by itself when nothing of it can be good any
more. Its refresh tokens are not stored: each is the family's id,
a generation and a MAC under a key that only the family's record holds. Where refresh tokens rotate,
``generation`` is the newest that has been used; its successor is the only other one that is good, so a retry
with the old token gives the same new one until that is used.
"""

import base64
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from tillit_server.issuer.authorized import Authorized
from tillit_server.issuer.services import SKEW
from tillit_server.storage.ports import Conflict, Put, Record, Settlement, StorageUnavailable, Store

FAMILY: Final = "family"
ACCESS_TOKEN: Final = "access_token"  # noqa: S105 (a space of tickets, by jti)
"""What the store knows of an access token: ``family``, if somebody has logged in, and what it was made
``from`` in exchanges, as a list of jti and client."""
_MAX_LENGTH: Final = 256
_TRIES: Final = 5
_ENDED: Final = {"ended": True}


@dataclass(frozen=True, slots=True)
class Family:
    """``expires_at``: the last second (Unix) any of its tokens may live. ``jkt``: of the last proof."""

    authorized: Authorized
    expires_at: int
    key: str = field(repr=False)
    jkt: str
    generation: int = 0
    revoked: bool = False

    def to_json(self) -> dict[str, Any]:
        """As it lies (sealed) in the store."""
        return {
            "authorized": self.authorized.to_json(),
            "expires_at": self.expires_at,
            "key": self.key,
            "jkt": self.jkt,
            "generation": self.generation,
            "revoked": self.revoked,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What ``to_json`` gave."""
        return cls(**{**value, "authorized": Authorized.from_json(value["authorized"])})


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token taken apart; nothing is verified yet."""

    unverified_family: str
    generation: int
    mac: str = field(repr=False)


def put_family(family: Family, *, expect: int | None) -> Put:
    """The writing of ``family``; its record ends with it, since it names a person."""
    until = family.expires_at + SKEW
    return Put(FAMILY, family.authorized.family, family.to_json(), expect=expect, until=until)


def put_ended(family: str, until: float) -> Put:
    """The writing of a family that ends before it begins: whoever was about to begin it cannot any more."""
    return Put(FAMILY, family, _ENDED, expect=0, until=until + SKEW)


def read_family(record: Record | None) -> Family | None:
    """The family of a record; None when there is none, or it ended before it began."""
    return None if record is None or record.value == _ENDED else Family.from_json(record.value)


def new_family_key() -> str:
    """The key of a new family's refresh tokens: 256 random bits."""
    return secrets.token_urlsafe(32)


def refresh_token_of(family: Family, generation: int) -> str:
    """The family's refresh token of ``generation``."""
    return f"{family.authorized.family}.{generation}.{_mac(family, generation)}"


def read_refresh_token(text: str) -> RefreshToken | None:
    """``text`` taken apart, or None for what is no refresh token of ours."""
    parts = text.split(".")
    if len(text) > _MAX_LENGTH or len(parts) != 3 or not text.isascii():  # noqa: PLR2004 (id, generation, MAC)
        return None
    family, generation, mac = parts
    # One spelling only: a token that is longer, shorter or padded is another token (threat P8).
    if not generation.isdigit() or len(generation) > 9 or str(int(generation)) != generation:  # noqa: PLR2004 (digits)
        return None
    return RefreshToken(family, int(generation), mac)


def is_genuine(token: RefreshToken, family: Family) -> bool:
    """Whether ``family`` has issued ``token``; in constant time."""
    return hmac.compare_digest(token.mac, _mac(family, token.generation))


def _mac(family: Family, generation: int) -> str:
    message = f"{family.authorized.family}.{generation}".encode()
    mac = hmac.digest(family.key.encode(), message, "sha256")
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode("ascii")


def settle_with_family(
    store: Store, make: Callable[[], Settlement | None], look_again: Callable[[], object] = lambda: None
) -> None:
    """Settle what ``make`` gives, if anything; whoever loses a race for the family's record looks again.

    Single-use ids are spent once, also where a store of two servers has kept them spent; what follows rests
    on the server that did. Raises ``Conflict`` for whatever else came first, ``StorageUnavailable``, and what
    the two functions raise.
    """
    ids_spent, under = False, None
    for _ in range(_TRIES):
        settlement = make()
        if settlement is None:
            return
        try:
            store.settle(replace(settlement, claims=(), under=under) if ids_spent else settlement)
        except Conflict as conflict:
            if conflict.space != FAMILY:
                raise
            ids_spent, under = ids_spent or conflict.ids_spent, under or conflict.under
            look_again()
        else:
            return
    raise StorageUnavailable("the family is being changed all the time")
