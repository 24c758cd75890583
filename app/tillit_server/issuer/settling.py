"""What an accepted token request changes: the ids it spends and the entries it leaves in the audit.

All of it goes to the store in one act; ``settle`` is the only write of a request.
"""

from typing import TYPE_CHECKING, Any

from tillit.attestation.rulebook import RULE_PACK_VERSION
from tillit.protocol.dpop import Proof
from tillit_server.audit.events import Event, GlassBroken, KeyShared, TokenIssued, ToleranceUsed
from tillit_server.issuer.client_authentication import AuthenticatedClient
from tillit_server.issuer.families import ACCESS_TOKEN
from tillit_server.issuer.sender_constraint import shares_key
from tillit_server.issuer.services import SKEW, Services
from tillit_server.storage.ports import Claim, Issue, Settlement

if TYPE_CHECKING:
    from tillit_server.issuer.token_endpoint import TokenFacts

ASSERTION = "assertion"
PROOF = "proof"
BREAK_THE_GLASS = "BTG"


def single_use_ids(authenticated: AuthenticatedClient, proof: Proof | None) -> tuple[Claim, ...]:
    """The ids a request spends, the assertion first.

    An assertion is told by client and jti, a proof by key and jti, never by the text of the token: a
    signature has a second valid spelling (threat J15).
    """
    assertion = authenticated.assertion
    name = f"{assertion.client_id} {assertion.jti}"
    claims = [Claim(ASSERTION, name, assertion.expires_at + SKEW, made=assertion.iat)]
    if proof is not None:
        claims.append(proof_id(proof))
    return tuple(claims)


def note_use(authenticated: AuthenticatedClient, services: Services, now: float) -> None:
    """Remember, after a settlement, that the key of this assertion is in use; nothing is written for it."""
    services.key_use.note(authenticated.client, authenticated.assertion.key, now)


def proof_id(proof: Proof) -> Claim:
    """The id of a proof, at whichever endpoint it is shown."""
    return Claim(PROOF, f"{proof.jkt} {proof.jti}", proof.expires_at + SKEW, made=proof.iat)


def settlement_of(known: "TokenFacts") -> Settlement:
    """Everything that ``known`` changes, ready for the store."""
    audit, basis, minted = known.services.audit, known.basis_of_grant, known.minted_tokens
    # By this a token dies with its family (threat P7), and with the tokens it was exchanged for (threat T5).
    origin: dict[str, Any] = {}
    if basis.authorized is not None:
        origin["family"] = basis.authorized.family
    if basis.subject_token is not None:
        origin["from"] = [list(link) for link in basis.subject_token.chain]
    issues = (Issue(ACCESS_TOKEN, minted.jti, origin, minted.expires_at),) if origin else ()
    return Settlement(
        claims=single_use_ids(known.authenticated_client, known.fresh_proof),
        redemptions=basis.redemptions,
        issues=issues,
        puts=basis.puts,
        entries=tuple(audit.entry(event) for event in (*_events(known), *basis.events)),
    )


def _events(known: "TokenFacts") -> list[Event]:
    client, assertion = known.authenticated_client.client, known.authenticated_client.assertion
    minted, proof = known.minted_tokens, known.fresh_proof
    basis = known.basis_of_grant
    authorized, subject_token = basis.authorized, basis.subject_token
    attestation = known.accepted_attestation.attestation
    practitioner = attestation.practitioner if attestation else None
    person = practitioner.identifier.id if practitioner and practitioner.identifier else None
    if person is None and authorized is not None:
        person = authorized.user.pid
    legal_entity = (
        practitioner.legal_entity.id if practitioner else known.accepted_attestation.organisations.parent
    )
    patients = tuple(p.identifier.id for p in attestation.patients if p.identifier) if attestation else ()
    purpose = attestation.care_relationship.purpose_of_use.code if attestation else None
    events: list[Event] = [
        TokenIssued(
            jti=minted.jti,
            client_id=client.id,
            grant=known.request.form["grant_type"],
            legal_entity=legal_entity,
            scope=known.narrowed_scope.scopes,
            audience=known.narrowed_scope.api.audience,
            issued_at=minted.claims["iat"],
            expires_at=minted.expires_at,
            kid=minted.kid,
            jkt=proof.jkt if proof else "",
            assertion_jti=assertion.jti,
            rule_pack=RULE_PACK_VERSION if attestation else None,
            decision_ref=attestation.care_relationship.decision_ref.id if attestation else None,
            purpose=purpose,
            established_by=basis.established_by if attestation or authorized else None,
            family=authorized.family if authorized else None,
            sid=authorized.sid if authorized else None,
            subject_jti=subject_token.jti if subject_token else None,
            rejected_scope=known.narrowed_scope.rejected,
            remarks=known.accepted_attestation.notes,
            practitioner=person,
            patients=patients,
            assertion=assertion.token,
        )
    ]
    if tolerances := _tolerances(known):
        events.append(ToleranceUsed(client_id=client.id, tolerances=tolerances, assertion_jti=assertion.jti))
    if proof is not None and shares_key(known.authenticated_client, proof):
        events.append(KeyShared(client_id=client.id, jkt=proof.jkt))
    if purpose == BREAK_THE_GLASS:
        events.append(
            GlassBroken(
                jti=minted.jti,
                client_id=client.id,
                legal_entity=legal_entity,
                practitioner=person,
                patients=patients,
            )
        )
    return events


def _tolerances(known: "TokenFacts") -> tuple[str, ...]:
    """Everything that the client's profile forgave in this request, by name."""
    return (
        *known.authenticated_client.assertion.tolerances_used,
        *known.accepted_attestation.organisations.tolerances,
        *(() if known.fresh_proof else ("bearer_token",)),
    )
