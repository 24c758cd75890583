"""Rules on who asks: identity, login, HPR number, authorization (ATT-9 to ATT-11, ATT-29, ATT-32)."""

from typing import Final

from tillit.attestation.case import NOTHING, Case, Findings, refuse, wrong_system
from tillit.attestation.circumstances import Party
from tillit.attestation.findings import DENIED, INVALID, Remark, mention
from tillit.attestation.identifiers import SYSTEM_OF_KIND, Kind, hpr_number_valid
from tillit.attestation.model import Identifier
from tillit.attestation.systems import AUTHORIZATION, HPR_NUMBER, PERSON_NUMBERS

LEVEL_HIGH: Final = "4"

_PERSON: Final = "practitioner.identifier"


def assured_at_level_high(case: Case) -> Findings:
    """ATT-9: the practitioner's identity rests on a login at assurance level high."""
    circumstances = case.circumstances
    level = circumstances.security_level
    if circumstances.established_by != "login" or circumstances.login_pending or level == LEVEL_HIGH:
        return NOTHING
    code = "insufficient_user_authentication" if case.at_source else DENIED
    found = mention(level or "")
    return refuse("ATT-9", _PERSON, "login at level 4 needed", code=code, expected=LEVEL_HIGH, found=found)


def registered_in_population_register(case: Case) -> Findings:
    """ATT-10: the practitioner is identified by an F-number or a D-number, whose check digits fit."""
    identifier = case.attestation.practitioner.identifier
    if identifier is not None:
        return _person_number(case, identifier)
    if not _enterprise_vouches(case):
        return NOTHING
    return refuse("ATT-10", _PERSON, "missing: without a login the enterprise must say who it is")


def same_as_authenticated(case: Case) -> Findings:
    """ATT-11: the attested practitioner is the person who logged in, or the client may do without a login."""
    circumstances = case.circumstances
    identifier = case.attestation.practitioner.identifier
    code = "invalid_token" if case.at_source else DENIED
    if circumstances.established_by == "legal_entity":
        if case.at_source or circumstances.may_attest_without_login:
            return NOTHING
        return refuse("ATT-11", _PERSON, "this client may not attest without a login", code=code)
    if circumstances.login_pending:
        return NOTHING
    person = circumstances.token_person if case.at_source else circumstances.authenticated_person
    if person is None:
        return refuse("ATT-11", _PERSON, "no authenticated practitioner", code=code)
    if identifier is None or identifier.id == person:
        return NOTHING
    return refuse("ATT-11", _PERSON, "not the authenticated user", code=code)


def hpr_number_system(case: Case) -> Findings:
    """ATT-29a: `hpr_nr` names the system of HPR numbers, and its number is formed like one."""
    number = case.attestation.practitioner.hpr_nr
    if number is None:
        return NOTHING
    if number.system != HPR_NUMBER:
        return wrong_system("ATT-29a", "practitioner.hpr_nr", number.system, HPR_NUMBER)
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
        return wrong_system("ATT-32", path, authorization.system, AUTHORIZATION)
    known = case.circumstances.codes.system(AUTHORIZATION)
    if known is not None and not known.accepts(authorization.code):
        code = mention(authorization.code)
        text = f"{code} is unknown in 9060" if code else "unknown in 9060"
        return refuse("ATT-32", f"{path}.code", text, found=code)
    if case.registers is None or case.practitioner_number is None:
        return NOTHING
    person = case.hpr_person(case.registers)
    if person is not None and authorization.code in person.authorizations:
        return NOTHING
    code = mention(authorization.code)
    text = f"{code} is not registered for this user"
    return refuse("ATT-32", f"{path}.code", text, code=DENIED, found=code)


def _enterprise_vouches(case: Case) -> bool:
    # A client that may not attest without a login hears that (ATT-11), not what it should have sent.
    if case.circumstances.established_by == "login":
        return case.at_source
    return case.circumstances.may_attest_without_login or case.party is not Party.TRUST_ANCHOR


def _person_number(case: Case, identifier: Identifier) -> Findings:
    code = "invalid_token" if case.at_source else INVALID
    if identifier.system not in PERSON_NUMBERS:
        return refuse("ATT-10", f"{_PERSON}.system", "F-number or D-number needed", code=code)
    kind, fault = case.person_number(identifier.id)
    if fault:
        return refuse("ATT-10", f"{_PERSON}.id", fault, code=code)
    if kind is None or kind is Kind.H_NUMBER:
        return refuse("ATT-10", f"{_PERSON}.id", "F-number or D-number needed", code=code)
    if SYSTEM_OF_KIND[kind] != identifier.system:
        return (Remark("ATT-10", f"{_PERSON}.system", "names another kind of number; the number decides"),)
    return NOTHING
