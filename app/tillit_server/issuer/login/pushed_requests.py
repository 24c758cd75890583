"""POST /connect/par (RFC 9126): the list of steps, in order, and the one settlement at the end."""

import secrets
from dataclasses import replace
from typing import Final

from tillit.protocol.dpop import Proof
from tillit.protocol.errors import OAuthError, invalid_dpop_proof
from tillit_server.audit.events import Event, KeyShared, RequestPushed, ToleranceUsed
from tillit_server.issuer.answers import Answer
from tillit_server.issuer.client_authentication import AuthenticatedClient, authenticate_client
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.details import details_of, refuse_double
from tillit_server.issuer.login.asked import Asked
from tillit_server.issuer.login.authorization_steps import (
    AUTHORIZATION_STEPS,
    AuthorizationFacts,
    asked_of,
    tolerances_of,
)
from tillit_server.issuer.login.signed_requests import REQUEST_OBJECT
from tillit_server.issuer.request import Request
from tillit_server.issuer.sender_constraint import offered_proof, shares_key
from tillit_server.issuer.services import Services
from tillit_server.issuer.settling import note_use, single_use_ids
from tillit_server.issuer.steps import refused, run
from tillit_server.issuer.unseen import replayed, require_unseen
from tillit_server.storage.ports import Claim, Conflict, Issue, Settlement

PAR_PATH: Final = "/connect/par"
REQUEST_URI: Final = "request_uri"
"""The space of pushed requests in the store; the key is the random part of the URI."""
URN: Final = "urn:ietf:params:oauth:request_uri:"
NOT_KEPT: Final = (("Cache-Control", "no-cache, no-store"), ("Pragma", "no-cache"))


class PushedFacts(AuthorizationFacts):
    """What is known about a pushed request; each fact is set by the step of its name."""

    sent: Request
    authenticated_client: AuthenticatedClient
    fresh_proof: Proof | None
    bound_key: str | None

    def __init__(self, sent: Request, services: Services) -> None:
        self.sent = sent
        self.form = sent.form
        self.sent_resources = sent.resources
        self.services = services
        self.now = services.clock()

    @property
    def client(self) -> Client:
        """The client that has authenticated."""
        return self.authenticated_client.client


def authenticated_client(known: PushedFacts) -> AuthenticatedClient:
    """``invalid_client`` (RFC 9126 §2, RFC 7523 §3)."""
    return authenticate_client(known.sent, known.services, known.now)


def fresh_proof(known: PushedFacts) -> Proof | None:
    """``invalid_dpop_proof``, where there is a proof; a nonce is never asked for here (RFC 9449 §10.1)."""
    return offered_proof(known.sent, known.authenticated_client, known.now)


def unseen(known: PushedFacts) -> None:
    """A spent jti costs no register call; a look only, settle stays the judge."""
    require_unseen(known.authenticated_client, known.fresh_proof, known.services)


def bound_key(known: PushedFacts) -> str | None:
    """``invalid_dpop_proof``: a proof here and ``dpop_jkt`` must speak of one key (RFC 9449 §10.1)."""
    jkt, proof = known.sound_request.dpop_jkt, known.fresh_proof
    if proof is None:
        return jkt
    if jkt not in {None, proof.jkt}:
        raise invalid_dpop_proof("dpop_jkt: not the thumbprint of the proof's key", pointer="dpop_jkt")
    return proof.jkt


def one_structure(known: PushedFacts) -> None:
    """``access_denied``: an attestation in the assertion counts for nothing here, and not beside another."""
    if known.accepted_details is not None and asked_of(known).attests:
        refuse_double(known.accepted_details.details, details_of(known.authenticated_client))


PAR_STEPS = (
    authenticated_client,
    fresh_proof,
    unseen,
    *AUTHORIZATION_STEPS,
    one_structure,
    bound_key,
)


def push_request(sent: Request, services: Services) -> Answer:
    """Take an authorization request and give the ``request_uri`` that stands for it (RFC 9126 §2.2).

    Raises ``Refused``, and ``StorageUnavailable`` when what must be remembered cannot be.
    """
    known = run(PAR_STEPS, PushedFacts(sent, services))
    key = secrets.token_urlsafe(32)
    lifetimes = services.lifetimes
    value = {**asked_for(known).to_json(), "expires_at": known.now + lifetimes.request_uri}
    until = known.now + lifetimes.request_uri + lifetimes.interaction
    settlement = Settlement(
        claims=_claims(known),
        issues=(Issue(REQUEST_URI, key, value, until),),
        entries=tuple(services.audit.entry(event) for event in _events(known)),
    )
    try:
        services.store.settle(settlement)
    except Conflict as conflict:
        raise refused("settle", _spent(conflict.space), known) from conflict
    note_use(known.authenticated_client, services, known.now)
    return Answer(201, {"request_uri": URN + key, "expires_in": lifetimes.request_uri}, NOT_KEPT)


def _claims(known: PushedFacts) -> tuple[Claim, ...]:
    """What the request spends; assertion and request object may share an id, which is spent for both."""
    claims = (
        *single_use_ids(known.authenticated_client, known.fresh_proof),
        *known.signed_parameters.spends,
    )
    longest: dict[tuple[str, str], Claim] = {}
    for claim in claims:
        other = longest.setdefault((claim.space, claim.key), claim)
        if other.until < claim.until:
            longest[claim.space, claim.key] = claim
    return tuple(longest.values())


def asked_for(known: PushedFacts) -> Asked:
    """What the request asks, with the key that its code will be bound to."""
    return replace(asked_of(known), request=replace(known.sound_request, dpop_jkt=known.bound_key))


def _spent(space: str) -> OAuthError:
    if space == REQUEST_OBJECT:
        return OAuthError(
            "invalid_request_object", "request object: payload.jti: used before", pointer="payload.jti"
        )
    return replayed(space)


def _events(known: PushedFacts) -> list[Event]:
    client, assertion = known.client, known.authenticated_client.assertion
    parameters, proof = known.signed_parameters, known.fresh_proof
    asked = asked_for(known)
    events: list[Event] = [
        RequestPushed(
            client_id=client.id,
            scope=asked.request.scope,
            signed=parameters.signed,
            details=asked.types,
            assertion_jti=assertion.jti,
            jkt=known.bound_key,
        )
    ]
    if tolerances := (*assertion.tolerances_used, *tolerances_of(known)):
        events.append(ToleranceUsed(client_id=client.id, tolerances=tolerances, assertion_jti=assertion.jti))
    if proof is not None and shares_key(known.authenticated_client, proof):
        events.append(KeyShared(client_id=client.id, jkt=proof.jkt))
    return events
