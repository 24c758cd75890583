"""The request that begins a login, as it is pushed (RFC 9126): plain fields, or one signed object."""

from collections.abc import Mapping, Sequence
from typing import Any

from tillit.attestation.model import Attestation
from tillit.attestation.wire import ATTESTATION_TYPE, to_claim
from tillit.client.attesting import Details
from tillit.client.token_request import Fields
from tillit.client.wire import Wire
from tillit.protocol.request_object import make_request_object


def carried_details(attestation: Attestation | None, others: Details) -> list[dict[str, Any]]:
    """Give the `authorization_details` of a login, an array (RFC 9396 §2), empty when there are none."""
    details = [dict(other) for other in others]
    if attestation is not None:
        details.append({"type": ATTESTATION_TYPE, **to_claim(attestation)})
    return details


def plain_fields(request: Mapping[str, Any], resources: Sequence[str]) -> Fields:
    """Give the request as form fields; `resource` is the one that may repeat (RFC 8707 §2)."""
    return [
        *((name, str(value)) for name, value in request.items()),
        *(("resource", resource) for resource in resources),
    ]


def signed_fields(
    wire: Wire, request: Mapping[str, Any], resources: Sequence[str], details: Details
) -> Fields:
    """Give the one field that holds it all under the client's signature (RFC 9101 §4)."""
    claims = dict(request)
    if resources:
        claims["resource"] = list(resources)
    if details:
        claims["authorization_details"] = list(details)
    signed = make_request_object(
        wire.key, wire.client_id, wire.issuer, claims, now=wire.clock(), jti=wire.new_id()
    )
    return [("request", signed)]
