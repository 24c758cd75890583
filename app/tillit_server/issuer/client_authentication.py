"""Who is asking: private_key_jwt, the only client authentication there is (RFC 7523 §3)."""

from dataclasses import dataclass

from tillit.protocol.client_assertion import ASSERTION_TYPE, Assertion, check_assertion, read_assertion
from tillit.protocol.errors import invalid_client
from tillit_server.issuer.clients import Client
from tillit_server.issuer.request import Request
from tillit_server.issuer.services import Services


@dataclass(frozen=True, slots=True)
class AuthenticatedClient:
    """A client and the verified assertion that proved it."""

    client: Client
    assertion: Assertion


def authenticate_client(request: Request, services: Services, now: float) -> AuthenticatedClient:
    """The client that signed the assertion of ``request``.

    Every refusal has the same body; the reason is in the detail, for the log (RFC 6749 §5.2).
    Raises ``OAuthError`` ``invalid_client``.
    """
    form = request.form
    # RFC 6749 §2.3: one method of authentication per request
    if request.has_authorization_header or "client_secret" in form:
        raise invalid_client("more than one client authentication method", pointer="client_assertion")
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise invalid_client("client_assertion_type is not jwt-bearer", pointer="client_assertion_type")
    unverified = read_assertion(form.get("client_assertion", ""))
    # RFC 7521 §4.2: a client_id beside the assertion must name the same client
    if form.get("client_id", unverified.unverified_client_id) != unverified.unverified_client_id:
        raise invalid_client("client_id differs from the assertion", pointer="client_id")
    client = services.clients.find(unverified.unverified_client_id)
    if client is None:
        raise invalid_client("unknown client", pointer="client_assertion.iss")
    if client.disabled:
        raise invalid_client("the client is disabled", pointer="client_assertion.iss")
    assertion = check_assertion(
        unverified,
        keys=client.keys_at(now),
        client_id=client.id,
        issuer=services.issuer,
        now=now,
        algorithms=client.algorithms,
        profile=client.assertion_profile,
        token_endpoint=services.token_endpoint,
    )
    return AuthenticatedClient(client, assertion)
