"""A6: members and codes are the ones that are defined; anything else is refused by name, never dropped."""

import json
from typing import Any

import pytest

from support.backstage import Backstage, SwiftEhr, eventually
from support.ehr import ATTESTATION, CARE_RELATION, attestation
from support.tokens_seen import attested

CARE = "care_relationship"
SERVICE, PURPOSE, DETAILS = (
    f"{CARE}.{name}" for name in ("healthcare_service", "purpose_of_use", "purpose_of_use_details")
)
PURPOSES = "urn:oid:2.16.840.1.113883.1.11.20448"
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "neither": (
        {"care_relationship__healthcare_service": ..., "care_relationship__purpose_of_use_details": ...},
        f"ATT-43: {CARE}: healthcare_service or purpose_of_use_details needed",
    ),
    "purpose unknown": (
        {"care_relationship__purpose_of_use__code": "PATADMIN"},
        f"ATT-38: {PURPOSE}.code: PATADMIN is not allowed",
    ),
    "purpose in lower case": (
        {"care_relationship__purpose_of_use__code": "treat"},
        f"ATT-38: {PURPOSE}.code: treat is not allowed",
    ),
    "purpose with blank": (
        {"care_relationship__purpose_of_use__code": "TREAT "},
        f"ATT-38: {PURPOSE}.code: ",
    ),
    "purpose of another system": (
        {"care_relationship__purpose_of_use__system": CARE_RELATION},
        f"ATT-38: {PURPOSE}.system: not allowed",
    ),
    "purpose missing": ({"care_relationship__purpose_of_use": ...}, f"ATT-38: {PURPOSE}: missing"),
    "details unknown": (
        {"care_relationship__purpose_of_use_details__code": "NOPE"},
        f"ATT-45: {DETAILS}.code: unknown in carerelation",
    ),
    "details of another system": (
        {"care_relationship__purpose_of_use_details__system": PURPOSES},
        f"ATT-45: {DETAILS}.system: not allowed",
    ),
    "service of another system": (
        {"care_relationship__healthcare_service__system": "urn:oid:2.16.578.1.12.4.1.1.9060"},
        f"ATT-37: {SERVICE}.system: not allowed",
    ),
    "service with odd code": (
        {"care_relationship__healthcare_service__code": "2 10"},
        f"ATT-37: {SERVICE}.code: ",
    ),
    "decision missing": ({"care_relationship__decision_ref": ...}, f"ATT-47: {CARE}.decision_ref: missing"),
    "decision is a person": (
        {"care_relationship__decision_ref__id": "05825031016"},
        f"ATT-47: {CARE}.decision_ref.id: ",
    ),
    "decision too long": (
        {"care_relationship__decision_ref__id": "d" * 65},
        f"ATT-47: {CARE}.decision_ref.id: ",
    ),
    "user_selected text": (
        {"care_relationship__decision_ref__user_selected": "true"},
        f"ATT-48: {CARE}.decision_ref.user_selected: true or false needed",
    ),
    "user_selected number": (
        {"care_relationship__decision_ref__user_selected": 1},
        f"ATT-48: {CARE}.decision_ref.",
    ),
    "user_selected null": (
        {"care_relationship__decision_ref__user_selected": None},
        f"ATT-48: {CARE}.decision_ref.",
    ),
    "unknown member": (
        {"practitioner__auhtorization": {"code": "LE"}},
        "ATT-SHAPE: practitioner: unknown member auhtorization (authorization?)",
    ),
    "unknown member at the top": ({"version": "1.0"}, "ATT-SHAPE: unknown member version"),
    "unknown member of a patient": (
        {"patients__0__name": "x"},
        "ATT-SHAPE: patients[0]: unknown member name",
    ),
    "two spellings": ({"care_relation": {}}, "ATT-SHAPE: "),
    "identifier is text": (
        {"practitioner__identifier": "14857527039"},
        "ATT-SHAPE: practitioner.identifier: ",
    ),
    "code is number": (
        {"care_relationship__healthcare_service__code": 210},
        f"ATT-SHAPE: {SERVICE}.code: string",
    ),
    "patients is text": ({"patients": "x"}, "ATT-SHAPE: patients: array needed"),
    "patients missing": ({"patients": ...}, "ATT-SHAPE: patients: missing"),
    "practitioner missing": ({"practitioner": ...}, "ATT-SHAPE: practitioner: missing"),
    "null is not absent": ({"practitioner__department": None}, "ATT-SHAPE: practitioner.department: "),
    "unknown type": (
        {"type": "nhn:trust_framework:parameters"},
        "ATT-TYPE: assertion_details.type: unknown type",
    ),
    "type missing": ({"type": ...}, "ATT-TYPE: assertion_details.type: missing"),
    "type is number": ({"type": 7}, "ATT-TYPE: assertion_details.type: "),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a6_what_is_not_defined_is_refused_by_name(name: str, attacker: SwiftEhr):
    """The answer names the rule, the member and what is wrong with it."""
    changes, text = REFUSED[name]
    answer = attacker.token(attestation(**changes))
    assert (answer.status, answer.error) == (400, "invalid_authorization_details")
    assert answer.description.startswith(text)
    assert answer.json["error_id"] == answer.headers["Error-Id"]


ORGANISATION = {
    "type": "helseid_authorization",
    "practitioner_role": {
        "organization": {
            "identifier": {"system": "urn:oid:2.16.578.1.12.4.1.4.101", "type": "ENH", "value": "311540025"}
        }
    },
}
SHAPES: dict[str, tuple[Any, str]] = {
    "same type twice": (
        [ATTESTATION, ATTESTATION],
        "ATT-SHAPE: assertion_details[1].type: type occurs twice",
    ),
    "unknown beside": ([ATTESTATION, {"type": "x"}], "ATT-TYPE: assertion_details[1].type: unknown type"),
    "nothing": ([], "ATT-SHAPE: assertion_details: "),
    "text within": (["x"], "ATT-SHAPE: assertion_details[0]: an object needed"),
    "number": (7, "ATT-SHAPE: assertion_details: "),
    "true": (True, "ATT-SHAPE: assertion_details: "),
    "no JSON": ("{", "ATT-1: assertion_details: not valid JSON"),
    "empty text": ("", "ATT-1: assertion_details: not valid JSON"),
    "trailing": (json.dumps(ATTESTATION) + "x", "ATT-1: assertion_details: not valid JSON"),
    "text in text": (json.dumps(json.dumps(ATTESTATION)), "ATT-SHAPE: assertion_details: "),
    "twenty": ([{"type": f"t{n}"} for n in range(20)], "ATT-SHAPE: assertion_details: 1 to 16"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a6_the_envelope_is_as_strict_as_its_content(name: str, attacker: SwiftEhr):
    """Unknown types, doubled types and other JSON than objects are refused (RFC 9396 §5)."""
    details, text = SHAPES[name]
    answer = attacker.token(details)
    assert (answer.status, answer.error) == (400, "invalid_authorization_details")
    assert answer.description.startswith(text)


@pytest.mark.parametrize(
    "dress",
    [lambda a: a, lambda a: [a], json.dumps, lambda a: json.dumps([a])],
    ids=["object", "array", "text", "array in text"],
)
def test_a6_the_four_forms_that_clients_send_are_one(dress: Any, attacker: SwiftEhr):
    """Object, array, and either as JSON in a string give the same claim."""
    expected = attested(attacker.token()) | {"toa": 0}
    assert attested(attacker.token(dress(attestation()))) | {"toa": 0} == expected


@pytest.mark.parametrize("missing", ["healthcare_service", "purpose_of_use_details"])
def test_a6_one_of_service_and_details_is_enough(missing: str, attacker: SwiftEhr):
    """Either of the two explains the access, and the other is absent from the token."""
    claim = attested(attacker.token(attestation(**{f"care_relationship__{missing}": ...})))
    assert missing not in claim["care_relationship"]


def test_a6_breaking_the_glass_is_accepted_and_raises_an_alarm(backstage: Backstage):
    """An override of the normal rules is not refused here, but somebody is told, without a person's number."""
    ehr = backstage.client()
    assert ehr.token(attestation(care_relationship__purpose_of_use__code="BTG")).status == 200
    (alarm,) = eventually(lambda: backstage.entries("issuer.glass.broken", client_id=ehr.client_id))
    assert alarm.public["alarm"] is True
    assert "14857527039" not in str(alarm.public)
    assert alarm.personal is not None
    assert alarm.personal["practitioner"] == "14857527039"


@pytest.mark.parametrize("name", ["authorization_details", "assertion_details"])
@pytest.mark.parametrize("signed", [None, ATTESTATION])
def test_a6_details_outside_the_signature_are_refused(name: str, signed: Any, attacker: SwiftEhr):
    """Details as a parameter of the form are not under the client's signature, and are never just ignored (ATT-2)."""
    form = attacker.form(attacker.assertion(details=signed), **{name: json.dumps(ATTESTATION)})
    answer = attacker.send(form, attacker.proof())
    assert (answer.status, answer.error) == (400, "invalid_request")
    assert answer.description == f"ATT-2: {name}: must be inside the signed client assertion"
