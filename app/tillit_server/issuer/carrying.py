"""The attestation of a token that is exchanged: carried on to the next API, and never replaced."""

from tillit.attestation.circumstances import Circumstances, Party
from tillit.attestation.registers import RegisterUnavailable
from tillit.attestation.rulebook import judge
from tillit.attestation.wire import from_claim
from tillit.protocol.authorization_details import ATTESTATION_TYPE, JOURNAL_TYPE, ORGANISATION_TYPE, of_type
from tillit.protocol.errors import OAuthError
from tillit_server.issuer.attesting import (
    AttestationRefused,
    Attested,
    register_away,
    require_none_needed,
)
from tillit_server.issuer.client_authentication import AuthenticatedClient
from tillit_server.issuer.details import details_of, journal_id_of
from tillit_server.issuer.grants.basis import Basis
from tillit_server.issuer.organisations import read_organisations
from tillit_server.issuer.services import Services
from tillit_server.issuer.target import Target


def carry_attestation(
    authenticated: AuthenticatedClient,
    target: Target,
    services: Services,
    now: float,
    *,
    basis: Basis,
) -> Attested:
    """Judge the attestation of the subject token for the API of the new one.

    Who acts now was not there when it was made, and cannot send another. Raises as ``accept_attestation``.
    """
    client, sent = authenticated.client, details_of(authenticated)
    if of_type(sent, ATTESTATION_TYPE) is not None:
        raise OAuthError(
            "invalid_authorization_details",
            "ATT-EXCHANGE: assertion_details: an exchange carries on what the subject token attests",
            rule="ATT-EXCHANGE",
            pointer="assertion_details",
        )
    organisations = read_organisations(client, of_type(sent, ORGANISATION_TYPE))
    journal_id = journal_id_of(client, of_type(sent, JOURNAL_TYPE))
    claim = basis.subject_token.attestation if basis.subject_token else None
    user = basis.authorized.user if basis.authorized else None
    if claim is None:
        require_none_needed(target.api)
        return Attested(organisations, journal_id=journal_id)
    attestation = from_claim(claim)
    circumstances = Circumstances(
        now=now,
        registers=services.registers,
        synthetic_identifiers=services.synthetic_identifiers,
        established_by=basis.established_by,
        authenticated_person=user.pid if user is not None else None,
        security_level=user.security_level if user is not None else None,
        # Whose enterprise vouches for whom was judged when the subject token was made; it is not the actor's.
        may_attest_without_login=True,
        scope_needs_patient=not target.api.patient_scopes.isdisjoint(target.scopes),
        patient_identifier=target.api.patient_identifier,
        stored_with_grant=True,
    )
    try:
        violations = judge(attestation, Party.TRUST_ANCHOR, circumstances)
    except RegisterUnavailable as error:
        raise register_away(error) from error
    if violations:
        raise AttestationRefused(violations)
    return Attested(organisations, attestation, claim, journal_id)
