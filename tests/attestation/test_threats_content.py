"""Bad attestations, rows A6 to A8 of the threat list: unknown, oversized and hostile content."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from support.timing import least_cpu
from tillit.attestation.enrichment import enrich
from tillit.attestation.registers import Registers
from tillit.attestation.rulebook import Circumstances, Examination, Party, examine
from tillit.attestation.wire import to_claim

Given = Callable[..., Circumstances]
SIGNED = 1768465800


def anchor(value: Any, circumstances: Circumstances) -> Examination:
    """What the trust anchor finds."""
    return examine(value, carrier_iat=SIGNED, party=Party.TRUST_ANCHOR, circumstances=circumstances)


def test_a6_the_override_is_accepted_and_marked(sent: dict[str, Any], after_login: Given):
    """Break the glass works when it must, and the journal is told each time."""
    sent["care_relationship"]["purpose_of_use"]["code"] = "BTG"
    sent["care_relationship"]["decision_ref"]["user_selected"] = True
    found = anchor(sent, after_login())
    assert found.violations == ()
    assert [remark.rule for remark in found.remarks] == ["ATT-41"]


@pytest.mark.parametrize(
    ("path", "value", "prefix", "named"),
    [
        (("care_relationship", "purpose_of_use", "code"), "PATADMIN", "ATT-38", "purpose_of_use.code"),
        (("care_relationship", "purpose_of_use", "system"), "urn:oid:1.0.14265.1", "ATT-38", "system"),
        (("care_relationship", "purpose_of_use_details", "code"), "NOPE", "ATT-45", "details.code"),
        (("care_relationship", "healthcare_service", "system"), "urn:x:y", "ATT-37", "service.system"),
        (("care_relationship", "decision_ref", "user_selected"), "true", "ATT-48", "user_selected"),
        (("care_relationship", "unknown"), 1, "ATT-SHAPE", "care_relationship"),
        (("patients", 0, "name"), "x", "ATT-SHAPE", "patients[0]"),
        (("type",), "something", "ATT-TYPE", "type"),
    ],
)
def test_a6_the_refusal_names_the_member(
    *, path: tuple[Any, ...], value: Any, prefix: str, named: str, sent: dict[str, Any], after_login: Given
):
    """Unknown codes, systems, members and types are refused where they stand."""
    target: Any = sent
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    violation = anchor(sent, after_login()).violations[0]
    assert violation.prefix == prefix
    assert violation.path.endswith(named)
    assert violation.code == "invalid_authorization_details"


def test_a6_the_same_type_twice_is_refused(sent: dict[str, Any], after_login: Given):
    """Two attestations in one array would leave it to chance which one counts."""
    violations = anchor([sent, copy.deepcopy(sent)], after_login()).violations
    assert [violation.prefix for violation in violations] == ["ATT-SHAPE"]


def nested(levels: int) -> Any:
    """Objects within objects."""
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


LARGE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "64 kB and one": lambda sent: sent | {"x": "a" * 65537},
    "a thousand objects": lambda sent: [sent] * 1000,
    "a thousand patients": lambda sent: sent | {"patients": [{}] * 1000},
    "ten thousand members": lambda sent: sent | {f"m{number}": 1 for number in range(10_000)},
    "two thousand short members": lambda sent: sent | {f"{number:x}": 1 for number in range(1500)},
    "a string of a megabyte": lambda sent: json.dumps(sent) + " " * 1_000_000,
    "a text of a megabyte": lambda sent: sent | {"practitioner": "x" * 1_000_000},
    "two hundred levels": lambda sent: sent | {"x": nested(200)},
    "ten thousand levels in a string": lambda _: '{"a":' * 10_000,
    "a number of five thousand digits": lambda _: '{"toa":' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE.keys())
def test_a7_what_is_too_much_is_refused_quickly(make: Any, sent: dict[str, Any], after_login: Given):
    """Size, depth and number have limits, and none of them takes long to find."""
    value = make(sent)
    circumstances = after_login()
    found = anchor(value, circumstances)
    assert found.violations[0].prefix in {"ATT-1", "ATT-SHAPE"}
    assert len(found.violations) < 40
    assert least_cpu(lambda: anchor(value, circumstances), tries=5) < 0.02


HOSTILE = [
    "<script>alert(1)</script>",
    "{{7*7}}",
    "a\r\nb",
    "a\x00b",
    "a\x1bb",
    "a\u202eb",
    "a\u2066b",
    "a\u200bb",
    "a\ufeffb",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a8_hostile_text_is_refused_where_text_is_kept(text: str, sent: dict[str, Any], after_login: Given):
    """The one free text that reaches a token, the name of a local unit, holds letters, digits and marks only."""
    local = {"id": "1", "system": "https://nordfjell.example/enheter", "name": text}
    sent["practitioner"]["department"] = local
    found = anchor(sent, after_login())
    assert [(violation.prefix, violation.path) for violation in found.violations] == [
        ("ATT-28", "practitioner.department.name")
    ]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    "path",
    [
        ("practitioner", "legal_entity", "id"),
        ("practitioner", "legal_entity", "system"),
        ("practitioner", "department", "id"),
        ("care_relationship", "purpose_of_use", "code"),
        ("care_relationship", "healthcare_service", "code"),
        ("care_relationship", "decision_ref", "id"),
        ("patients", 0, "identifier", "id"),
    ],
)
def test_a8_hostile_text_is_refused_in_numbers_and_codes(
    path: tuple[Any, ...], text: str, sent: dict[str, Any], after_login: Given
):
    """Neither a number nor a code can carry markup, line ends or marks that turn the text, nor is it repeated."""
    target: Any = sent
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = text
    found = anchor(sent, after_login())
    assert found.attestation is None
    assert not any(text in violation.description for violation in found.violations)


def test_a8_decomposed_letters_are_composed(sent: dict[str, Any], after_login: Given, registers: Registers):
    """A name is issued in NFC, however the client wrote it."""
    local = {"id": "1", "system": "https://nordfjell.example/enheter", "name": "A\u030asen"}
    sent["practitioner"]["department"] = local
    circumstances = after_login()
    found = anchor(sent, circumstances)
    assert found.attestation is not None
    claim = to_claim(enrich(found.attestation, registers, circumstances.codes))
    assert claim["practitioner"]["department"]["name"] == "Åsen"


def test_a8_letters_that_look_alike_are_remarked(sent: dict[str, Any], after_login: Given):
    """A Cyrillic letter in a name is accepted, and the journal is told."""
    local = {"id": "1", "system": "https://nordfjell.example/enheter", "name": "\u0410vdeling"}
    sent["practitioner"]["department"] = local
    found = anchor(sent, after_login())
    assert found.violations == ()
    assert [remark.rule for remark in found.remarks] == ["ATT-28"]


def test_a8_a_lone_surrogate_is_no_text(sent: dict[str, Any], after_login: Given):
    """Half a character is refused before it reaches any rule."""
    sent["practitioner"]["department"]["name"] = "\ud800"
    assert anchor(sent, after_login()).violations[0].prefix == "ATT-1"


@pytest.mark.parametrize("name", ["iss", "cnf", "scope", "exp", "sub", "aud", "__proto__", "<script>"])
@pytest.mark.parametrize("where", [(), ("practitioner",), ("patients", 0), ("patients", 0, "identifier")])
def test_a8_reserved_names_never_get_in(
    name: str, where: tuple[Any, ...], sent: dict[str, Any], after_login: Given
):
    """Members of tokens have no place at any level of an attestation."""
    target: Any = sent
    for step in where:
        target = target[step]
    target[name] = "x"
    violations = anchor(sent, after_login()).violations
    assert [violation.prefix for violation in violations] == ["ATT-SHAPE"]


def test_a8_a_number_as_a_member_name_is_not_repeated(sent: dict[str, Any], after_login: Given):
    """Even a person's number in the place of a member name stays untold."""
    sent["practitioner"]["05825031016"] = "x"
    violations = anchor(sent, after_login()).violations
    assert violations[0].description == "ATT-SHAPE: practitioner: unknown member"
