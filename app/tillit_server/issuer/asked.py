"""What a client has asked a login for: kept from the moment it is judged to the end of the login."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from tillit.protocol.authorization_details import ATTESTATION_TYPE, of_type
from tillit.protocol.authorization_request import AuthorizationRequest
from tillit_server.issuer.authorized import CarriedDetails

_LEVELS = {"Level3": "3", "Level4": "4", "Substantial": "3", "High": "4"}
_IDP, _AMR = "idp:", "amr:"
# An attestation is worth what the login behind it is worth (ATT-9).
_LEVEL_OF_ATTESTATION = "4"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that may be asked for. ``carried``: details under the client's signature, if it has any."""

    request: AuthorizationRequest
    carried: CarriedDetails | None = None

    @property
    def attests(self) -> bool:
        """Whether an attestation came with the request (flow 1)."""
        return self.carried is not None and of_type(self.carried.details, ATTESTATION_TYPE) is not None

    @property
    def types(self) -> tuple[str, ...]:
        """The types of its authorization details."""
        return tuple(str(detail["type"]) for detail in self.carried.details) if self.carried else ()

    @property
    def level(self) -> str | None:
        """The lowest security level that will do, if one was asked for; ``acr_values`` names alternatives."""
        levels = [_LEVELS[value] for value in self.request.acr_values if value in _LEVELS]
        if self.attests:
            return _LEVEL_OF_ATTESTATION
        return min(levels, default=None)

    @property
    def idp(self) -> str | None:
        """The identity provider asked for by name."""
        return next(
            (value.removeprefix(_IDP) for value in self.request.acr_values if value.startswith(_IDP)), None
        )

    @property
    def amr(self) -> tuple[str, ...]:
        """The e-IDs asked for within a provider."""
        return tuple(v.removeprefix(_AMR) for v in self.request.acr_values if v.startswith(_AMR))

    @property
    def anew(self) -> bool:
        """Whether somebody must log in whoever is logged in already."""
        return not self.request.prompt.isdisjoint({"login", "select_account"}) or self.request.max_age == 0

    def to_json(self) -> dict[str, Any]:
        """As it lies (sealed) in the store."""
        return {
            "request": self.request.to_json(),
            "carried": self.carried.to_json() if self.carried else None,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What ``to_json`` gave."""
        carried = value["carried"]
        return cls(
            AuthorizationRequest.from_json(value["request"]),
            CarriedDetails.from_json(carried) if carried else None,
        )
