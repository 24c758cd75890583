"""What introspection and revocation have in common: a form by an authenticated client, about one token."""

from tillit.protocol.errors import invalid_request
from tillit_server.audit.events import ToleranceUsed
from tillit_server.issuer.client_authentication import AuthenticatedClient, authenticate_client
from tillit_server.issuer.request import Request
from tillit_server.issuer.services import Services
from tillit_server.issuer.settling import single_use_ids
from tillit_server.issuer.steps import Facts
from tillit_server.issuer.unseen import require_unseen
from tillit_server.storage.ports import Claim, Entry


class ClientFacts(Facts):
    """What is known about such a request; each fact is set by the step of its name."""

    request: Request
    services: Services
    now: float
    authenticated_client: AuthenticatedClient
    asked_token: str

    def __init__(self, request: Request, services: Services) -> None:
        self.request = request
        self.services = services
        self.now = services.clock()

    @property
    def spends(self) -> tuple[Claim, ...]:
        """The assertion's id: no proof is asked for here, since nothing is bound to a key."""
        return single_use_ids(self.authenticated_client, None)

    @property
    def tolerated(self) -> tuple[Entry, ...]:
        """What the client's profile forgave, for the audit."""
        assertion = self.authenticated_client.assertion
        if not assertion.tolerances_used:
            return ()
        event = ToleranceUsed(
            client_id=assertion.client_id, tolerances=assertion.tolerances_used, assertion_jti=assertion.jti
        )
        return (self.services.audit.entry(event),)


def authenticated_client(known: ClientFacts) -> AuthenticatedClient:
    """``invalid_client`` (RFC 7662 §2.1, RFC 7009 §2.1, RFC 7523 §3)."""
    return authenticate_client(known.request, known.services, known.now)


def unseen(known: ClientFacts) -> None:
    """A spent jti costs nothing more; a look only, settle stays the judge."""
    require_unseen(known.authenticated_client, None, known.services)


def asked_token(known: ClientFacts) -> str:
    """``invalid_request``: which token it is about. A ``token_type_hint`` may say anything: we see."""
    token = known.request.form.get("token")
    if token is None:
        raise invalid_request("token: missing", pointer="token")
    return token
