"""POST /connect/token: the list of steps, in order, and the one settlement at the end."""

from collections.abc import Sequence
from typing import Any

from tillit.protocol.dpop import Proof
from tillit.protocol.errors import OAuthError, invalid_request
from tillit_server.issuer.answers import NO_STORE
from tillit_server.issuer.attesting import Attested, accept_attestation
from tillit_server.issuer.carrying import carry_attestation
from tillit_server.issuer.client_authentication import AuthenticatedClient, authenticate_client
from tillit_server.issuer.codes import CODE
from tillit_server.issuer.details import attests, refuse_unsigned_details
from tillit_server.issuer.families import settle_with_family
from tillit_server.issuer.grants import GRANTS
from tillit_server.issuer.grants.authorization_code import not_good
from tillit_server.issuer.grants.basis import Basis, Grant
from tillit_server.issuer.id_tokens import make_id_token
from tillit_server.issuer.minting import MintedToken, mint_access_token
from tillit_server.issuer.request import Request
from tillit_server.issuer.reuse import Reused, end_family
from tillit_server.issuer.sender_constraint import require_proof
from tillit_server.issuer.services import Services
from tillit_server.issuer.settling import note_use, settlement_of
from tillit_server.issuer.steps import Facts, Refused, Step, refused, run
from tillit_server.issuer.target import Target
from tillit_server.issuer.targeting import narrow_scope
from tillit_server.issuer.terms import within_terms
from tillit_server.issuer.token_answers import token_answer
from tillit_server.issuer.unseen import replayed, require_unseen
from tillit_server.storage.ports import Conflict, Settlement


class TokenFacts(Facts):
    """What is known about a token request; each fact is set by the step of its name."""

    request: Request
    services: Services
    now: float
    known_grant: Grant
    authenticated_client: AuthenticatedClient
    fresh_proof: Proof | None
    basis_of_grant: Basis
    narrowed_scope: Target
    accepted_attestation: Attested
    minted_tokens: MintedToken
    id_token: str | None

    def __init__(self, request: Request, services: Services) -> None:
        self.request = request
        self.services = services
        self.now = services.clock()


def known_grant(known: TokenFacts) -> Grant:
    """``unsupported_grant_type`` (RFC 6749 §5.2)."""
    name = known.request.form.get("grant_type")
    if name is None:
        raise invalid_request("grant_type: missing", pointer="grant_type")
    grant = GRANTS.get(name)
    if grant is None:
        raise OAuthError("unsupported_grant_type", "grant_type: not supported", pointer="grant_type")
    return grant


def authenticated_client(known: TokenFacts) -> AuthenticatedClient:
    """``invalid_client`` (RFC 7523 §3)."""
    return authenticate_client(known.request, known.services, known.now)


def fresh_proof(known: TokenFacts) -> Proof | None:
    """``invalid_dpop_proof``, ``use_dpop_nonce`` (RFC 9449 §4.3, §8)."""
    return require_proof(known.request, known.authenticated_client, known.services, known.now)


def allowed_grant(known: TokenFacts) -> None:
    """``unauthorized_client`` (RFC 6749 §5.2)."""
    registered = known.authenticated_client.client.grants
    if known.known_grant not in [grant for name, grant in GRANTS.items() if name in registered]:
        raise OAuthError(
            "unauthorized_client", "grant_type: not allowed for this client", pointer="grant_type"
        )


def unseen(known: TokenFacts) -> None:
    """A spent jti that is seen here costs no register call and no signature; settle stays the judge."""
    require_unseen(known.authenticated_client, known.fresh_proof, known.services)


def basis_of_grant(known: TokenFacts) -> Basis:
    """``invalid_grant``: what the grant rests on."""
    return known.known_grant(known)


def narrowed_scope(known: TokenFacts) -> Target:
    """``invalid_scope``, ``invalid_target`` (RFC 6749 §3.3, RFC 8707)."""
    services, basis = known.services, known.basis_of_grant
    target = narrow_scope(
        known.request,
        basis,
        services.apis,
        issuer=services.issuer,
        # Only a login waits: without one, and in an exchange, no attestation can come later.
        attests=not basis.own_login or attests(known.authenticated_client, basis.authorized),
    )
    return within_terms(target, known.authenticated_client, basis.authorized, services, known.now)


def accepted_attestation(known: TokenFacts) -> Attested:
    """``access_denied``, ``invalid_authorization_details`` (RFC 9396 §5, ATT-…)."""
    refuse_unsigned_details(known.request.form)
    basis = known.basis_of_grant
    if basis.subject_token is not None:
        return carry_attestation(
            known.authenticated_client, known.narrowed_scope, known.services, known.now, basis=basis
        )
    return accept_attestation(
        known.authenticated_client,
        known.narrowed_scope,
        known.services,
        known.now,
        established_by=basis.established_by,
        authorized=basis.authorized,
    )


def minted_tokens(known: TokenFacts) -> MintedToken:
    """The signed token (RFC 9068); it leaves only after settling."""
    proof = known.fresh_proof
    return mint_access_token(
        known.authenticated_client.client,
        known.narrowed_scope,
        known.accepted_attestation,
        known.services,
        known.now,
        basis=known.basis_of_grant,
        jkt=proof.jkt if proof else None,
    )


def id_token(known: TokenFacts) -> str | None:
    """The signed ID token of a login (OpenID Connect Core §3.1.3.3)."""
    return make_id_token(known)


TOKEN_STEPS = (
    known_grant,
    authenticated_client,
    fresh_proof,
    allowed_grant,
    unseen,
    basis_of_grant,
    narrowed_scope,
    accepted_attestation,
    minted_tokens,
    id_token,
)

# What explain asks: everything that judges, nothing that signs.
JUDGING_STEPS = TOKEN_STEPS[: TOKEN_STEPS.index(minted_tokens)]
# What is judged again when the login has changed between looking and settling.
STEPS_FROM_THE_GRANT = TOKEN_STEPS[TOKEN_STEPS.index(basis_of_grant) :]


def judge_token_request(request: Request, services: Services) -> TokenFacts:
    """Run the steps. Raises ``Refused``, whose consequences are settled then, and ``StorageUnavailable``."""
    return _run(TOKEN_STEPS, TokenFacts(request, services))


def issue_token(known: TokenFacts) -> tuple[int, dict[str, Any], tuple[tuple[str, str], ...]]:
    """Settle what the steps found good, and give status, body and headers (RFC 6749 §5.1).

    Raises ``Refused`` for the loser of a race, and ``StorageUnavailable`` when what must be remembered
    cannot be: no token leaves then.
    """
    try:
        settle_with_family(
            known.services.store,
            lambda: settlement_of(known),
            # Somebody has refreshed in the same instant, or revoked: what holds now decides.
            lambda: _run(STEPS_FROM_THE_GRANT, known),
        )
    except Conflict as conflict:
        raise _lost(conflict, known) from conflict
    note_use(known.authenticated_client, known.services, known.now)
    return 200, token_answer(known), _headers(known)


def _run(steps: Sequence[Step[TokenFacts]], known: TokenFacts) -> TokenFacts:
    try:
        return run(steps, known)
    except Refused as refusal:
        if isinstance(refusal.error, Reused):
            _end_family(refusal.error, known)
        raise


def _lost(conflict: Conflict, known: TokenFacts) -> Refused:
    """The refusal for who came second; a code that was redeemed in between was redeemed twice."""
    if conflict.space != CODE or known.basis_of_grant.authorized is None:
        return refused("settle", replayed(conflict.space), known)
    if conflict.reason != "spent":
        return refused("settle", not_good(), known)
    reused = Reused("code", known.basis_of_grant.authorized.family)
    _end_family(reused, known)
    return refused("settle", reused, known)


def _end_family(reused: Reused, known: TokenFacts) -> None:
    try:
        end_family(reused, known)
    except Conflict as conflict:
        raise refused("settle", replayed(conflict.space), known) from conflict


def _headers(known: TokenFacts) -> tuple[tuple[str, str], ...]:
    nonces = known.services.nonces
    # RFC 9449 §8.2: the nonce for the next request spares its sender a challenge
    next_nonce = () if nonces is None else (("DPoP-Nonce", nonces.issue(known.now)),)
    return (*next_nonce, *NO_STORE)


def settle(known: TokenFacts, settlement: Settlement) -> None:
    """Do what ``known`` changes, whole or not at all. Raises ``Refused`` for the loser of a race."""
    try:
        known.services.store.settle(settlement)
    except Conflict as conflict:
        raise refused("settle", replayed(conflict.space), known) from conflict
