"""What findings tell, and above all what they never tell."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tillit.attestation.findings import Violation, by_rule, mention
from tillit.attestation.registers import Registers
from tillit.attestation.rulebook import Circumstances, Party, examine

VECTORS = Path(__file__).parents[1] / "vectors" / "attestation"
DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+")


def test_att_8_no_finding_tells_a_number(registers: Registers):
    """Over all vectors, no finding, remark or note repeats a number, and every text may stand in an error."""
    for path in sorted(VECTORS.glob("*.json")):
        document = json.loads(path.read_text())
        for case in document["cases"]:
            known = document["circumstances"] | case.get("circumstances", {})
            circumstances = Circumstances(now=known["now"], registers=registers, synthetic_identifiers=False)
            for party in Party:
                found = examine(case["input"], carrier_iat=0, party=party, circumstances=circumstances)
                told = [violation.description for violation in found.violations]
                told += [str(violation) for violation in found.violations]
                told += [str(remark) for remark in found.remarks] + list(found.notes)
                assert not any(re.search(r"(?<![\d.])\d{9,}", text) for text in told), case["name"]
                assert all(DESCRIPTION.fullmatch(violation.description) for violation in found.violations)


@pytest.mark.parametrize("rule", ["ATT-1", "ATT-18a", "ATT-58c", "ATT-SHAPE", "ATT-TYPE"])
def test_the_prefix_is_the_rule_without_its_letter(rule: str):
    """Callers see the id that the framework uses."""
    prefix = Violation(rule, "toa", "wrong").prefix
    assert prefix == {"ATT-18a": "ATT-18", "ATT-58c": "ATT-58"}.get(rule, rule)


def test_a_description_names_the_member():
    """An `error_description` is the prefix, the member and what is wrong with it."""
    violation = Violation("ATT-15", "practitioner.legal_entity.id", "check digit does not fit")
    assert violation.description == "ATT-15: practitioner.legal_entity.id: check digit does not fit"
    assert Violation("ATT-SHAPE", "", "unknown member").description == "ATT-SHAPE: unknown member"


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("", ""),
        ("toa", "/toa"),
        ("practitioner.legal_entity.id", "/practitioner/legal_entity/id"),
        ("patients[0].point_of_care", "/patients/0/point_of_care"),
        ("assertion_details[1].type", "/assertion_details/1/type"),
    ],
)
def test_a_path_is_also_a_json_pointer(path: str, pointer: str):
    """Tools that want RFC 6901 get it."""
    assert Violation("ATT-1", path, "x").pointer == pointer


def test_violations_are_ordered_by_number_then_letter_the_shape_first():
    """The first of them is the one an answer speaks of."""
    rules = ["ATT-58c", "ATT-9", "ATT-18b", "ATT-10", "ATT-SHAPE", "ATT-18a", "ATT-4"]
    found = by_rule([Violation(rule, "", "x") for rule in rules])
    assert [violation.rule for violation in found] == [
        "ATT-SHAPE",
        "ATT-4",
        "ATT-9",
        "ATT-10",
        "ATT-18a",
        "ATT-18b",
        "ATT-58c",
    ]


@pytest.mark.parametrize(
    "value", ["LE", "urn:oid:2.16.578.1.12.4.1.1.9060", "auhtorization", "https://x.no/"]
)
def test_codes_and_systems_may_be_quoted(value: str):
    """What helps to find the mistake is repeated."""
    assert mention(value) == value


@given(text=st.text())
def test_nothing_else_is_quoted(text: str):
    """What is quoted is short, plain ASCII and holds no run of digits that could be somebody's number."""
    quoted = mention(text)
    assert quoted is None or (len(quoted) <= 64 and DESCRIPTION.fullmatch(quoted))
    assert mention(f"a14857527039{text}") is None
