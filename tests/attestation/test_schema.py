"""The JSON Schema of an attestation agrees with the reader of attestations, on everything that we have to show."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tillit.attestation.schema import attestation_schema
from tillit.attestation.wire import from_claim, parse_attestation, to_claim

VECTORS = Path(__file__).parents[1] / "vectors" / "attestation"
VALIDATOR = jsonschema.Draft202012Validator(attestation_schema())


def inputs(expected: str) -> Iterator[Any]:
    """Every attestation of the vectors that is accepted or refused, as it is sent."""
    for path in sorted(VECTORS.glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        for case in document["cases"]:
            if case["expect"] == expected and isinstance(case.get("input"), dict):
                yield pytest.param(case["input"], id=f"{document['rule']}-{case['name']}".replace(" ", "-"))


def recommended(sent: dict[str, Any]) -> bool:
    """Whether it is spelt as is recommended: the reader has nothing to remark."""
    _, faults, notes = parse_attestation(sent, carrier_iat=1768465800)
    return not faults and not notes and "description" not in str(sent)


def test_the_schema_is_one():
    """It keeps to the dialect that it names."""
    jsonschema.Draft202012Validator.check_schema(attestation_schema())


@pytest.mark.parametrize("sent", list(inputs("accept")))
def test_what_is_accepted_as_it_is_fits_the_schema(sent: dict[str, Any]):
    """An attestation that a rule accepts and nobody had to read leniently is valid."""
    if recommended(sent):
        assert list(VALIDATOR.iter_errors(sent)) == []


@pytest.mark.parametrize("sent", list(inputs("refuse")))
def test_what_has_not_the_shape_does_not_fit_the_schema(sent: dict[str, Any]):
    """An attestation whose shape is refused is not valid; of what a rule refuses the schema need not know."""
    _, faults, _ = parse_attestation(sent, carrier_iat=1768465800)
    if any(fault.rule in {"ATT-SHAPE", "ATT-TYPE"} for fault in faults):
        assert list(VALIDATOR.iter_errors(sent)) != []


GOOD = {
    "type": "nhn:tillitsrammeverk:parameters",
    "practitioner": {
        "legal_entity": {"id": "310000019", "system": "urn:oid:2.16.578.1.12.4.1.4.101"},
        "point_of_care": {"id": "311540025", "system": "urn:oid:2.16.578.1.12.4.1.4.101"},
    },
    "care_relationship": {
        "purpose_of_use": {"code": "TREAT", "system": "urn:oid:2.16.840.1.113883.1.11.20448"},
        "decision_ref": {"id": "a-1", "user_selected": False},
    },
    "patients": [],
}


def test_the_least_that_can_be_said():
    """No time, no patient, no practitioner's number: the shape is right, the rules say the rest."""
    assert list(VALIDATOR.iter_errors(GOOD)) == []
    assert recommended(GOOD)


@pytest.mark.parametrize(
    "path",
    [
        "type",
        "practitioner",
        "practitioner.legal_entity",
        "practitioner.legal_entity.id",
        "practitioner.point_of_care",
        "care_relationship",
        "care_relationship.purpose_of_use",
        "care_relationship.purpose_of_use.code",
        "care_relationship.decision_ref",
        "care_relationship.decision_ref.user_selected",
        "patients",
    ],
)
def test_what_is_needed_is_needed(path: str):
    """Each member without which no attestation is accepted is required."""
    changed = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    node: Any = changed
    for name in parents:
        node = node[name]
    del node[last]
    assert list(VALIDATOR.iter_errors(changed)) != []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("toa", "1768465800"),
        ("toa", 1.5),
        ("toa", -1),
        ("patients", {}),
        ("patients", [{}] * 51),
        ("practitioner.role", {}),
        ("care_relation", {}),
        ("care_relationship.decision_ref.user_selected", "true"),
        ("practitioner.legal_entity.id", 310000019),
        ("type", "another"),
    ],
)
def test_what_is_wrong_is_wrong(path: str, value: Any):
    """Wrong types, unknown members, too many patients."""
    changed = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    node: Any = changed
    for name in parents:
        node = node[name]
    node[last] = value
    assert list(VALIDATOR.iter_errors(changed)) != []


def test_what_we_write_ourselves_fits_it():
    """The claim of a token is an attestation too, but for its type."""
    claim = {"toa": 1768465800, **{name: value for name, value in GOOD.items() if name != "type"}}
    claim["practitioner"] = {
        **claim["practitioner"],
        "identifier": {"id": "14857527039", "system": "urn:oid:2.16.578.1.12.4.1.4.1"},
    }
    written = to_claim(from_claim(claim))
    assert list(VALIDATOR.iter_errors({**written, "type": GOOD["type"]})) == []
