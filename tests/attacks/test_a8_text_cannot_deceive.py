"""A8: control, bidi and zero-width characters are refused; what remains is normal form and claims nothing else."""

import json
import unicodedata
from typing import Any

import pytest

from support.backstage import SwiftEhr
from support.ehr import attestation
from support.intakes import CARRIER, INVALID_CLIENT, claims, header
from support.tokens import compact
from support.tokens_seen import attested, claims_of

LOCAL = "https://nordfjell.example/units"
REFUSED = {
    "script": "<script>alert(1)</script>",
    "template": "{{7*7}}",
    "line break": "Ward\r\nSet-Cookie: a=b",
    "escape": "Ward\x1b[2J",
    "bell": "Ward\x07",
    "delete": "Ward\x7f",
    "override": "Ward \u202e7",
    "isolate": "Ward \u2066x\u2069",
    "zero width": "W\u200bard",
    "joiner": "W\u200dard",
    "byte order mark": "\ufeffWard",
    "line separator": "Ward\u2028x",
    "no-break space": "Ward\u00a01",
    "formula": "=cmd|' /C calc'!A0",
    "quotes": 'Ward "1"',
    "backslash": "Ward\\1",
    "percent": "Ward%00",
    "tag": "Ward\U000e0041",
}


def department(name: str, **more: Any) -> dict[str, Any]:
    unit = {"id": "ward-1", "system": LOCAL, "name": name, **more}
    return attestation(practitioner__department=unit)


@pytest.mark.parametrize("name", REFUSED)
def test_a8_a_name_that_could_deceive_is_refused(name: str, attacker: SwiftEhr):
    """The only free text that reaches a token is the name of a local department, and it is plain."""
    answer = attacker.token(department(REFUSED[name]))
    assert (answer.status, answer.error) == (400, "invalid_authorization_details")
    assert answer.description.startswith("ATT-28: practitioner.department.name: ")
    assert REFUSED[name].encode() not in answer.body


@pytest.mark.parametrize("text", ["\\ud800", "\\u0000"])
def test_a8_text_that_is_no_text_spoils_the_assertion(text: str, attacker: SwiftEhr):
    """A lone surrogate and NUL are refused with the token, or with the details that were sent as text."""
    payload = json.dumps(claims(CARRIER, attacker, assertion_details=department("@"))).replace("@", text)
    token = compact(header(CARRIER, attacker), payload.encode(), attacker.key)
    assert attacker.send(attacker.form(token), attacker.proof()).body == INVALID_CLIENT
    answer = attacker.token(json.dumps(department("@")).replace("@", text))
    assert answer.description.startswith("ATT-1: assertion_details: ")


def test_a8_names_are_issued_in_normal_form(attacker: SwiftEhr):
    """A name comes out composed, whichever way it was written."""
    name = "Føde- og barselavdeling, Ålesund (2. etg.)"
    claim = attested(attacker.token(department(unicodedata.normalize("NFD", name))))
    assert claim["practitioner"]["department"] == {
        "id": "ward-1",
        "name": name,
        "system": LOCAL,
        "authority": "310000019",
    }


def test_a8_look_alikes_are_noted_not_refused(attacker: SwiftEhr):
    """Letters of other scripts may be honest; the token carries them unchanged for people to judge."""
    name = "W\u0430rd"
    assert attested(attacker.token(department(name)))["practitioner"]["department"]["name"] == name


IDENTIFIERS = {
    "decision": {"care_relationship__decision_ref__id": "a\u202eb"},
    "decision with script": {"care_relationship__decision_ref__id": "<script>"},
    "code": {"care_relationship__healthcare_service__code": "2\u200b10"},
    "organisation": {
        "practitioner__legal_entity__id": "\u0663\u0661\u0660\u0660\u0660\u0660\u0660\u0661\u0669"
    },
    "department": {"practitioner__department": {"id": "a\nb", "system": LOCAL, "name": "x"}},
    "system": {"practitioner__department": {"id": "a", "system": "https://x.example/\u202e", "name": "x"}},
    "patient": {"patients__0__identifier__id": "0582503101\uff16"},
}


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_a8_identifiers_hold_no_such_characters_either(name: str, attacker: SwiftEhr):
    """Ids, codes and systems are compared by machines and read by people: both see the same or nothing."""
    answer = attacker.token(attestation(**IDENTIFIERS[name]))
    assert (answer.status, answer.error) == (400, "invalid_authorization_details")
    assert answer.body.isascii()


@pytest.mark.parametrize("name", ["iss", "sub", "cnf", "scope", "aud", "client_id", "act", "toa_", "pid"])
def test_a8_reserved_names_get_no_further_than_the_attestation(name: str, attacker: SwiftEhr):
    """A member of the attestation called like a claim is refused; a claim of the assertion stays there."""
    answer = attacker.token(attestation(**{name: "forged"}))
    assert answer.description.startswith("ATT-SHAPE: unknown member")
    plain = claims_of(attacker.token())
    extra = {} if name in {"iss", "sub", "aud"} else {name: "forged"}
    form = attacker.form(attacker.assertion(details=attestation(), **extra))
    token = claims_of(attacker.send(form, attacker.proof()))
    assert set(token) == set(plain)
    assert "forged" not in str(token)


def test_a8_personal_numbers_sent_as_anything_else_are_never_echoed(attacker: SwiftEhr):
    """A person's number in the place of a code, a system or a member's name is not quoted back."""
    number = "05825031016"
    for changes in (
        {"care_relationship__healthcare_service__code": number},
        {"care_relationship__purpose_of_use__code": number},
        {"practitioner__authorization__code": number},
        {"practitioner__department__system": number},
        {number: 1},
        {f"practitioner__x{number}": 1},
        {"type": number},
    ):
        answer = attacker.token(attestation(**changes))
        if answer.status == 200:
            continue
        assert number.encode() not in answer.body
