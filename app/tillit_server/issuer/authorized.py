"""What a login authorized: the facts that a code stands for, and every token after it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from tillit_server.issuer.users import User


@dataclass(frozen=True, slots=True)
class CarriedDetails:
    """Authorization details of a signed request object: used for every token of the grant (flow 1).

    ``details``: the array as it was sent (RFC 9396 §2). ``carrier_iat``: when the request object was made,
    Unix seconds; an attestation cannot be later.
    """

    details: tuple[Mapping[str, Any], ...] = field(repr=False)
    carrier_iat: int

    def to_json(self) -> dict[str, Any]:
        """As it lies (sealed) in the store."""
        return {"details": list(self.details), "carrier_iat": self.carrier_iat}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What ``to_json`` gave."""
        return cls(tuple(value["details"]), value["carrier_iat"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorized:
    """What ``user`` has authorized ``client_id`` to, by logging in.

    ``sid``: the session at this issuer. ``scopes`` and ``resources``: the most that any token may hold.
    ``family``: the id of everything that is issued from it and is revoked together.
    """

    family: str
    client_id: str
    user: User
    sid: str
    scopes: tuple[str, ...]
    resources: tuple[str, ...] = ()
    nonce: str | None = None
    carried: CarriedDetails | None = None

    def to_json(self) -> dict[str, Any]:
        """As it lies (sealed) in the store."""
        return {
            "family": self.family,
            "client_id": self.client_id,
            "user": self.user.to_json(),
            "sid": self.sid,
            "scopes": list(self.scopes),
            "resources": list(self.resources),
            "nonce": self.nonce,
            "carried": self.carried.to_json() if self.carried else None,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What ``to_json`` gave."""
        carried = value["carried"]
        return cls(
            family=value["family"],
            client_id=value["client_id"],
            user=User.from_json(value["user"]),
            sid=value["sid"],
            scopes=tuple(value["scopes"]),
            resources=tuple(value["resources"]),
            nonce=value["nonce"],
            carried=CarriedDetails.from_json(carried) if carried else None,
        )
