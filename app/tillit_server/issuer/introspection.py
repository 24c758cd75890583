"""POST /connect/introspect: whether a token holds, and what it says (RFC 7662), signed if wanted (RFC 9701).

Only those who are meant to read a token learn anything of it: its own client, and the API it is for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tillit.protocol.authorization_details import ATTESTATION_TYPE, of_type
from tillit.protocol.errors import Rejected
from tillit.protocol.introspection import INACTIVE, TYP, introspection_claims
from tillit_server.issuer.answers import NO_STORE, Answer
from tillit_server.issuer.attesting import MAX_AGE
from tillit_server.issuer.authorized import Authorized
from tillit_server.issuer.claims import ATTESTATION_CLAIM
from tillit_server.issuer.client_requests import (
    ClientFacts,
    asked_token,
    authenticated_client,
    unseen,
)
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.own_tokens import (
    OwnRefreshToken,
    OwnToken,
    find_refresh_token,
    require_live,
    verify_access_token,
)
from tillit_server.issuer.request import Request
from tillit_server.issuer.services import Services
from tillit_server.issuer.settling import note_use
from tillit_server.issuer.steps import refused, run
from tillit_server.issuer.unseen import replayed
from tillit_server.issuer.users import subject_of
from tillit_server.storage.ports import Conflict, Settlement


@dataclass(frozen=True, slots=True)
class SignedAnswer:
    """An answer that is a JWT of media type ``MEDIA_TYPE`` (RFC 9701 §5)."""

    token: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = NO_STORE


class Introspection(ClientFacts):
    """What is known about an introspection request."""

    told: Mapping[str, Any]


def told(known: Introspection) -> Mapping[str, Any]:
    """What the caller may know of the token; of any other token than its own only that it is not active."""
    caller, text = known.authenticated_client.client, known.asked_token
    try:
        token = require_live(verify_access_token(text, known.services, known.now), known.services)
    except Rejected:
        return _of_refresh_token(find_refresh_token(text, known.services), caller, known)
    mine = token.access.client_id == caller.id
    return _of_access_token(token, caller) if mine or token.access.audience in caller.audiences else INACTIVE


INTROSPECTION_STEPS = (authenticated_client, unseen, asked_token, told)


def introspect(request: Request, services: Services, *, signed: bool) -> Answer | SignedAnswer:
    """Answer what the caller may know of a token, ``signed`` if it asked for that (by ``Accept``).

    Raises ``Refused`` (``invalid_client``, ``invalid_request``) and ``StorageUnavailable``: what cannot be
    asked about is never called active, nor inactive.
    """
    known = run(INTROSPECTION_STEPS, Introspection(request, services))
    caller = known.authenticated_client.client
    answer: Answer | SignedAnswer = Answer(200, known.told, NO_STORE)
    if signed:
        claims = introspection_claims(
            issuer=services.issuer, audience=caller.id, now=known.now, response=known.told
        )
        answer = SignedAnswer(services.signer.sign(TYP, claims, caller.id_token_signed_response_alg)[0])
    try:
        services.store.settle(Settlement(claims=known.spends, entries=known.tolerated))
    except Conflict as conflict:
        raise refused("settle", replayed(conflict.space), known) from conflict
    note_use(known.authenticated_client, services, known.now)
    return answer


def _of_access_token(token: OwnToken, caller: Client) -> Mapping[str, Any]:
    access = token.access
    answer = {
        **access.claims,
        "active": True,
        # RFC 7662 §2.2: here scope is one string, whatever it is in the token
        "scope": " ".join(access.scope),
        "token_type": "Bearer" if access.jkt is None else "DPoP",
    }
    details = _details_for(caller, token)
    if details:
        answer["authorization_details"] = details
    return answer


def _details_for(caller: Client, token: OwnToken) -> list[Mapping[str, Any]]:
    """The details of the request behind a token: all of them for who sent them.

    An API learns of the attestation alone, and that only if this very token attests it: a login may carry
    one that was never meant for this API.
    """
    authorized = token.family.authorized if token.family else None
    if authorized is None or authorized.carried is None:
        return []
    details = authorized.carried.details
    if authorized.client_id == caller.id:
        return list(details)
    attests = ATTESTATION_CLAIM in token.access.claims
    return [detail for detail in details if attests and detail.get("type") == ATTESTATION_TYPE]


def _of_refresh_token(
    found: OwnRefreshToken | None, caller: Client, known: Introspection
) -> Mapping[str, Any]:
    """RFC 7662 §2.2 for a refresh token: for its own client only, for nobody else can use it."""
    if found is None or not found.holds(known.now) or found.family.authorized.client_id != caller.id:
        return INACTIVE
    authorized = found.family.authorized
    if not _could_refresh(authorized, caller, known.now):
        return INACTIVE
    return {
        "active": True,
        "iss": known.services.issuer,
        "client_id": caller.id,
        "sub": subject_of(authorized.user, caller, known.services.subject_secret),
        "scope": " ".join(authorized.scopes),
        "exp": found.family.expires_at,
        **({"authorization_details": list(authorized.carried.details)} if authorized.carried else {}),
    }


def _could_refresh(authorized: Authorized, caller: Client, now: float) -> bool:
    """Whether any refresh would be granted: none is with an attestation that is too old."""
    if "refresh_token" not in caller.grants or caller.scopes.isdisjoint(authorized.scopes):
        return False
    carried = authorized.carried
    attestation = of_type(carried.details, ATTESTATION_TYPE) if carried else None
    if carried is None or attestation is None:
        return True
    made_at: int = attestation.get("toa", carried.carrier_iat)
    return int(now) < made_at + MAX_AGE
