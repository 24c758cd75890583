"""POST /connect/introspect: whether a token holds, and what it says (RFC 7662), signed if wanted (RFC 9701).

Only those who are meant to read a token learn anything of it: its own client, and the API it is for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tillit.protocol.errors import Rejected
from tillit.protocol.introspection import INACTIVE, TYP, introspection_claims
from tillit_server.issuer.answers import NO_STORE, Answer
from tillit_server.issuer.authorized import CarriedDetails
from tillit_server.issuer.client_requests import (
    ClientFacts,
    asked_token,
    authenticated_client,
    replayed,
    unseen,
)
from tillit_server.issuer.clients import Client
from tillit_server.issuer.own_tokens import (
    OwnRefreshToken,
    OwnToken,
    find_refresh_token,
    require_live,
    verify_access_token,
)
from tillit_server.issuer.request import Request
from tillit_server.issuer.services import Services
from tillit_server.issuer.steps import refused, run
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
    return (
        _of_access_token(token, caller, known)
        if mine or token.access.audience in caller.audiences
        else INACTIVE
    )


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
        raise refused("settle", replayed(), known) from conflict
    return answer


def _of_access_token(token: OwnToken, caller: Client, known: Introspection) -> Mapping[str, Any]:
    access = token.access
    answer = {
        **access.claims,
        "active": True,
        # RFC 7662 §2.2: here scope is one string, whatever it is in the token
        "scope": " ".join(access.scope),
        "token_type": "Bearer" if access.jkt is None else "DPoP",
    }
    carried = _carried_for(caller, token, known)
    if carried:
        answer["authorization_details"] = list(carried.details)
    return answer


def _carried_for(caller: Client, token: OwnToken, known: Introspection) -> CarriedDetails | None:
    """The details of the request behind a token: for who sent them, and an API that asked for attestations.

    Not for an API that has exchanged a token; what it may know stands in the token it got.
    """
    if token.family is None:
        return None
    authorized = token.family.authorized
    api = known.services.apis.by_audience.get(token.access.audience)
    wanted = api is not None and api.attestation != "none"
    return authorized.carried if wanted or authorized.client_id == caller.id else None


def _of_refresh_token(
    found: OwnRefreshToken | None, caller: Client, known: Introspection
) -> Mapping[str, Any]:
    """RFC 7662 §2.2 for a refresh token: for its own client only, for nobody else can use it."""
    if found is None or not found.holds(known.now) or found.family.authorized.client_id != caller.id:
        return INACTIVE
    authorized = found.family.authorized
    return {
        "active": True,
        "iss": known.services.issuer,
        "client_id": caller.id,
        "sub": subject_of(authorized.user, caller, known.services.subject_secret),
        "scope": " ".join(authorized.scopes),
        "exp": found.family.expires_at,
        **({"authorization_details": list(authorized.carried.details)} if authorized.carried else {}),
    }
