"""POST /connect/revocation: a client gives a token up (RFC 7009).

A refresh token takes its whole family with it: every refresh and access token of that login. An access token
goes alone. What is no token of ours, or is one no longer, needs no revoking: 200. A token of another client
is left as it is, and the answer is an error (§2.1).
"""

from dataclasses import replace

from tillit.protocol.access_token import AccessToken
from tillit.protocol.errors import OAuthError, Rejected
from tillit_server.audit.events import TokenRevoked
from tillit_server.issuer.answers import NO_STORE, Answer
from tillit_server.issuer.client_requests import (
    ClientFacts,
    asked_token,
    authenticated_client,
    unseen,
)
from tillit_server.issuer.families import put_family, settle_with_family
from tillit_server.issuer.own_tokens import (
    REVOKED_TOKEN,
    OwnRefreshToken,
    find_refresh_token,
    verify_access_token,
)
from tillit_server.issuer.request import Request
from tillit_server.issuer.services import Services
from tillit_server.issuer.steps import refused, run
from tillit_server.issuer.unseen import replayed
from tillit_server.storage.ports import Conflict, Put, Settlement

# A clock that jumped ahead by hours, and back, must not bring a token to life again (threat T3).
REMEMBERED = 86_400


class Revocation(ClientFacts):
    """What is known about a revocation request."""

    token_to_revoke: AccessToken | OwnRefreshToken | None


def token_to_revoke(known: Revocation) -> AccessToken | OwnRefreshToken | None:
    """The token, if it is one of ours that could still be used; ``invalid_grant`` for another client's."""
    text = known.asked_token
    found: AccessToken | OwnRefreshToken | None
    try:
        found = verify_access_token(text, known.services, known.now)
        owner = found.client_id
    except Rejected:
        found = find_refresh_token(text, known.services)
        if found is None:
            return None
        owner = found.family.authorized.client_id
    if owner != known.authenticated_client.client.id:
        raise OAuthError("invalid_grant", "token: issued to another client", pointer="token")
    return found


REVOCATION_STEPS = (authenticated_client, unseen, asked_token, token_to_revoke)


def revoke(request: Request, services: Services) -> Answer:
    """Revoke the token of ``request``, on disk before the answer.

    Raises ``Refused`` (``invalid_client``, ``invalid_request``, ``invalid_grant``) and
    ``StorageUnavailable``: a token is never called revoked that is not.
    """
    known = run(REVOCATION_STEPS, Revocation(request, services))

    def look_again() -> None:
        known.token_to_revoke = token_to_revoke(known)

    try:
        settle_with_family(services.store, lambda: _settlement_of(known), look_again)
    except Conflict as conflict:
        raise refused("settle", replayed(conflict.space), known) from conflict
    return Answer(200, {}, NO_STORE)


def _settlement_of(known: Revocation) -> Settlement:
    """The assertion is spent whatever comes of it; what is revoked already needs no second entry."""
    found, services, client = known.token_to_revoke, known.services, known.authenticated_client.client
    entries = known.tolerated
    puts: tuple[Put, ...] = ()
    if isinstance(found, AccessToken) and services.store.records.get(REVOKED_TOKEN, found.jti) is None:
        event = TokenRevoked(client_id=client.id, jti=found.jti)
        puts = (Put(REVOKED_TOKEN, found.jti, value=True, until=found.expires_at + REMEMBERED),)
        entries = (*entries, services.audit.entry(event))
    elif isinstance(found, OwnRefreshToken) and not found.family.revoked:
        event = TokenRevoked(client_id=client.id, family=found.family.authorized.family)
        puts = (put_family(replace(found.family, revoked=True), expect=found.version),)
        entries = (*entries, services.audit.entry(event))
    return Settlement(claims=known.spends, puts=puts, entries=entries)
