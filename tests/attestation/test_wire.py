"""Lenient in, strict out: nothing a client sends breaks the reader, and nothing but one spelling leaves."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tillit.attestation.codes import code_systems
from tillit.attestation.enrichment import enrich
from tillit.attestation.model import (
    Attestation,
    CareRelationship,
    Coding,
    Decision,
    Identifier,
    Patient,
    Practitioner,
)
from tillit.attestation.registers import Registers
from tillit.attestation.rulebook import RULES
from tillit.attestation.systems import CARE_RELATION, HEALTHCARE_SERVICES, ORGANISATION_NUMBER, RESH_ID
from tillit.attestation.wire import ATTESTATION_TYPE, Malformed, from_claim, parse_attestation, to_claim

Example = Callable[[str], dict[str, Any]]
SIGNED = 1768465800

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([ATTESTATION_TYPE, "urn:oid:2.16.578.1.12.4.1.4.1", "14857527039", "TREAT"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text()
            | st.sampled_from(
                ["type", "toa", "practitioner", "care_relation", "patients", "identifier", "id", "system"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=30,
)


@given(value=json_values)
def test_reading_never_raises(value: Any):
    """Any JSON value at all is either an attestation or a list of what is wrong with it."""
    attestation, violations, _ = parse_attestation(value, carrier_iat=SIGNED)
    assert attestation is not None or violations


@given(replacement=json_values, data=st.data())
def test_reading_survives_any_member_replaced(replacement: Any, data: st.DataObject):
    """Whatever stands in place of one member of a good attestation, reading ends with an answer."""
    value: Any = copy.deepcopy(GOOD)
    target = value
    while True:
        key = data.draw(st.sampled_from(sorted(target) if isinstance(target, dict) else range(len(target))))
        if not isinstance(target[key], dict | list) or not target[key] or data.draw(st.booleans()):
            target[key] = replacement
            break
        target = target[key]
    attestation, violations, _ = parse_attestation(value, carrier_iat=SIGNED)
    assert attestation is not None or violations


@given(text=st.text())
def test_a_string_is_read_as_json_at_most_once(text: str):
    """A claim that is a string is parsed or refused, and a string within it is never parsed again."""
    attestation, violations, _ = parse_attestation(json.dumps(text), carrier_iat=SIGNED)
    assert attestation is None
    assert violations[0].rule == "ATT-1"


GOOD = {
    "type": ATTESTATION_TYPE,
    "toa": SIGNED,
    "practitioner": {
        "identifier": {"id": "14857527039", "system": "urn:oid:2.16.578.1.12.4.1.4.1"},
        "legal_entity": {"id": "310000019", "system": ORGANISATION_NUMBER},
        "point_of_care": {"id": "311540025", "system": ORGANISATION_NUMBER},
    },
    "care_relationship": {
        "purpose_of_use": {"code": "TREAT", "system": "urn:oid:2.16.840.1.113883.1.11.20448"},
        "healthcare_service": {"code": "210", "system": "urn:oid:2.16.578.1.12.4.1.1.8451"},
        "decision_ref": {"id": "a1", "user_selected": False},
    },
    "patients": [{"identifier": {"id": "05825031016", "system": "urn:oid:2.16.578.1.12.4.1.4.1"}}],
}

numbers = st.text("0123456789", min_size=1, max_size=12)
units = st.builds(Identifier, id=numbers, system=st.just(ORGANISATION_NUMBER))
local = st.builds(
    Identifier,
    id=st.text("abcdef-", min_size=1, max_size=20),
    system=st.just("https://fjordvik.example/organisasjon"),
    name=st.none() | st.text("ABC æøå", min_size=1, max_size=20),
    authority=st.none() | numbers,
)
departments = st.builds(Identifier, id=numbers, system=st.just(RESH_ID)) | local
help_numbers = st.builds(Identifier, id=numbers, system=st.just("urn:oid:2.16.578.1.12.4.1.4.3"))
codings = st.builds(
    Coding,
    code=st.text("ABC123", min_size=1, max_size=8),
    system=st.sampled_from([*sorted(HEALTHCARE_SERVICES), CARE_RELATION]),
)
attestations = st.builds(
    Attestation,
    practitioner=st.builds(
        Practitioner,
        legal_entity=units,
        point_of_care=units,
        identifier=st.none() | help_numbers,
        hpr_nr=st.none() | units,
        authorization=st.none() | codings,
        department=st.none() | departments,
    ),
    care_relationship=st.builds(
        CareRelationship,
        purpose_of_use=codings,
        decision_ref=st.builds(Decision, id=numbers, user_selected=st.booleans()),
        healthcare_service=st.none() | codings,
        purpose_of_use_details=st.none() | codings,
    ),
    patients=st.lists(
        st.builds(
            Patient,
            identifier=st.none() | help_numbers,
            point_of_care=st.none() | units,
            department=st.none() | departments,
        ),
        max_size=3,
    ).map(tuple),
    toa=st.integers(0, 2**40),
)


@given(attestation=attestations)
def test_what_is_written_can_be_read_again(attestation: Attestation):
    """Writing and reading an attestation gives the same attestation, with nothing normalised on the way."""
    value = {"type": ATTESTATION_TYPE, **to_claim(attestation)}
    assert parse_attestation(value, carrier_iat=0) == (attestation, (), ())
    assert parse_attestation(json.dumps(value), carrier_iat=0)[0] == attestation


@given(attestation=attestations)
def test_a_token_is_read_as_it_was_written(attestation: Attestation):
    """The claim of a token is read without loss, names and owners included."""
    attestation = Attestation(
        practitioner=Practitioner(
            legal_entity=Identifier("310000019", ORGANISATION_NUMBER, "NORDFJELL", "https://www.brreg.no/"),
            point_of_care=attestation.practitioner.point_of_care,
            identifier=Identifier("14857527039", "urn:oid:2.16.578.1.12.4.1.4.1", "KLAR", "https://x/"),
            department=attestation.practitioner.department,
        ),
        care_relationship=attestation.care_relationship,
        patients=attestation.patients,
        toa=attestation.toa,
    )
    assert from_claim(to_claim(attestation)) == attestation


def without(*path: Any) -> Callable[[Any], None]:
    """Removes one member."""

    def change(claim: Any) -> None:
        for step in path[:-1]:
            claim = claim[step]
        del claim[path[-1]]

    return change


def with_member(value: Any, *path: Any) -> Callable[[Any], None]:
    """Sets one member."""

    def change(claim: Any) -> None:
        for step in path[:-1]:
            claim = claim[step]
        claim[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        without("toa"),
        without("practitioner"),
        without("practitioner", "identifier"),
        without("practitioner", "legal_entity"),
        without("practitioner", "point_of_care"),
        without("care_relationship", "purpose_of_use"),
        without("care_relationship", "decision_ref"),
        without("care_relationship", "decision_ref", "user_selected"),
        without("patients"),
        with_member("1768465800", "toa"),
        with_member(True, "toa"),
        with_member({}, "patients"),
        with_member("x", "practitioner", "identifier"),
        with_member(7, "practitioner", "identifier", "id"),
        with_member("true", "care_relationship", "decision_ref", "user_selected"),
    ],
)
def test_a_claim_that_lacks_what_every_token_has_is_malformed(change: Any, example: Example):
    """A source never works with half an attestation."""
    claim = example("specialist-care")["claim"]
    change(claim)
    with pytest.raises(Malformed) as refusal:
        from_claim(claim)
    assert "14857527039" not in str(refusal.value)


@pytest.mark.parametrize("claim", [None, [], "x", 7, {}])
def test_a_claim_of_another_shape_is_malformed(claim: Any):
    """What is no object, or an empty one, is no attestation."""
    with pytest.raises(Malformed):
        from_claim(claim)


def test_a_claim_with_members_of_a_newer_issuer_is_read(example: Example):
    """Readers ignore `type` and what they do not know, so that an issuer may add members."""
    claim = example("specialist-care")["claim"]
    more = copy.deepcopy(claim) | {"type": ATTESTATION_TYPE, "version": "2"}
    more["practitioner"]["new"] = {}
    more["patients"][0]["identifier"]["new"] = 1
    assert from_claim(more) == from_claim(claim)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("{", "assertion_details"),
        ('{"type":1,"type":2}', "assertion_details"),
        ('[{"a":NaN}]', "assertion_details"),
        ("{} {}", "assertion_details"),
        ('"{}"', "assertion_details"),
        ("[" * 20_000, "assertion_details"),
        ({"type": ATTESTATION_TYPE, "x": "\ud800"}, "assertion_details"),
        ({"type": ATTESTATION_TYPE, "x": 2**70}, "assertion_details"),
        ({"type": ATTESTATION_TYPE, "x": "a" * 16384}, "assertion_details"),
        ([[[[[[[[]]]]]]]], "assertion_details"),
    ],
)
def test_att_1_only_bounded_well_formed_json_is_read(value: Any, path: str):
    """What is not JSON, too large or too deep is refused before anything in it is looked at."""
    attestation, violations, _ = parse_attestation(value, carrier_iat=SIGNED)
    assert attestation is None
    assert [(violation.rule, violation.path) for violation in violations] == [("ATT-1", path)]


LOGGED = {
    "ATT-16": ("practitioner", "legal_entity"),
    "ATT-20": ("practitioner", "point_of_care"),
    "ATT-23": ("practitioner", "department"),
    "ATT-34": ("care_relationship", "healthcare_service"),
    "ATT-42": ("care_relationship", "purpose_of_use_details"),
    "ATT-46": ("care_relationship", "decision_ref"),
    "ATT-52": ("patients", 0, "point_of_care"),
    "ATT-57": ("patients", 0, "department"),
}


def test_what_parties_must_log_is_in_the_token(example: Example, registers: Registers):
    """Every attribute that the rules want in logs and citizens' views reaches the token when it was sent."""
    here = "test_wire.py::test_what_parties_must_log_is_in_the_token"
    assert {row.id for row in RULES if here in str(row.basis)} == set(LOGGED)
    document = example("specialist-care")
    attestation, _, _ = parse_attestation(document["input"], carrier_iat=SIGNED)
    assert attestation is not None
    claim = to_claim(enrich(attestation, registers, code_systems(), person=document["person"]))
    for rule, path in LOGGED.items():
        member: Any = claim
        for step in path:
            member = member[step]
        assert member, rule


@pytest.mark.parametrize(
    ("given_system", "issued"),
    [
        ("2.16.578.1.12.4.1.4.101", ORGANISATION_NUMBER),
        ("oid:2.16.578.1.12.4.1.4.101", ORGANISATION_NUMBER),
        ("URN:OID:2.16.578.1.12.4.1.4.101", ORGANISATION_NUMBER),
        ("Oid:2.16.578.1.34.10.3", "urn:oid:2.16.578.1.34.10.3"),
        ("urn:oid:x.x.x", "urn:oid:x.x.x"),
        ("2.16.578.01", "2.16.578.01"),
        (" 2.16.578", " 2.16.578"),
    ],
)
def test_systems_get_one_spelling(given_system: str, issued: str):
    """Every spelling of an OID becomes one (N-4); what is none stays as it is, for the rules to judge."""
    value = copy.deepcopy(GOOD)
    value["practitioner"]["legal_entity"]["system"] = given_system
    attestation, violations, _ = parse_attestation(value, carrier_iat=SIGNED)
    assert not violations
    assert attestation is not None
    assert attestation.practitioner.legal_entity.system == issued
