"""The attestation of a request: found, judged as trust anchor, enriched from the registers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tillit.attestation.circumstances import Circumstances, Party
from tillit.attestation.enrichment import enrich
from tillit.attestation.findings import Violation
from tillit.attestation.model import Attestation
from tillit.attestation.registers import RegisterUnavailable
from tillit.attestation.rulebook import Examination, examine
from tillit.attestation.wire import to_claim
from tillit.protocol.authorization_details import (
    ATTESTATION_TYPE,
    JOURNAL_TYPE,
    ORGANISATION_TYPE,
    of_type,
    read_details,
)
from tillit.protocol.errors import OAuthError
from tillit_server.issuer.apis import ATTESTATION_SCOPE, JOURNAL_SCOPE
from tillit_server.issuer.client_authentication import AuthenticatedClient
from tillit_server.issuer.clients import Client
from tillit_server.issuer.organisations import Organisations, read_organisations
from tillit_server.issuer.services import Services
from tillit_server.issuer.target import Target

MAX_AGE = 3600  # seconds an attestation may be relied on (ATT-58c)
RETRY_AFTER = 5
REGISTER_AWAY = "ATT-REGISTER"
_NAME = "assertion_details"
_OLD_NAME = "authorization_details"

EstablishedBy = Literal["login", "legal_entity"]


@dataclass(frozen=True, slots=True)
class Attested:
    """What the request attests: the organisations, and the enriched attestation if one was sent.

    ``claim``: the value of the token's claim. ``notes``: lenient readings, for the audit.
    """

    organisations: Organisations
    attestation: Attestation | None = None
    claim: Mapping[str, Any] | None = None
    journal_id: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def expires_at(self) -> int | None:
        """The instant after which nothing may rest on this attestation (ATT-58b, c)."""
        return None if self.attestation is None else self.attestation.toa + MAX_AGE


class AttestationRefused(OAuthError):  # noqa: N818 (a refusal is an answer)
    """The attestation breaks rules; ``violations`` lists all of them, the error speaks of the first."""

    def __init__(self, violations: tuple[Violation, ...]) -> None:
        first = violations[0]
        super().__init__(
            first.code,
            first.description,
            rule=first.prefix,
            pointer=first.pointer,
            expected=first.expected,
            found=first.found,
            clock_difference=first.clock_difference,
            detail="; ".join(violation.rule for violation in violations),
        )
        self.violations = violations


def accept_attestation(
    authenticated: AuthenticatedClient,
    target: Target,
    services: Services,
    now: float,
    *,
    established_by: EstablishedBy,
) -> Attested:
    """Judge and enrich what the client assertion attests.

    Raises ``OAuthError``: HID-… for organisation numbers, ATT-… for the attestation (``AttestationRefused``),
    ``temporarily_unavailable`` when a register that must answer does not.
    """
    client, assertion, api = authenticated.client, authenticated.assertion, target.api
    details = _details(authenticated)
    organisations = read_organisations(client, of_type(details, ORGANISATION_TYPE))
    journal_id = _journal_id(client, of_type(details, JOURNAL_TYPE))
    sent = of_type(details, ATTESTATION_TYPE)
    if sent is None:
        if api.attestation == "required":
            raise OAuthError(
                "access_denied",
                f"ATT-REQUIRED: attestation: required for {api.audience}",
                rule="ATT-REQUIRED",
            )
        return Attested(organisations, journal_id=journal_id)
    if ATTESTATION_SCOPE not in client.scopes:
        raise OAuthError("invalid_scope", f"{ATTESTATION_SCOPE} is not granted to this client")
    circumstances = Circumstances(
        now=now,
        carrier_iat=assertion.iat,
        registers=services.registers,
        synthetic_identifiers=services.synthetic_identifiers,
        established_by=established_by,
        may_attest_without_login=client.attests_without_login,
        permitted_legal_entities=frozenset(client.legal_entities),
        claimed_parent=organisations.parent,
        claimed_child=organisations.child,
        scope_needs_patient=not api.patient_scopes.isdisjoint(target.scopes),
        patient_identifier=(
            client.patient_identifier if client.patient_identifier != "optional" else api.patient_identifier
        ),
        toa_required=client.toa_required,
        decision_ref_must_be_uuid=client.decision_ref_must_be_uuid,
        department_required=client.department_required,
        details_required=client.purpose_of_use_details_required,
    )
    try:
        examination = examine(
            sent, carrier_iat=assertion.iat, party=Party.TRUST_ANCHOR, circumstances=circumstances
        )
        if examination.attestation is None:
            raise AttestationRefused(examination.violations)
        enriched = enrich(examination.attestation, services.registers, circumstances.codes)
    except RegisterUnavailable as error:
        raise OAuthError(
            "temporarily_unavailable",
            f"{REGISTER_AWAY}: {error.register} cannot be asked now",
            status=503,
            detail=error.register,
            rule=REGISTER_AWAY,
            headers=(("Retry-After", str(RETRY_AFTER)),),
        ) from error
    return Attested(organisations, enriched, to_claim(enriched), journal_id, _remarks(examination))


def refuse_unsigned_details(form: Mapping[str, str]) -> None:
    """Details count only under the client's signature (ATT-2). Raises ``OAuthError`` ``invalid_request``."""
    for name in (_NAME, _OLD_NAME):
        if name in form:
            raise OAuthError(
                "invalid_request",
                f"ATT-2: {name}: must be inside the signed client assertion",
                rule="ATT-2",
                pointer=name,
            )


def _remarks(examination: Examination) -> tuple[str, ...]:
    return (
        *examination.notes,
        *(f"{remark.rule}: {remark.path}: {remark.text}" for remark in examination.remarks),
    )


def _details(authenticated: AuthenticatedClient) -> tuple[Mapping[str, Any], ...]:
    """The details in the assertion, under the names this client may use; only one may attest."""
    client, assertion = authenticated.client, authenticated.assertion
    other = assertion.claims.get(_OLD_NAME)
    if other is not None and not client.profile.assertion.legacy_authorization_details:
        raise OAuthError(
            "invalid_request",
            f"HID-1007: {_OLD_NAME}: a client assertion carries assertion_details",
            rule="HID-1007",
            pointer=_OLD_NAME,
        )
    if assertion.details is None:
        return ()
    details = read_details(assertion.details, carrier=_NAME)
    if other is None or other is assertion.details:
        return details
    others = read_details(other, carrier=_OLD_NAME)
    if of_type(details, ATTESTATION_TYPE) and of_type(others, ATTESTATION_TYPE):
        raise OAuthError(
            "access_denied",
            "HID-DOUBLE-STRUCTURE: the attestation is given under two names",
            rule="HID-DOUBLE-STRUCTURE",
        )
    return (*details, *others)


def _journal_id(client: Client, detail: Mapping[str, Any] | None) -> str | None:
    if detail is None:
        return None
    if JOURNAL_SCOPE not in client.scopes:
        raise OAuthError("invalid_scope", f"{JOURNAL_SCOPE} is not granted to this client")
    value = detail.get("value")
    journal_id = value.get("journal_id") if isinstance(value, Mapping) else None
    if not isinstance(journal_id, str) or not 1 <= len(journal_id) <= 64:  # noqa: PLR2004 (a GUID and some room)
        raise OAuthError("invalid_request", "HID-1007: value.journal_id: a GUID needed", rule="HID-1007")
    return journal_id
