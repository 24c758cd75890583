"""Authorization details as a client sends them (RFC 9396): where they may stand, and what is beside them."""

from collections.abc import Mapping
from typing import Any

from tillit.protocol.authorization_details import ATTESTATION_TYPE, of_type, read_details
from tillit.protocol.errors import OAuthError
from tillit_server.issuer.apis import JOURNAL_SCOPE
from tillit_server.issuer.authorized import Authorized
from tillit_server.issuer.client_authentication import AuthenticatedClient
from tillit_server.issuer.clients.client import Client

Details = tuple[Mapping[str, Any], ...]

MAX_JOURNAL_ID = 64  # a GUID and some room

_NAME = "assertion_details"
_OLD_NAME = "authorization_details"
_DOUBLE = "HID-DOUBLE-STRUCTURE"


def refuse_unsigned_details(form: Mapping[str, str]) -> None:
    """Details count only under the client's signature (ATT-2). Raises ``OAuthError`` ``invalid_request``."""
    for name in (_NAME, _OLD_NAME):
        if name in form:
            raise OAuthError(
                "invalid_request",
                f"ATT-2: {name}: must be inside the signed client assertion",
                rule="ATT-2",
                pointer=name,
            )


def details_of(authenticated: AuthenticatedClient) -> Details:
    """The details in the assertion, under the names this client may use; only one may attest."""
    client, assertion = authenticated.client, authenticated.assertion
    other = assertion.claims.get(_OLD_NAME)
    if other is not None and not client.profile.assertion.legacy_authorization_details:
        raise OAuthError(
            "invalid_request",
            f"HID-1007: {_OLD_NAME}: a client assertion carries assertion_details",
            rule="HID-1007",
            pointer=_OLD_NAME,
        )
    if assertion.details is None:
        return ()
    details = read_details(assertion.details, carrier=_NAME)
    if other is None or other is assertion.details:
        return details
    others = read_details(other, carrier=_OLD_NAME)
    refuse_double(details, others, "the attestation is given under two names")
    return (*details, *others)


def attests(authenticated: AuthenticatedClient, authorized: Authorized | None) -> bool:
    """Whether there is an attestation, sent with this request or with the login it rests on."""
    carried = authorized.carried.details if authorized and authorized.carried else ()
    return any(of_type(details, ATTESTATION_TYPE) for details in (details_of(authenticated), carried))


def refuse_double(
    some: Details, others: Details, text: str = "the attestation was already given in the request object"
) -> None:
    """Only one carrier may attest. Raises ``OAuthError`` ``access_denied``, in the words clients know."""
    if of_type(some, ATTESTATION_TYPE) is not None and of_type(others, ATTESTATION_TYPE) is not None:
        raise OAuthError("access_denied", f"{_DOUBLE}: {text}", rule=_DOUBLE)


def journal_id_of(client: Client, detail: Mapping[str, Any] | None) -> str | None:
    """The id in the ``nhn:sfm:journal-id`` object. Raises ``OAuthError``: HID-1007, ``invalid_scope``."""
    if detail is None:
        return None
    if JOURNAL_SCOPE not in client.scopes:
        raise OAuthError("invalid_scope", f"{JOURNAL_SCOPE} is not granted to this client")
    value = detail.get("value")
    journal_id = value.get("journal_id") if isinstance(value, Mapping) else None
    if not isinstance(journal_id, str) or not 1 <= len(journal_id) <= MAX_JOURNAL_ID:
        raise OAuthError("invalid_request", "HID-1007: value.journal_id: a GUID needed", rule="HID-1007")
    return journal_id
