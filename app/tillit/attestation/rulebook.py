"""THE TABLE: every rule block of the trust framework, one row each, and `judge`, which applies them.

The framework ("Utprøving v1.1" of 30 April 2024) has 60 rule blocks under 55 ids; a repeated id carries a
letter in order of appearance, and ATT-14, ATT-17 and ATT-30 do not exist. A row says who judges by it and on
what basis: a check, a register, a property of the system that keeps it, or nothing a machine can decide.
"""

from dataclasses import dataclass
from typing import Any, Final

from tillit.attestation.case import Case
from tillit.attestation.circumstances import Circumstances, Party
from tillit.attestation.codes import code_systems
from tillit.attestation.findings import Remark, Violation, by_rule
from tillit.attestation.model import Attestation
from tillit.attestation.reading import UNREADABLE
from tillit.attestation.rows import Check, Kept, Left, Register, Row, Rule, row
from tillit.attestation.rules import attestation as time
from tillit.attestation.rules import care_relation as care
from tillit.attestation.rules import enterprise, general, patient
from tillit.attestation.rules import practitioner as who
from tillit.attestation.wire import parse_attestation

__all__ = [
    "RULES",
    "RULE_PACK_VERSION",
    "Check",
    "Circumstances",
    "Examination",
    "Kept",
    "Left",
    "Party",
    "Register",
    "Remark",
    "Row",
    "Violation",
    "examine",
    "judge",
]

RULE_PACK_VERSION: Final = f"1.1-1+{code_systems().version}"
"""The framework's version, our edition of its rules, and the code lists; tokens and audit entries name it."""

_TESTS: Final = "tests/attestation"
_WIRE: Final = "tillit.attestation.wire"
_ISSUED: Final = Kept(_WIRE, f"{_TESTS}/test_wire.py::test_what_parties_must_log_is_in_the_token")
_DETAIL: Final = Left("the consumer", "how finely units are named, and how they are called, is a judgement")
_CHOICE: Final = Left("the consumer", "which of several fits best is known only where the care is given")

# One row per rule block: id, attribute, who judges (consumer, anchor, source), what it asks, on what basis.
# fmt: off
RULES: Final[tuple[Row, ...]] = (
    row("ATT-1", "attestation", "CA", "well-formed JSON of bounded size",
        Kept(_WIRE, f"{_TESTS}/test_wire.py::test_att_1_only_bounded_well_formed_json_is_read")),
    row("ATT-2", "attestation", "A", "inside a JWT signed by a client of the consuming enterprise",
        Kept("tillit.protocol.client_assertion",
             "tests/protocol/test_client_assertion.py::test_keys_and_algorithms")),
    row("ATT-3", "attestation", "-", "travels by TLS only, is stored encrypted",
        Kept("tillit_server.storage.sealing",
             "tests/storage/test_sealing.py::test_a_sealed_store_holds_no_plain_text")),
    row("ATT-4", "patients", "CAS", "serves the patients it names and nobody else",
        Check(general.bound_to_its_patients)),
    row("ATT-5", "practitioner, patients", "-", "lets a patient's blocks be enforced",
        Left("the document source", "only it knows the blocks; the token names practitioner and enterprise")),
    row("ATT-6", "patients", "CAS", "without a patient only where none is needed",
        Check(general.patient_where_needed)),
    row("ATT-7", "practitioner.identifier", "-", "is in every token and audit entry",
        Kept("tillit.attestation.enrichment",
             f"{_TESTS}/test_enrichment.py::test_att_7_the_person_is_issued")),
    row("ATT-8", "practitioner.identifier", "-", "the citizen sees the name, nobody is shown the number",
        Kept("tillit.attestation.findings",
             f"{_TESTS}/test_findings.py::test_att_8_no_finding_tells_a_number")),
    row("ATT-9", "practitioner.identifier", "AS", "rests on a login at level high",
        Check(who.assured_at_level_high)),
    row("ATT-10", "practitioner.identifier", "CAS", "is an F-number or D-number",
        Check(who.registered_in_population_register)),
    row("ATT-11", "practitioner.identifier", "AS", "is the authenticated user",
        Check(who.same_as_authenticated)),
    row("ATT-12", "practitioner.legal_entity", "A", "is a member of Helsenettet in good standing",
        Register("membership", enterprise.member_of_helsenettet)),
    row("ATT-13", "practitioner.legal_entity", "A", "is one the client may act for",
        Check(enterprise.tied_to_the_client)),
    row("ATT-15", "practitioner.legal_entity", "CA", "is the main unit where care is given",
        Register("organisations", enterprise.main_unit_where_care_is_given)),
    row("ATT-16", "practitioner.legal_entity", "-", "is in the token for log and control", _ISSUED),
    row("ATT-18a", "practitioner.point_of_care", "CA", "is the main unit or one of its sub-units",
        Register("organisations", enterprise.registered_sub_unit)),
    row("ATT-18b", "practitioner.point_of_care", "CA", "is an organisation number",
        Check(enterprise.point_of_care_system)),
    row("ATT-19", "practitioner.point_of_care", "CA", "is the main unit only if that has no sub-units",
        Register("organisations", enterprise.sub_unit_when_there_is_one)),
    row("ATT-20", "practitioner.point_of_care", "-", "is in the token for log and control", _ISSUED),
    row("ATT-21", "practitioner.department", "CA", "is given by enterprises with units below the register",
        Check(enterprise.department_where_demanded)),
    row("ATT-22", "practitioner.department", "-", "is as fine as possible and reveals nothing sensitive",
        _DETAIL),
    row("ATT-23", "practitioner.department", "-", "is in the token when it was sent", _ISSUED),
    row("ATT-24", "practitioner.department", "-", "may be left out",
        Kept(_WIRE, f"{_TESTS}/test_examples.py::test_att_24_and_50_small_enterprises_need_no_units")),
    row("ATT-25", "practitioner.department", "-", "may be a school or a ward", _DETAIL),
    row("ATT-26", "practitioner.department", "-", "level in hospital trusts",
        Left("the framework", "the text is unfinished and demands nothing")),
    row("ATT-27", "practitioner.department", "-", "is useful for inquiries and log analysis", _DETAIL),
    row("ATT-28", "department", "CA", "names its system, and the enterprise that answers for it",
        Check(enterprise.department_is_traceable)),
    row("ATT-29a", "practitioner.hpr_nr", "CA", "is an HPR number", Check(who.hpr_number_system)),
    row("ATT-29b", "practitioner.hpr_nr", "CA", "is the practitioner's, and absent without one",
        Register("HPR", who.hpr_number_is_the_practitioners)),
    row("ATT-31", "practitioner.authorization", "-", "is the one nearest to the role", _CHOICE),
    row("ATT-32", "practitioner.authorization", "CA", "is registered in HPR for the practitioner",
        Register("HPR", who.authorization_is_registered)),
    row("ATT-33", "care_relationship.healthcare_service", "-", "says what kind of service is given", _CHOICE),
    row("ATT-34", "care_relationship.healthcare_service", "-", "is in the token when it was sent", _ISSUED),
    row("ATT-35", "care_relationship.healthcare_service", "-", "is the most explanatory of several", _CHOICE),
    row("ATT-36", "care_relationship.healthcare_service", "CA", "may be absent when the details explain it",
        Check(care.service_or_details)),
    row("ATT-37", "care_relationship.healthcare_service", "CA", "is from one of ten code systems",
        Check(care.service_is_listed)),
    row("ATT-38", "care_relationship.purpose_of_use", "CA", "TREAT: ordinary care",
        Check(care.purpose_is_one_of_four)),
    row("ATT-39", "care_relationship.purpose_of_use", "CA", "ETREAT: care in the emergency chain",
        Check(care.purpose_is_one_of_four)),
    row("ATT-40", "care_relationship.purpose_of_use", "CA", "COC: work around the care",
        Check(care.purpose_is_one_of_four)),
    row("ATT-41", "care_relationship.purpose_of_use", "CA", "BTG: an override, marked for control",
        Check(care.override_is_marked)),
    row("ATT-42", "care_relationship.purpose_of_use_details", "-", "is in the token when it was sent",
        _ISSUED),
    row("ATT-43a", "care_relationship.purpose_of_use_details", "CA", "this or healthcare_service is given",
        Check(care.service_or_details)),
    row("ATT-43b", "care_relationship.purpose_of_use_details", "-", "conveys what opened the record at home",
        _CHOICE),
    row("ATT-44", "care_relationship.purpose_of_use_details", "-", "is the most explanatory of several",
        _CHOICE),
    row("ATT-45", "care_relationship.purpose_of_use_details", "CA", "is from a code system of this purpose",
        Check(care.details_are_listed)),
    row("ATT-46", "care_relationship.decision_ref", "-", "is in the token, so that all can find the decision",
        _ISSUED),
    row("ATT-47", "care_relationship.decision_ref", "CA", "refers to a decision at the consumer",
        Check(care.decision_is_referred_to)),
    row("ATT-48", "care_relationship.decision_ref.user_selected", "CA", "says who decided",
        Check(care.who_decided)),
    row("ATT-49", "patients.point_of_care", "CA", "is an organisation number",
        Check(patient.unit_of_the_contact)),
    row("ATT-50", "patients.point_of_care", "-", "may be the main unit where there are no sub-units",
        Kept(_WIRE, f"{_TESTS}/test_examples.py::test_att_24_and_50_small_enterprises_need_no_units")),
    row("ATT-51", "patients.point_of_care", "CA", "is absent when the patient is treated elsewhere",
        Register("organisations", patient.inside_the_enterprise)),
    row("ATT-52", "patients.point_of_care", "-", "is in the token when it was sent", _ISSUED),
    row("ATT-53", "patients.department", "CA", "is given by enterprises with units below the register",
        Check(patient.department_where_demanded)),
    row("ATT-54", "patients.department", "-", "is as fine as possible and discreet", _DETAIL),
    row("ATT-55", "patients.department", "-", "the superior unit where there are no sub-units",
        Left("the framework", "repeats ATT-50 for an attribute where it makes no sense; not demanded")),
    row("ATT-56", "patients.department", "CA", "is absent where point_of_care is",
        Check(patient.department_with_its_place)),
    row("ATT-57", "patients.department", "-", "is in the token when it was sent", _ISSUED),
    row("ATT-58a", "toa", "CAS", "is a number of Unix seconds that has come", Check(time.seconds_since_1970)),
    row("ATT-58b", "toa", "-", "no token outlives it by more than 60 minutes",
        Kept("tillit.attestation.model", f"{_TESTS}/test_model.py::test_att_58b_no_use_after_sixty_minutes")),
    row("ATT-58c", "toa", "CAS", "is at most 60 minutes ago", Check(time.fresh)),
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Examination:
    """An attestation read and judged. `attestation` is present only if nothing speaks against it."""

    attestation: Attestation | None
    violations: tuple[Violation, ...]
    remarks: tuple[Remark, ...]
    """For the journal: nobody is refused for them."""
    notes: tuple[str, ...]
    """What was normalised while reading."""


def judge(attestation: Attestation, party: Party, circumstances: Circumstances) -> tuple[Violation, ...]:
    """Every violation of every rule `party` judges by, sorted by rule number; empty means accepted.

    Rules that ask a register are skipped when a consumer or source has none. Raises `RegisterUnavailable`
    when a register does not answer, and for a trust anchor without registers.
    """
    return _weigh(attestation, party, circumstances)[0]


def examine(value: Any, *, carrier_iat: int, party: Party, circumstances: Circumstances) -> Examination:
    """Read an attestation as it was sent and judge it: everything there is to say about it, in one call.

    See `parse_attestation` for `value` and `carrier_iat`, `judge` for what is raised. A member whose shape is
    wrong is reported once, as that.
    """
    attestation, faults, notes = parse_attestation(value, carrier_iat=carrier_iat)
    if attestation is None:
        return Examination(None, faults, (), notes)
    violations, remarks = _weigh(attestation, party, circumstances)
    if faults:
        violations = by_rule(
            [*faults, *(found for found in violations if not _unreadable(found.path, faults))]
        )
    return Examination(None if violations else attestation, violations, remarks, notes)


def _weigh(
    attestation: Attestation, party: Party, circumstances: Circumstances
) -> tuple[tuple[Violation, ...], tuple[Remark, ...]]:
    case = Case(attestation, party, circumstances)
    findings = [finding for rule in _RULES_OF[party] for finding in rule(case)]
    violations = [finding for finding in findings if isinstance(finding, Violation)]
    return by_rule(violations), tuple(finding for finding in findings if isinstance(finding, Remark))


def _unreadable(path: str, faults: tuple[Violation, ...]) -> bool:
    for fault in faults:
        beneath = path.startswith(fault.path) and path[len(fault.path) :][:1] in ("", ".", "[")
        if beneath and fault.expected in UNREADABLE:
            return True
    return False


def _rules_of(party: Party) -> tuple[Rule, ...]:
    rules = (
        row.basis.rule for row in RULES if party in row.parties and isinstance(row.basis, Check | Register)
    )
    return tuple(dict.fromkeys(rules))


_RULES_OF: Final = {party: _rules_of(party) for party in Party}
