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
        return self._attestation is not None

    @property
    def names_nobody(self) -> bool:
        """Whether an attestation came that leaves it to the login who the practitioner is."""
        attestation = self._attestation
        if attestation is None:
            return False
        practitioner = attestation.get("practitioner")
        return not (isinstance(practitioner, Mapping) and practitioner.get("identifier"))

    @property
    def _attestation(self) -> Mapping[str, Any] | None:
        return of_type(self.carried.details, ATTESTATION_TYPE) if self.carried is not None else None

    @property
    def types(self) -> tuple[str, ...]:
        """The types of its authorization details."""
        return tuple(str(detail["type"]) for detail in self.carried.details) if self.carried else ()

    @property
    def asked_level(self) -> str | None:
        """The lowest security level asked for, if one was; ``acr_values`` names alternatives."""
        return min((_LEVELS[v] for v in self.request.acr_values if v in _LEVELS), default=None)

    @property
    def level(self) -> str | None:
        """The lowest security level that will do."""
        return _LEVEL_OF_ATTESTATION if self.attests else self.asked_level

    @property
    def idp(self) -> str | None:
        """The identity provider asked for by name."""
        named = (v.removeprefix(_IDP) for v in self.request.acr_values if v.startswith(_IDP))
        return next(named, None)

    @property
    def amr(self) -> tuple[str, ...]:
        """The e-IDs asked for within a provider."""
        return tuple(v.removeprefix(_AMR) for v in self.request.acr_values if v.startswith(_AMR))

    @property
    def max_age(self) -> int | None:
        """How old a login may be, in seconds; ``prompt=login`` means that none will do."""
        return 0 if {"login", "select_account"} & self.request.prompt else self.request.max_age

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
