"""A4: the practitioner is an F- or D-number that fits, and what HPR knows about it is what is attested."""

from typing import Any

import pytest

from support.backstage import Backstage, SwiftEhr
from support.ehr import DNR, FNR, attestation
from support.tokens_seen import attested

HNR, HPR = "urn:oid:2.16.578.1.12.4.1.4.3", "urn:oid:2.16.578.1.12.4.1.4.4"
CODES = "urn:oid:2.16.578.1.12.4.1.1.9060"
INVALID, DENIED = "invalid_authorization_details", "access_denied"
WHO = "practitioner.identifier"

REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "missing": ({"identifier": ...}, INVALID, f"ATT-10: {WHO}: missing"),
    "help number": ({"identifier": {"id": "98765432103", "system": HNR}}, INVALID, f"ATT-10: {WHO}.system: "),
    "help number as F": (
        {"identifier": {"id": "98765432103", "system": FNR}},
        INVALID,
        f"ATT-10: {WHO}.id: ",
    ),
    "HPR number as person": (
        {"identifier": {"id": "222209991", "system": HPR}},
        INVALID,
        f"ATT-10: {WHO}.system",
    ),
    "no system": ({"identifier": {"id": "14857527039"}}, INVALID, f"ATT-10: {WHO}.system"),
    "check digits": (
        {"identifier": {"id": "14857527000", "system": FNR}},
        INVALID,
        f"ATT-10: {WHO}.id: check",
    ),
    "check digits of 2032": (
        {"identifier": {"id": "01873070087", "system": FNR}},
        INVALID,
        f"ATT-10: {WHO}.id",
    ),
    "no such date": ({"identifier": {"id": "14997527032", "system": FNR}}, INVALID, f"ATT-10: {WHO}.id"),
    "ten digits": ({"identifier": {"id": "1485752703", "system": FNR}}, INVALID, f"ATT-10: {WHO}.id: eleven"),
    "blanks": ({"identifier": {"id": " 14857527039", "system": FNR}}, INVALID, f"ATT-10: {WHO}.id: eleven"),
    "other digits": (
        {"identifier": {"id": "\u0661\u0664857527039", "system": FNR}},
        INVALID,
        f"ATT-10: {WHO}.id: eleven",
    ),
    "HPR number of another": (
        {"hpr_nr": {"id": "222209983", "system": HPR}},
        DENIED,
        "ATT-29: practitioner.hpr_nr: ",
    ),
    "HPR system": (
        {"hpr_nr": {"id": "222209991", "system": CODES}},
        INVALID,
        "ATT-29: practitioner.hpr_nr.system",
    ),
    "HPR form": ({"hpr_nr": {"id": "0222209991", "system": HPR}}, INVALID, "ATT-29: practitioner.hpr_nr.id"),
    "other authorization": (
        {"authorization": {"code": "SP", "system": CODES}},
        DENIED,
        "ATT-32: practitioner.authorization.code: SP is not registered for this user",
    ),
    "authorization unknown": (
        {"authorization": {"code": "QQ", "system": CODES}},
        INVALID,
        "ATT-32: practitioner.authorization.code: QQ is unknown in 9060",
    ),
    "person unknown to HPR": (
        {"identifier": {"id": "16858399649", "system": FNR}},
        DENIED,
        "ATT-32: practitioner.authorization.code: LE is not registered for this user",
    ),
    "authorization lost": (
        {"identifier": {"id": "06828399789", "system": FNR}},
        DENIED,
        "ATT-32: practitioner.authorization.code: LE is not registered for this user",
    ),
}


def changed(members: dict[str, Any]) -> dict[str, Any]:
    return attestation(
        **{
            f"practitioner__{name}": value
            for name, value in members.items()
            if value is not ... or name == "identifier"
        }
    )


@pytest.mark.parametrize("name", REFUSED)
def test_a4_what_does_not_fit_the_person_is_refused_under_its_rule(name: str, attacker: SwiftEhr):
    """Another kind of number, wrong digits, a foreign HPR number or authorization: refused, nothing echoed."""
    members, code, text = REFUSED[name]
    answer = attacker.token(changed(members))
    assert (answer.status, answer.error) == (400, code)
    assert answer.description.startswith(text)
    value = members.get("identifier", members.get("hpr_nr", {}))
    if value is not ... and "id" in value:
        assert value["id"].strip().encode() not in answer.body


def test_a4_the_audit_tells_of_the_mismatch_and_nobodys_number(backstage: Backstage):
    """The entry names rule and member; the person stands nowhere in clear, not in the audit nor in the log."""
    ehr = backstage.client()
    for name in ("HPR number of another", "person unknown to HPR", "check digits"):
        members, code, _ = REFUSED[name]
        answer = ehr.token(changed(members))
        (entry,) = backstage.awaited("issuer.token.refused", error_id=answer.json["error_id"])
        assert entry.public["code"] == code
        assert entry.public["step"] == "accepted_attestation"
        text = str(dict(entry.public)) + backstage.service.log()
        for number in ("14857527039", "16858399649", "14857527000", "222209983", "05825031016"):
            assert number not in text


def test_a4_without_permission_a_client_may_not_speak_for_anybody(backstage: Backstage):
    """A client that may not attest without a login hears that, whatever else is wrong."""
    ehr = backstage.client(attests_without_login=False)
    for details in (attestation(), changed({"identifier": ...})):
        answer = ehr.token(details)
        assert (answer.status, answer.error) == (400, DENIED)
        assert answer.description == f"ATT-11: {WHO}: this client may not attest without a login"


def test_a4_the_right_person_is_accepted_and_completed(attacker: SwiftEhr):
    """HPR's own number and authorization are accepted; left out, the number is filled in."""
    sent = {"hpr_nr": {"id": "222209991", "system": HPR}}
    assert attested(attacker.token(changed(sent))) | {"toa": 0} == attested(attacker.token()) | {"toa": 0}
    unknown = attestation(practitioner__identifier={"id": "16858399649", "system": FNR})
    del unknown["practitioner"]["authorization"]
    practitioner = attested(attacker.token(unknown))["practitioner"]
    assert "hpr_nr" not in practitioner
    assert "name" not in practitioner["identifier"]


def test_a4_a_number_of_the_other_kind_is_read_as_what_it_is(attacker: SwiftEhr):
    """The kind of a practitioner's number follows from its digits, not from the system it came under."""
    nurse = changed(
        {
            "identifier": {"id": "54857527022", "system": FNR},
            "authorization": {"code": "SP", "system": CODES},
        }
    )
    assert attested(attacker.token(nurse))["practitioner"]["identifier"]["system"] == DNR
