"""What a document source makes of the attestation in a verified token."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tillit.attestation.findings import Violation
from tillit.attestation.model import Attestation
from tillit.attestation.rulebook import Circumstances, Party, judge
from tillit.attestation.wire import ATTESTATION_TYPE, Malformed, from_claim
from tillit.verifier.refusals import INSUFFICIENT_USER_AUTHENTICATION, Refusals

ATTESTATION_CLAIM: Final = ATTESTATION_TYPE
ESTABLISHED_BY_CLAIM: Final = "practitioner_established_by"
PID_CLAIM: Final = "helseid://claims/identity/pid"
SECURITY_LEVEL_CLAIM: Final = "helseid://claims/identity/security_level"

LOGIN: Final = "login"
LEGAL_ENTITY: Final = "legal_entity"

_PATIENT_RULES: Final = frozenset({"ATT-4", "ATT-6"})


@dataclass(frozen=True, slots=True)
class SourcePolicy:
    """What one document source demands of attestations. See the parameters of `Verifier`."""

    required: bool = True
    accept_established_by: frozenset[str] = frozenset({LOGIN})
    accepted_purposes: frozenset[str] | None = None
    unbound_patient: Literal["refuse", "accept"] = "refuse"
    synthetic_identifiers: bool = True


@dataclass(frozen=True, slots=True)
class Attested:
    """An attestation that this source accepts, and who vouched for the practitioner."""

    attestation: Attestation | None = field(repr=False)
    established_by: str


def accept_attestation(
    claims: Mapping[str, Any], *, policy: SourcePolicy, refusals: Refusals, now: float, patient: str | None
) -> Attested:
    """Accept the attestation of a token, or raise `Refused`.

    In order: it is there when demanded · it can be read · it is fresh (ATT-58) · the practitioner was
    established in an accepted way · it is the person who logged in, at level high (ATT-10, ATT-11, ATT-9) ·
    the purpose is accepted · it serves the patient of the request (ATT-4, ATT-6).
    """
    established_by = _established_by(claims)
    if ATTESTATION_CLAIM not in claims:
        if policy.required:
            raise refusals.attestation_missing()
        _require_bound(None, policy, refusals, patient)
        return Attested(None, established_by)
    try:
        attestation = from_claim(claims[ATTESTATION_CLAIM])
    except Malformed as error:
        raise refusals.invalid_token(
            "the attestation in the token cannot be read", detail=str(error)
        ) from error
    violations = _judge(
        attestation, claims, established_by=established_by, policy=policy, now=now, patient=patient
    )
    _refuse_first(refusals, [found for found in violations if found.prefix == "ATT-58"])
    if established_by not in policy.accept_established_by:
        text = "practitioner_established_by: a login of the practitioner is needed"
        if LOGIN not in policy.accept_established_by:
            text = "practitioner_established_by: not accepted here"
        raise refusals.denied(text, detail=f"established by {established_by}")
    if established_by == LEGAL_ENTITY and PID_CLAIM in claims:
        raise refusals.invalid_token("the token says both that somebody and that nobody has logged in")
    _refuse_first(refusals, [found for found in violations if found.prefix not in _PATIENT_RULES])
    _require_purpose(attestation, policy, refusals)
    for found in violations:
        raise refusals.not_permitted(found.description, rule=found.prefix)
    _require_bound(attestation, policy, refusals, patient)
    return Attested(attestation, established_by)


def patients_of(attestation: Attestation | None) -> frozenset[str]:
    """Give the patients' numbers that an attestation is bound to; none when it names none."""
    patients = attestation.patients if attestation else ()
    return frozenset(patient.identifier.id for patient in patients if patient.identifier)


def require_patient(
    attestation: Attestation | None, *, policy: SourcePolicy, refusals: Refusals, patient: str
) -> None:
    """Refuse, without a reason, a patient whom the attestation does not serve (ATT-4, ATT-6)."""
    bound = patients_of(attestation)
    if bound and patient not in bound:
        raise refusals.not_permitted("ATT-4: attested for another patient", rule="ATT-4")
    _require_bound(attestation, policy, refusals, patient)


def _established_by(claims: Mapping[str, Any]) -> str:
    """Read who vouched. HelseID's tokens do not say it, but name a person only when one has logged in."""
    said = claims.get(ESTABLISHED_BY_CLAIM)
    if said is None:
        return LOGIN if PID_CLAIM in claims else "nobody"
    return said if isinstance(said, str) and said in {LOGIN, LEGAL_ENTITY} else "nobody"


def _judge(
    attestation: Attestation,
    claims: Mapping[str, Any],
    *,
    established_by: str,
    policy: SourcePolicy,
    now: float,
    patient: str | None,
) -> tuple[Violation, ...]:
    pid, level = claims.get(PID_CLAIM), claims.get(SECURITY_LEVEL_CLAIM)
    circumstances = Circumstances(
        now=now,
        established_by="legal_entity" if established_by == LEGAL_ENTITY else "login",
        token_person=pid if isinstance(pid, str) else None,
        security_level=level if isinstance(level, str) else None,
        requested_patient=patient,
        synthetic_identifiers=policy.synthetic_identifiers,
    )
    return judge(attestation, Party.DOCUMENT_SOURCE, circumstances)


def _refuse_first(refusals: Refusals, violations: list[Violation]) -> None:
    """Answer the first violation: a login at a higher level is needed, or a token contradicts itself."""
    for found in violations:
        if found.code == INSUFFICIENT_USER_AUTHENTICATION:
            raise refusals.login_too_weak(found.description, found.prefix)
        raise refusals.invalid_token(found.description, rule=found.prefix)


def _require_purpose(attestation: Attestation, policy: SourcePolicy, refusals: Refusals) -> None:
    purpose = attestation.care_relationship.purpose_of_use.code
    if policy.accepted_purposes is not None and purpose not in policy.accepted_purposes:
        accepted = ", ".join(sorted(policy.accepted_purposes))
        raise refusals.denied(
            f"care_relationship.purpose_of_use.code: one of {accepted} is needed here",
            detail=f"found {purpose}",
        )


def _require_bound(
    attestation: Attestation | None, policy: SourcePolicy, refusals: Refusals, patient: str | None
) -> None:
    """A token that names no patient speaks for none, unless the source's own policy says so (ATT-6)."""
    if patient is None or patients_of(attestation):
        return
    # An empty list attests that there is no patient yet: no policy turns that into access to one.
    unnamed = attestation is not None and bool(attestation.patients)
    if policy.unbound_patient == "refuse" or not unnamed:
        raise refusals.not_permitted("ATT-6: the token is not bound to a patient", rule="ATT-6")
