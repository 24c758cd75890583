"""Who is asking: private_key_jwt, the only client authentication there is (RFC 7523 §3)."""

from base64 import b64decode
from binascii import Error as NotBase64
from dataclasses import dataclass, replace
from functools import cache
from urllib.parse import unquote_plus

from tillit.protocol.client_assertion import ASSERTION_TYPE, Assertion, check_assertion, read_assertion
from tillit.protocol.errors import OAuthError, invalid_client, invalid_request
from tillit.protocol.gate import UnverifiedJWS
from tillit.protocol.jose import PublicKey, generate_key, verify_bytes
from tillit.protocol.key_quality import MIN_RSA_BITS
from tillit.quick import quick
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.request import Request
from tillit_server.issuer.services import Services

# What an authorization request holds; its type need not tell it from an assertion (RFC 9101 §10.8).
_OF_REQUESTS = frozenset({"response_type", "redirect_uri", "code_challenge"})
# Whom an assertion of an unknown client is judged as; nothing it could sign is ever accepted.
_NOBODY = Client("", (), (), frozenset(), frozenset(), disabled=True)


@quick
@dataclass(frozen=True, slots=True)
class AuthenticatedClient:
    """A client and the verified assertion that proved it."""

    client: Client
    assertion: Assertion


def authenticate_client(request: Request, services: Services, now: float) -> AuthenticatedClient:
    """The client that signed the assertion of ``request``.

    Every refusal has the same body; the reason is in the detail, for the log (RFC 6749 §5.2).
    Raises ``OAuthError`` ``invalid_client``, and ``invalid_request`` to a client of the legacy profile that
    sends a secret beside a good assertion; 503 while a client that publishes its keys has none to be had;
    429 to a client that asks too often.
    """
    form = request.form
    basic = None if request.authorization is None else _basic(request.authorization)
    # RFC 6749 §2.3: one method of authentication per request
    if (request.authorization is not None and basic is None) or "client_secret" in form:
        raise _two_methods()
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise invalid_client("client_assertion_type is not jwt-bearer", pointer="client_assertion_type")
    unverified = read_assertion(form.get("client_assertion", ""))
    # RFC 7521 §4.2: a client_id beside the assertion must name the same client
    if form.get("client_id", unverified.unverified_client_id) != unverified.unverified_client_id:
        raise invalid_client("client_id differs from the assertion", pointer="client_id")
    client = services.clients.find(unverified.unverified_client_id)
    judged_as = client or _NOBODY
    try:
        assertion = check_assertion(
            unverified,
            keys=() if judged_as.disabled else services.key_sets.keys_of(judged_as, now),
            client_id=unverified.unverified_client_id,
            issuer=services.issuer,
            now=now,
            algorithms=judged_as.algorithms,
            profile=judged_as.assertion_profile,
            token_endpoint=services.token_endpoint,
        )
    except OAuthError as error:
        # Time must not tell who is registered (threat C9): every refusal takes as long as a wrong signature.
        if error.pointer != "signature":
            _verify_in_vain(unverified.jws)
        if judged_as.disabled:
            reason = "unknown client" if client is None else "the client is disabled"
            raise invalid_client(reason, pointer="client_assertion.iss") from error
        raise
    authenticated = AuthenticatedClient(judged_as, _standing_alone(assertion, basic, judged_as))
    services.limits.require_client(request.endpoint, judged_as.id)
    return authenticated


def _standing_alone(assertion: Assertion, basic: tuple[str, str] | None, client: Client) -> Assertion:
    """The assertion, when it is one and nothing else speaks for the client.

    Judged last, so that nobody but the client learns what it is forgiven (threat C9).
    """
    if not _OF_REQUESTS.isdisjoint(assertion.claims):
        # Requests pass through browsers in the oldest profile; who finds one is not its client (threat J18).
        raise invalid_client("a request object is no assertion", pointer="client_assertion")
    if basic is None:
        return assertion
    named, secret = basic
    if named != client.id or not client.profile.empty_basic_header:
        raise _two_methods()
    if secret:
        raise invalid_request("Authorization: a secret beside a client assertion")
    return replace(assertion, tolerances_used=(*assertion.tolerances_used, "empty_basic_header"))


def _basic(authorization: str) -> tuple[str, str] | None:
    """The client that a Basic header names, and the secret, which proves nothing here (RFC 6749 §2.3.1)."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, secret = b64decode(value, validate=True).decode("ascii").partition(":")
    except (NotBase64, ValueError):
        return None
    return (unquote_plus(name), secret) if name and colon else None


def _two_methods() -> OAuthError:
    return invalid_client("more than one client authentication method", pointer="client_assertion")


def _verify_in_vain(jws: UnverifiedJWS) -> None:
    verify_bytes(jws.signing_input, jws.signature, _nobodys_key(jws.alg), jws.alg)


@cache
def _nobodys_key(alg: str) -> PublicKey:
    return generate_key(alg, rsa_bits=MIN_RSA_BITS).public
