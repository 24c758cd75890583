"""Who has logged in, and under which name each client knows that person."""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from tillit_server.issuer.clients.client import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person as an upstream identity provider has vouched for.

    ``pid``: F- or D-number. ``security_level``: ``2``, ``3`` or ``4``. ``auth_time``: Unix seconds.
    ``idp``: the provider's name in our settings. ``middle_name`` may be empty.
    """

    pid: str = field(repr=False)
    security_level: str
    idp: str
    auth_time: int
    amr: tuple[str, ...] = ()
    name: str = field(default="", repr=False)
    given_name: str = field(default="", repr=False)
    middle_name: str = field(default="", repr=False)
    family_name: str = field(default="", repr=False)

    def to_json(self) -> dict[str, Any]:
        """As it lies (sealed) in the store."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What ``to_json`` gave."""
        return cls(**{**value, "amr": tuple(value["amr"])})


def subject_of(user: User, client: Client, secret: bytes) -> str:
    """The pairwise ``sub`` of ``user`` at ``client`` (OpenID Connect Core §8.1), 44 characters.

    The same for all clients of one sector, and for ever; it ends in ``=``, which no client id may hold.
    """
    message = f"sub\0{client.sector}\0{user.pid}".encode()
    return base64.b64encode(hmac.digest(secret, message, "sha256")).decode("ascii")
