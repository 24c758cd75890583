"""Rules on who asks, and for which enterprise, place and unit (ATT-7 to ATT-32)."""

import re
from typing import Final

from tillit.attestation.case import NOTHING, Case, Findings, refuse
from tillit.attestation.findings import DENIED, INVALID, Remark, Violation, mention
from tillit.attestation.identifiers import (
    LONGEST_ID,
    SYSTEM_OF_KIND,
    hpr_number_valid,
    organisation_number_fault,
    resh_id_valid,
)
from tillit.attestation.model import Identifier
from tillit.attestation.reading import LONGEST_NAME
from tillit.attestation.systems import (
    AUTHORIZATION,
    HPR_NUMBER,
    NATIONAL_IDENTIFIERS,
    ORGANISATION_NUMBER,
    PERSON_NUMBERS,
    RESH_ID,
    is_absolute_uri,
)

LEVEL_HIGH: Final = "4"
_NAME_MARKS: Final = frozenset(" .,'()/&+:-0123456789")
_LATIN: Final = re.compile(r"[\u0000-\u024F\u1E00-\u1EFF]*")


def assured_at_level_high(case: Case) -> Findings:
    """ATT-9: the practitioner's identity rests on a login at assurance level high."""
    circumstances = case.circumstances
    if circumstances.established_by != "login" or circumstances.security_level == LEVEL_HIGH:
        return NOTHING
    code = "insufficient_user_authentication" if case.at_source else DENIED
    return refuse(
        "ATT-9",
        "practitioner.identifier",
        "login at level 4 needed",
        code=code,
        expected=LEVEL_HIGH,
        found=mention(circumstances.security_level or ""),
    )


def registered_in_population_register(case: Case) -> Findings:
    """ATT-10: the practitioner is identified by an F-number or a D-number, whose check digits fit."""
    path = "practitioner.identifier"
    identifier = case.attestation.practitioner.identifier
    code = "invalid_token" if case.at_source else INVALID
    if identifier is None:
        if case.circumstances.established_by == "login" and not case.at_source:
            return NOTHING
        return refuse("ATT-10", path, "missing: nobody has logged in, so the enterprise must say who it is")
    if identifier.system not in PERSON_NUMBERS:
        return refuse("ATT-10", f"{path}.system", "F-number or D-number needed", code=code)
    kind, fault = case.person_number(identifier.id)
    if fault:
        return refuse("ATT-10", f"{path}.id", fault, code=code)
    if kind is None or SYSTEM_OF_KIND[kind] not in PERSON_NUMBERS:
        return refuse("ATT-10", f"{path}.id", "F-number or D-number needed", code=code)
    if SYSTEM_OF_KIND[kind] != identifier.system:
        return (Remark("ATT-10", f"{path}.system", "names another kind of number; the number decides"),)
    return NOTHING


def same_as_authenticated(case: Case) -> Findings:
    """ATT-11: the attested practitioner is the person who logged in, or the client may do without a login."""
    circumstances = case.circumstances
    identifier = case.attestation.practitioner.identifier
    if circumstances.established_by == "legal_entity":
        if case.at_source or circumstances.may_attest_without_login:
            return NOTHING
        return refuse(
            "ATT-11", "practitioner.identifier", "this client may not attest without a login", code=DENIED
        )
    person = circumstances.token_person if case.at_source else circumstances.authenticated_person
    if person is None:
        return refuse("ATT-11", "practitioner.identifier", "no authenticated practitioner", code=DENIED)
    if identifier is None or identifier.id == person:
        return NOTHING
    code = "invalid_token" if case.at_source else DENIED
    return refuse("ATT-11", "practitioner.identifier", "not the authenticated user", code=code)


def member_of_helsenettet(case: Case) -> Findings:
    """ATT-12: the main unit is a member of Helsenettet, with terms accepted and agreements in place."""
    legal_entity = case.attestation.practitioner.legal_entity
    if case.registers is None or _number_fault(case, legal_entity):
        return NOTHING
    membership = case.registers.membership.membership(legal_entity.id, case.circumstances.now)
    if membership.valid:
        return NOTHING
    text = f"no valid membership: {membership.reason}"
    return refuse("ATT-12", "practitioner.legal_entity", text, code=DENIED)


def tied_to_the_client(case: Case) -> Findings:
    """ATT-13: the client may act for the main unit (X-5), and names the same one elsewhere (X-6)."""
    practitioner = case.attestation.practitioner
    circumstances = case.circumstances
    path = "practitioner.legal_entity"
    if _number_fault(case, practitioner.legal_entity):
        return
    permitted = circumstances.permitted_legal_entities
    if permitted is not None and practitioner.legal_entity.id not in permitted:
        yield Violation("ATT-13", path, "not delegated to this client", DENIED)
    elif circumstances.claimed_parent not in (None, practitioner.legal_entity.id):
        yield Violation("ATT-13", path, "differs from helseid_authorization", DENIED)
    if circumstances.claimed_child not in (None, practitioner.point_of_care.id):
        yield Remark("ATT-13", "practitioner.point_of_care", "differs from helseid_authorization")


def main_unit_where_care_is_given(case: Case) -> Findings:
    """ATT-15: `legal_entity` is given as a main unit of the register of enterprises."""
    path = "practitioner.legal_entity"
    legal_entity = case.attestation.practitioner.legal_entity
    fault = _organisation_fault(case, "ATT-15", path, legal_entity)
    if fault:
        return fault
    if case.registers is None:
        return NOTHING
    entry = case.organisation(case.registers, legal_entity.id)
    if entry is None:
        return refuse("ATT-15", f"{path}.id", "not in the register of enterprises")
    if not entry.is_main_unit:
        return refuse("ATT-15", f"{path}.id", "a sub-unit; the main unit is needed")
    return NOTHING


def registered_sub_unit(case: Case) -> Findings:
    """ATT-18a: `point_of_care` is given as the legal entity or a unit registered under it."""
    path = "practitioner.point_of_care"
    practitioner = case.attestation.practitioner
    unit = practitioner.point_of_care
    if not unit.id:
        return refuse("ATT-18a", path if not unit.system else f"{path}.id", "missing")
    if unit.system != ORGANISATION_NUMBER:
        return NOTHING
    fault = _number_fault(case, unit)
    if fault:
        return refuse("ATT-18a", f"{path}.id", fault)
    if case.registers is None or _number_fault(case, practitioner.legal_entity):
        return NOTHING
    if not case.belongs(case.registers, unit.id):
        return refuse("ATT-18a", path, "not a unit of legal_entity")
    return NOTHING


def point_of_care_system(case: Case) -> Findings:
    """ATT-18b: `point_of_care` is numbered as in the register of enterprises."""
    unit = case.attestation.practitioner.point_of_care
    if unit.system == ORGANISATION_NUMBER or not unit.id:
        return NOTHING
    return _wrong_system("ATT-18b", "practitioner.point_of_care", unit.system, ORGANISATION_NUMBER)


def sub_unit_when_there_is_one(case: Case) -> Findings:
    """ATT-19: the main unit stands as point of care only where there are no sub-units (journal only)."""
    practitioner = case.attestation.practitioner
    number = practitioner.legal_entity.id
    if case.registers is None or not number or practitioner.point_of_care.id != number:
        return NOTHING
    if not case.registers.organisations.has_sub_units(number):
        return NOTHING
    return (Remark("ATT-19", "practitioner.point_of_care", "the main unit, though it has sub-units"),)


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


def hpr_number_system(case: Case) -> Findings:
    """ATT-29a: `hpr_nr` names the system of HPR numbers, and its number is formed like one."""
    number = case.attestation.practitioner.hpr_nr
    if number is None:
        return NOTHING
    if number.system != HPR_NUMBER:
        return _wrong_system("ATT-29a", "practitioner.hpr_nr", number.system, HPR_NUMBER)
    if not hpr_number_valid(number.id):
        return refuse("ATT-29a", "practitioner.hpr_nr.id", "one to nine digits needed")
    return NOTHING


def hpr_number_is_the_practitioners(case: Case) -> Findings:
    """ATT-29b: `hpr_nr`, when sent, is the number HPR has for this practitioner (X-3)."""
    number = case.attestation.practitioner.hpr_nr
    if case.registers is None or number is None or case.practitioner_number is None:
        return NOTHING
    if number.system != HPR_NUMBER or not hpr_number_valid(number.id):
        return NOTHING
    person = case.hpr_person(case.registers)
    if person is not None and person.hpr_number == number.id:
        return NOTHING
    return refuse("ATT-29b", "practitioner.hpr_nr", "not in HPR for this user", code=DENIED)


def authorization_is_registered(case: Case) -> Findings:
    """ATT-32: the authorization is one of 9060, and HPR has it for this practitioner now (X-4)."""
    path = "practitioner.authorization"
    authorization = case.attestation.practitioner.authorization
    if authorization is None:
        return NOTHING
    if authorization.system != AUTHORIZATION:
        return _wrong_system("ATT-32", path, authorization.system, AUTHORIZATION)
    known = case.circumstances.codes.system(AUTHORIZATION)
    code = mention(authorization.code)
    if known is not None and not known.accepts(authorization.code):
        text = f"{code} is unknown in 9060" if code else "unknown in 9060"
        return refuse("ATT-32", f"{path}.code", text, found=code)
    if case.registers is None or case.practitioner_number is None:
        return NOTHING
    person = case.hpr_person(case.registers)
    if person is not None and authorization.code in person.authorizations:
        return NOTHING
    text = f"{code} is not registered for this user"
    return refuse("ATT-32", f"{path}.code", text, code=DENIED, found=code)


def _organisation_fault(case: Case, rule: str, path: str, unit: Identifier) -> Findings:
    if not unit.id:
        return refuse(rule, path if not unit.system else f"{path}.id", "missing")
    if unit.system != ORGANISATION_NUMBER:
        return _wrong_system(rule, path, unit.system, ORGANISATION_NUMBER)
    fault = _number_fault(case, unit)
    return refuse(rule, f"{path}.id", fault) if fault else NOTHING


def _number_fault(case: Case, unit: Identifier) -> str | None:
    if unit.system != ORGANISATION_NUMBER:
        return "no organisation number"
    return organisation_number_fault(unit.id, synthetic=case.circumstances.synthetic_identifiers)


def _wrong_system(rule: str, path: str, system: str, expected: str) -> Findings:
    text = f"{expected} needed" if system else "missing"
    return refuse(rule, f"{path}.system", text, expected=expected, found=mention(system))


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
    number, name = department.id, department.name
    if not 1 <= len(number) <= LONGEST_ID or not number.isprintable() or number != number.strip():
        return refuse("ATT-28", f"{path}.id", f"1-{LONGEST_ID} printable characters needed, no blanks around")
    if department.authority not in (None, case.attestation.practitioner.legal_entity.id):
        text = "the organisation number of legal_entity needed"
        return refuse("ATT-28", f"{path}.authority", text)
    if name is None:
        return NOTHING
    if len(name) > LONGEST_NAME or not all(mark.isalpha() or mark in _NAME_MARKS for mark in name):
        return refuse(
            "ATT-28", f"{path}.name", f"up to {LONGEST_NAME} letters, digits, blanks and .,'()/&+:-"
        )
    if not _LATIN.fullmatch(name):
        return (Remark("ATT-28", f"{path}.name", "letters that are not Latin"),)
    return NOTHING
