"""How an authorization request is judged before anybody logs in: one list, for PAR and the front channel.

The order is the one certification runs expect: the envelope of a request object first, then where the answer
would go, then what the request says. Whoever has no trustworthy redirect URI yet is not sent anywhere.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from tillit.protocol.authorization_request import AuthorizationRequest, read_authorization_request
from tillit.protocol.errors import OAuthError, invalid_request, invalid_scope
from tillit_server.issuer.attesting import check_pushed_details
from tillit_server.issuer.authorized import CarriedDetails
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.clients.redirecting import may_return_to
from tillit_server.issuer.login.asked import Asked
from tillit_server.issuer.login.signed_requests import Parameters, read_parameters
from tillit_server.issuer.services import Services
from tillit_server.issuer.steps import Facts

GRANT = "authorization_code"
MISSING_PKCE = "missing_pkce"


class AuthorizationFacts(Facts, ABC):
    """What is known about an authorization request; each fact is set by the step of its name.

    ``form``: the parameters as they came, each once; ``sent_resources``: the one that may repeat.
    """

    form: Mapping[str, str]
    sent_resources: tuple[str, ...]
    services: Services
    now: float
    signed_parameters: Parameters
    own_redirect_uri: str
    sound_request: AuthorizationRequest
    accepted_details: CarriedDetails | None

    @property
    @abstractmethod
    def client(self) -> Client:
        """Who asks; how that is known differs between PAR and the front channel."""


def allowed_to_ask(known: AuthorizationFacts) -> None:
    """``unauthorized_client`` (RFC 6749 §4.1.2.1)."""
    if GRANT not in known.client.grants:
        raise OAuthError("unauthorized_client", "this client may not ask for a login")


def signed_parameters(known: AuthorizationFacts) -> Parameters:
    """``invalid_request_object`` (RFC 9101), and ``invalid_request`` where a signature is missing."""
    return read_parameters(known.client, known.form, known.sent_resources, known.services, known.now)


def own_redirect_uri(known: AuthorizationFacts) -> str:
    """``invalid_request``: from here on an answer may be sent there (RFC 9700 §4.1)."""
    uri = known.signed_parameters.values.get("redirect_uri")
    if not isinstance(uri, str) or not uri:
        raise invalid_request("redirect_uri: missing", pointer="redirect_uri")
    if not may_return_to(known.client, uri):
        raise invalid_request("redirect_uri: not registered for this client", pointer="redirect_uri")
    return uri


def sound_request(known: AuthorizationFacts) -> AuthorizationRequest:
    """``invalid_request``, ``unsupported_response_type`` … (RFC 6749 §4.1.1, RFC 7636, OIDC Core §3.1.2)."""
    parameters = known.signed_parameters
    return read_authorization_request(
        {**parameters.values, "client_id": known.client.id},
        resources=parameters.resources,
        require_pkce=known.client.profile.pkce_required,
    )


def granted_scope(known: AuthorizationFacts) -> None:
    """``invalid_scope``, ``invalid_target`` (RFC 6749 §3.3, RFC 8707 §2)."""
    client, apis, request = known.client, known.services.apis, known.sound_request
    if not request.scope:
        raise invalid_scope("scope: missing")
    if not all(scope in client.scopes and apis.knows(scope) for scope in request.scope):
        raise invalid_scope("scope: a scope that is not granted to this client")
    audiences = {apis.by_scope[scope].audience for scope in request.scope if scope in apis.by_scope}
    if not audiences.issuperset(request.resources):
        raise OAuthError(
            "invalid_target", "resource: no scope of this request belongs to it", pointer="resource"
        )


def accepted_details(known: AuthorizationFacts) -> CarriedDetails | None:
    """``invalid_authorization_details``, ``access_denied``: all that can be judged before a login (ATT-…)."""
    request, parameters = known.sound_request, known.signed_parameters
    if not request.details or parameters.carrier_iat is None:
        return None
    carried = CarriedDetails(request.details, parameters.carrier_iat)
    check_pushed_details(known.client, carried, request.scope, known.services, known.now)
    return carried


AUTHORIZATION_STEPS = (
    allowed_to_ask,
    signed_parameters,
    own_redirect_uri,
    sound_request,
    granted_scope,
    accepted_details,
)


def asked_of(known: AuthorizationFacts) -> Asked:
    """What the judged request asks."""
    return Asked(known.sound_request, known.accepted_details)


def tolerances_of(known: AuthorizationFacts) -> tuple[str, ...]:
    """What the client's profile forgave in the request, for the audit."""
    missing_pkce = () if known.sound_request.code_challenge else (MISSING_PKCE,)
    return (*known.signed_parameters.tolerances, *missing_pkce)
