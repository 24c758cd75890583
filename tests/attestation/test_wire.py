"""Lenient in, strict out: what is read, what is refused, and what reaches a token."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tillit.attestation.codes import code_systems
from tillit.attestation.enrichment import enrich
from tillit.attestation.registers import Registers
from tillit.attestation.rulebook import RULES
from tillit.attestation.systems import ORGANISATION_NUMBER
from tillit.attestation.wire import ATTESTATION_TYPE, Malformed, from_claim, parse_attestation, to_claim

Example = Callable[[str], dict[str, Any]]
SIGNED = 1768465800


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
def test_systems_get_one_spelling(given_system: str, issued: str, sent: dict[str, Any]):
    """Every spelling of an OID becomes one (N-4); what is none stays as it is, for the rules to judge."""
    sent["practitioner"]["legal_entity"]["system"] = given_system
    attestation, violations, _ = parse_attestation(sent, carrier_iat=SIGNED)
    assert not violations
    assert attestation is not None
    assert attestation.practitioner.legal_entity.system == issued
