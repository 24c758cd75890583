"""Rules on why the record is opened (ATT-33 to ATT-48)."""

from collections.abc import Collection
from typing import Final

from tillit.attestation.case import NOTHING, Case, Findings, refuse
from tillit.attestation.codes import CODE_FORM
from tillit.attestation.findings import Remark, mention
from tillit.attestation.identifiers import decision_id_valid, is_uuid
from tillit.attestation.model import NO_CODE, NO_DECISION, Coding
from tillit.attestation.systems import HEALTHCARE_SERVICES, PURPOSE_OF_USE

BREAK_THE_GLASS: Final = "BTG"
PURPOSES: Final = frozenset({"TREAT", "ETREAT", "COC", BREAK_THE_GLASS})
"""Ordinary care, emergency care, work around the care (ATT-38 to ATT-40), and the override (ATT-41)."""


def service_is_listed(case: Case) -> Findings:
    """ATT-37: the kind of service comes from one of the ten code systems."""
    service = case.attestation.care_relationship.healthcare_service
    if service is None:
        return NOTHING
    return _coded(case, "ATT-37", "care_relationship.healthcare_service", service, HEALTHCARE_SERVICES)


def purpose_is_one_of_four(case: Case) -> Findings:
    """ATT-38, ATT-39, ATT-40, ATT-41: the purpose is given, and is one of the four the framework knows."""
    path = "care_relationship.purpose_of_use"
    purpose = case.attestation.care_relationship.purpose_of_use
    if not purpose.code and purpose == NO_CODE:
        return refuse("ATT-38", path, "missing")
    if purpose.system != PURPOSE_OF_USE:
        text = "not allowed" if purpose.system else "missing"
        found = mention(purpose.system)
        return refuse("ATT-38", f"{path}.system", text, expected=PURPOSE_OF_USE, found=found)
    if purpose.code in PURPOSES:
        return NOTHING
    found = mention(purpose.code)
    text = f"{found} is not allowed" if found else "not allowed"
    return refuse("ATT-38", f"{path}.code", text, expected="TREAT, ETREAT, COC or BTG", found=found)


def override_is_marked(case: Case) -> Findings:
    """ATT-41: an override of the normal access rules is marked for control (journal only)."""
    if case.attestation.care_relationship.purpose_of_use.code != BREAK_THE_GLASS:
        return NOTHING
    return (Remark("ATT-41", "care_relationship.purpose_of_use", "break the glass"),)


def service_or_details(case: Case) -> Findings:
    """ATT-43a with ATT-36: the service, the details of the purpose, or both are given (X-1, X-14)."""
    care = case.attestation.care_relationship
    if care.purpose_of_use_details is None and case.circumstances.details_required:
        text = "missing: this enterprise has several levels"
        return refuse("ATT-43a", "care_relationship.purpose_of_use_details", text)
    if care.purpose_of_use_details is None and care.healthcare_service is None:
        text = "healthcare_service or purpose_of_use_details needed"
        return refuse("ATT-43a", "care_relationship", text)
    return NOTHING


def details_are_listed(case: Case) -> Findings:
    """ATT-45: the details come from a code system that serves this purpose."""
    details = case.attestation.care_relationship.purpose_of_use_details
    if details is None:
        return NOTHING
    path = "care_relationship.purpose_of_use_details"
    return _coded(case, "ATT-45", path, details, case.circumstances.details_systems)


def decision_is_referred_to(case: Case) -> Findings:
    """ATT-47: the attestation points at a decision in the consumer's own log."""
    path = "care_relationship.decision_ref"
    decision = case.attestation.care_relationship.decision_ref
    if not decision.id and decision == NO_DECISION:
        return refuse("ATT-47", path, "missing")
    if not decision_id_valid(decision.id):
        return refuse("ATT-47", f"{path}.id", "1-64 letters, digits, _ or -, and no person's number")
    if case.circumstances.decision_ref_must_be_uuid and not is_uuid(decision.id):
        return refuse("ATT-47", f"{path}.id", "UUID needed")
    return NOTHING


def who_decided(case: Case) -> Findings:
    """ATT-48: `user_selected` says by a JSON boolean whether the practitioner or the system decided."""
    care = case.attestation.care_relationship
    decision = care.decision_ref
    if not decision.id and decision == NO_DECISION:
        return NOTHING
    path = "care_relationship.decision_ref.user_selected"
    if decision.user_selected is None:
        return refuse("ATT-48", path, "true or false needed", expected="JSON boolean")
    if not decision.user_selected and _picked_by_hand(case):
        return (Remark("ATT-48", path, "false, though such access is taken by a person"),)
    return NOTHING


def _picked_by_hand(case: Case) -> bool:
    care = case.attestation.care_relationship
    if care.purpose_of_use.code == BREAK_THE_GLASS:
        return True
    details = care.purpose_of_use_details
    listed = case.circumstances.codes.system(details.system) if details else None
    return details is not None and listed is not None and details.code in listed.user_picked


def _coded(case: Case, rule: str, path: str, coding: Coding, allowed: Collection[str]) -> Findings:
    if coding.system not in allowed:
        text = "not allowed" if coding.system else "missing"
        return refuse(rule, f"{path}.system", text, found=mention(coding.system))
    listed = case.circumstances.codes.system(coding.system)
    if listed is not None and coding.code in listed.texts:
        return NOTHING
    found = mention(coding.code)
    if not (listed.accepts(coding.code) if listed else CODE_FORM.fullmatch(coding.code)):
        name = coding.system.replace(":", ".").replace("/", ".").rpartition(".")[2]
        return refuse(rule, f"{path}.code", f"unknown in {name}" if coding.code else "missing", found=found)
    return (Remark(rule, f"{path}.code", f"{found or 'a code'} is in no list we know"),)
