"""Rules on the enterprise, place and unit the practitioner works for (ATT-12 to ATT-28)."""

import re
from typing import Final

from tillit.attestation.case import NOTHING, Case, Findings, refuse, wrong_system
from tillit.attestation.findings import DENIED, Remark, Violation, mention
from tillit.attestation.identifiers import LONGEST_ID, resh_id_valid
from tillit.attestation.model import Identifier
from tillit.attestation.systems import (
    NATIONAL_IDENTIFIERS,
    ORGANISATION_NUMBER,
    RESH_ID,
    is_absolute_uri,
)

LONGEST_NAME: Final = 200

_ENTITY: Final = "practitioner.legal_entity"
_PLACE: Final = "practitioner.point_of_care"
_NAME_MARKS: Final = frozenset(" .,'()/&+:-0123456789")
_LATIN: Final = re.compile(r"[\u0000-\u024F\u1E00-\u1EFF]*")


def member_of_helsenettet(case: Case) -> Findings:
    """ATT-12: the main unit is a member of Helsenettet, with terms accepted and agreements in place."""
    legal_entity = case.attestation.practitioner.legal_entity
    if case.registers is None or case.unit_fault(legal_entity):
        return NOTHING
    membership = case.registers.membership.membership(legal_entity.id, case.circumstances.now)
    if membership.valid:
        return NOTHING
    return refuse("ATT-12", _ENTITY, f"no valid membership: {membership.reason}", code=DENIED)


def tied_to_the_client(case: Case) -> Findings:
    """ATT-13: the client may act for the main unit (X-5), and names the same one elsewhere (X-6)."""
    practitioner = case.attestation.practitioner
    circumstances = case.circumstances
    if case.unit_fault(practitioner.legal_entity):
        return
    permitted = circumstances.permitted_legal_entities
    if permitted is not None and practitioner.legal_entity.id not in permitted:
        yield Violation("ATT-13", _ENTITY, "not delegated to this client", DENIED)
    elif circumstances.claimed_parent not in (None, practitioner.legal_entity.id):
        yield Violation("ATT-13", _ENTITY, "differs from helseid_authorization", DENIED)
    if circumstances.claimed_child not in (None, practitioner.point_of_care.id):
        yield Remark("ATT-13", _PLACE, "differs from helseid_authorization")


def main_unit_where_care_is_given(case: Case) -> Findings:
    """ATT-15: `legal_entity` is given as a main unit of the register of enterprises."""
    legal_entity = case.attestation.practitioner.legal_entity
    if not legal_entity.id:
        return refuse("ATT-15", f"{_ENTITY}.id" if legal_entity.system else _ENTITY, "missing")
    if legal_entity.system != ORGANISATION_NUMBER:
        return wrong_system("ATT-15", _ENTITY, legal_entity.system, ORGANISATION_NUMBER)
    fault = case.unit_fault(legal_entity)
    if fault is None and case.registers is not None:
        entry = case.organisation(case.registers, legal_entity.id)
        if entry is None:
            fault = "not in the register of enterprises"
        elif not entry.is_main_unit:
            fault = "a sub-unit; the main unit is needed"
    return refuse("ATT-15", f"{_ENTITY}.id", fault) if fault else NOTHING


def registered_sub_unit(case: Case) -> Findings:
    """ATT-18a: `point_of_care` is given as the legal entity or a unit registered under it."""
    practitioner = case.attestation.practitioner
    unit = practitioner.point_of_care
    if not unit.id:
        return refuse("ATT-18a", f"{_PLACE}.id" if unit.system else _PLACE, "missing")
    if unit.system != ORGANISATION_NUMBER:
        return NOTHING
    fault = case.unit_fault(unit)
    if fault:
        return refuse("ATT-18a", f"{_PLACE}.id", fault)
    if case.registers is None or case.unit_fault(practitioner.legal_entity):
        return NOTHING
    if not case.belongs(case.registers, unit.id):
        return refuse("ATT-18a", _PLACE, "not a unit of legal_entity")
    return NOTHING


def point_of_care_system(case: Case) -> Findings:
    """ATT-18b: `point_of_care` is numbered as in the register of enterprises."""
    unit = case.attestation.practitioner.point_of_care
    if unit.system == ORGANISATION_NUMBER or not unit.id:
        return NOTHING
    return wrong_system("ATT-18b", _PLACE, unit.system, ORGANISATION_NUMBER)


def sub_unit_when_there_is_one(case: Case) -> Findings:
    """ATT-19: the main unit stands as point of care only where there are no sub-units (journal only)."""
    practitioner = case.attestation.practitioner
    number = practitioner.legal_entity.id
    if case.registers is None or not number or practitioner.point_of_care.id != number:
        return NOTHING
    if not case.registers.organisations.has_sub_units(number):
        return NOTHING
    return (Remark("ATT-19", _PLACE, "the main unit, though it has sub-units"),)


def department_where_demanded(case: Case) -> Findings:
    """ATT-21: an enterprise with units below the register names the practitioner's."""
    if case.attestation.practitioner.department is not None or not case.circumstances.department_required:
        return NOTHING
    return refuse("ATT-21", "practitioner.department", "missing")


def department_is_traceable(case: Case) -> Findings:
    """ATT-28: a department has a number in RESH, or in a system of the enterprise that answers for it."""
    practitioner = case.attestation.practitioner
    if practitioner.department is not None:
        yield from _department(case, practitioner.department, "practitioner.department")
    for index, patient in enumerate(case.attestation.patients):
        if patient.department is not None:
            yield from _department(case, patient.department, f"patients[{index}].department")


def _department(case: Case, department: Identifier, path: str) -> Findings:
    if not department.system:
        return refuse("ATT-28", f"{path}.system", "missing: RESH or an absolute URN of the enterprise needed")
    if department.system == RESH_ID:
        if resh_id_valid(department.id):
            return NOTHING
        return refuse("ATT-28", f"{path}.id", "one to ten digits needed")
    if department.system in NATIONAL_IDENTIFIERS or not is_absolute_uri(department.system):
        return refuse("ATT-28", f"{path}.system", "absolute URN needed", found=mention(department.system))
    return _local_department(case, department, path)


def _local_department(case: Case, department: Identifier, path: str) -> Findings:
    number, name = department.id, department.name or ""
    if not 1 <= len(number) <= LONGEST_ID or not number.isprintable() or number != number.strip():
        yield Violation("ATT-28", f"{path}.id", f"1-{LONGEST_ID} printable characters, no blanks around")
    if department.authority not in (None, case.attestation.practitioner.legal_entity.id):
        yield Violation("ATT-28", f"{path}.authority", "organisation number of legal_entity needed")
    if len(name) > LONGEST_NAME or not all(mark.isalpha() or mark in _NAME_MARKS for mark in name):
        text = f"at most {LONGEST_NAME} letters, digits, blanks and .,'()/&+:-"
        yield Violation("ATT-28", f"{path}.name", text)
    elif not _LATIN.fullmatch(name):
        yield Remark("ATT-28", f"{path}.name", "letters that are not Latin")
