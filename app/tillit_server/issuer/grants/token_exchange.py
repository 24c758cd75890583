"""RFC 8693: an API that was asked with a token asks another API on behalf of the same person or client.

The actor must be the audience of the subject token and be registered for exchange. It proves its own key, to
which the new token is bound; the key of the subject token is its sender's, who is not here. What the subject
token attests is carried on; the actor cannot attest anything itself.
"""

from typing import TYPE_CHECKING, Any

from tillit.protocol.access_token import AccessToken
from tillit.protocol.errors import OAuthError, Rejected, invalid_request
from tillit_server.issuer.apis import ATTESTATION_SCOPE, IDENTITY_SCOPES
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.grants.basis import Basis, SubjectToken
from tillit_server.issuer.own_tokens import OwnToken, require_live, verify_access_token

if TYPE_CHECKING:
    from tillit_server.issuer.token_endpoint import TokenFacts

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 (a type)
MAX_ACTORS = 4


def token_exchange(known: "TokenFacts") -> Basis:
    """The subject token, and what the actor is registered for."""
    form, actor = known.request.form, known.authenticated_client.client
    _require_types(form)
    subject = _subject(known, form.get("subject_token"), actor)
    access = subject.access
    act = access.claims.get("act")
    if _actors(act) >= MAX_ACTORS:
        raise invalid_request(f"subject_token: more than {MAX_ACTORS} have acted in a chain")
    return Basis(
        subject=access.subject,
        scopes=actor.scopes - IDENTITY_SCOPES,
        established_by="login" if subject.family else "legal_entity",
        authorized=subject.family.authorized if subject.family else None,
        not_after=access.expires_at,
        subject_token=SubjectToken(
            access.jti,
            access.claims.get(ATTESTATION_SCOPE),
            act,
            chain=((access.jti, access.client_id), *subject.made_from),
        ),
    )


def _require_types(form: Any) -> None:
    if form.get("subject_token_type") != ACCESS_TOKEN_TYPE:
        raise invalid_request(f"subject_token_type: {ACCESS_TOKEN_TYPE} needed", pointer="subject_token_type")
    if form.get("requested_token_type", ACCESS_TOKEN_TYPE) != ACCESS_TOKEN_TYPE:
        raise invalid_request(
            f"requested_token_type: {ACCESS_TOKEN_TYPE} needed", pointer="requested_token_type"
        )
    # The client assertion says who acts; a second word on that could only differ.
    if "actor_token" in form or "actor_token_type" in form:
        raise invalid_request("actor_token: the actor is the client", pointer="actor_token")


def _subject(known: "TokenFacts", text: str | None, actor: Client) -> OwnToken:
    if text is None:
        raise invalid_request("subject_token: missing", pointer="subject_token")
    try:
        access = verify_access_token(text, known.services, known.now)
        _require_audience(access, actor)
        return require_live(access, known.services)
    except Rejected as rejected:
        # RFC 8693 §2.2.2: whatever is wrong with it, the request is; a token of others is not explained.
        raise OAuthError(
            "invalid_request",
            "subject_token: not an access token of this issuer for this client, or not good now",
            pointer="subject_token",
            detail=str(rejected),
        ) from rejected


def _require_audience(access: AccessToken, actor: Client) -> None:
    if access.audience not in actor.audiences:
        raise Rejected("for another audience", "payload.aud", found=access.audience)


def _actors(act: Any) -> int:
    count = 0
    while isinstance(act, dict):
        count, act = count + 1, act.get("act")
    return count
