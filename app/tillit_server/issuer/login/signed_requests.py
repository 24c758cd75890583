"""The parameters of an authorization request, with or without a request object (RFC 9101).

For a strict client a request object stands alone. For clients of the lenient profiles it is merged with the
parameters beside it: what is inside wins, and what is in both places must be equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tillit.protocol.errors import OAuthError, invalid_request
from tillit.protocol.request_object import check_request_object
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.services import SKEW, Services
from tillit_server.issuer.settling import ASSERTION
from tillit_server.storage.ports import Claim

REQUEST_OBJECT = "request_object"
MERGED = "merged_request_object"
# What stands in the form for other reasons; everything else is a parameter of the request.
_ENVELOPE = frozenset({"request", "client_assertion", "client_assertion_type"})
_RESOURCE = "resource"
_DETAILS, _WRONG_NAME = "authorization_details", "assertion_details"
_TYPES_OF_ASSERTIONS = frozenset({"general_typ", "assertion_typ"})
_SHOWN = 64


@dataclass(frozen=True, slots=True)
class Parameters:
    """What is asked, and how far it is signed.

    ``carrier_iat``: when the request object was made (Unix seconds), None where there is none. ``spends``:
    its single-use id. ``tolerances``: what the client's profile forgave.
    """

    values: Mapping[str, Any] = field(repr=False)
    resources: tuple[str, ...] = ()
    carrier_iat: int | None = None
    spends: tuple[Claim, ...] = ()
    tolerances: tuple[str, ...] = ()

    @property
    def signed(self) -> bool:
        """Whether a request object carried them."""
        return self.carrier_iat is not None


def read_parameters(
    client: Client, form: Mapping[str, str], resources: tuple[str, ...], services: Services, now: float
) -> Parameters:
    """The parameters of ``client``'s request.

    Raises ``OAuthError``: ``invalid_request_object`` for the object itself, ``invalid_request`` for what
    must not stand beside it or must be inside it.
    """
    if "request_uri" in form:
        raise invalid_request("request_uri: not allowed here (RFC 9126)", pointer="request_uri")
    _refuse_unsigned_details(form)
    beside = {name: value for name, value in form.items() if name not in _ENVELOPE}
    token = form.get("request")
    if token is None:
        if client.require_signed_request_object:
            raise invalid_request("request: this client has to sign its requests", pointer="request")
        return Parameters(beside, resources)
    found = check_request_object(
        token,
        keys=services.key_sets.keys_of(client, now),
        client_id=client.id,
        issuer=services.issuer,
        now=now,
        algorithms=client.algorithms,
        profile=client.profile.request_object,
    )
    tolerances, values = found.tolerances_used, found.parameters
    if _WRONG_NAME in values:
        raise OAuthError(
            "invalid_request",
            f"HID-1007: {_WRONG_NAME}: a request object carries {_DETAILS}",
            rule="HID-1007",
            pointer=_WRONG_NAME,
        )
    if client.profile.merged_request_object:
        _require_agreement(values, beside, resources)
        if not {*beside, *([_RESOURCE] if resources else [])} <= {*values, "client_id"}:
            tolerances = (*tolerances, MERGED)
        values = {**beside, **values}
    else:
        resources = ()
    # An attestation is as old as what carries it says, and never younger.
    made_at = found.iat if found.iat is not None else found.not_before
    spends: tuple[Claim, ...] = ()
    if found.jti is not None:
        # Under a type that assertions have it could pass for one, so it is spent as one too (threat J18).
        doubtful = not _TYPES_OF_ASSERTIONS.isdisjoint(tolerances)
        spaces = (REQUEST_OBJECT, ASSERTION) if doubtful else (REQUEST_OBJECT,)
        key, until = f"{client.id} {found.jti}", found.expires_at + SKEW
        spends = tuple(Claim(space, key, until, made_at) for space in spaces)
    return Parameters(values, resources, made_at, spends, tolerances)


def _refuse_unsigned_details(form: Mapping[str, str]) -> None:
    """Also beside a request object: details count only under the client's signature (ATT-2)."""
    for name in (_DETAILS, _WRONG_NAME):
        if name in form:
            raise OAuthError(
                "invalid_request",
                f"ATT-2: {name}: must be inside a signed request object",
                rule="ATT-2",
                pointer=name,
            )


def _require_agreement(
    inside: Mapping[str, Any], beside: Mapping[str, str], resources: tuple[str, ...]
) -> None:
    for name, value in inside.items():
        if name == _RESOURCE:
            listed = value if isinstance(value, list) else [value]
            differs = bool(resources) and listed != list(resources)
        else:
            differs = name in beside and beside[name] != (str(value) if type(value) is int else value)
        if differs:
            raise invalid_request(
                f"{name[:_SHOWN]}: not the same inside and beside the request object", pointer=name[:_SHOWN]
            )
