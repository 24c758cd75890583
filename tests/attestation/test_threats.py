"""Bad attestations, by the rows A1 to A8 of the threat list, as far as this room answers them."""

import copy
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tillit.attestation.enrichment import enrich
from tillit.attestation.registers import Membership, Registers, RegisterUnavailable
from tillit.attestation.rulebook import Circumstances, Examination, Party, examine, judge
from tillit.attestation.wire import from_claim, to_claim

Example = Callable[[str], dict[str, Any]]
Given = Callable[..., Circumstances]
NOW = 1768465812
SIGNED = 1768465800
OID = "urn:oid:2.16.578.1.12.4.1."


@pytest.fixture
def sent(example: Example) -> dict[str, Any]:
    """The specialist's attestation, with the practitioner named."""
    value = example("specialist-care")["input"]
    value["practitioner"]["identifier"] = {"id": "14857527039", "system": OID + "4.1"}
    return value


def anchor(value: Any, circumstances: Circumstances) -> Examination:
    """What the trust anchor finds."""
    return examine(value, carrier_iat=SIGNED, party=Party.TRUST_ANCHOR, circumstances=circumstances)


@pytest.mark.parametrize(
    ("age", "at_anchor", "at_source"), [(3599, True, True), (3600, False, True), (3601, False, False)]
)
def test_a1_sixty_minutes_to_the_second(
    *, age: int, at_anchor: bool, at_source: bool, sent: dict[str, Any], example: Example, after_login: Given
):
    """The source accepts the sixtieth minute's end, the anchor only what leaves a token a second to live."""
    found = anchor(sent | {"toa": NOW - age}, after_login())
    assert (found.violations == ()) is at_anchor
    claim = from_claim(example("specialist-care")["claim"] | {"toa": NOW - age})
    at = judge(claim, Party.DOCUMENT_SOURCE, after_login(registers=None, token_person="14857527039"))
    assert (at == ()) is at_source
    for violation in (*found.violations, *at):
        assert violation.description.startswith("ATT-58: attestation_has_expired: ")
        assert violation.rule == "ATT-58c"


def test_a1_a_carrier_of_the_past_is_shown_as_a_clock_that_differs(sent: dict[str, Any], after_login: Given):
    """A refusal for age tells how far the client's clock seemed to be from ours."""
    found = anchor(sent | {"toa": NOW - 3700}, after_login(carrier_iat=NOW - 95))
    assert found.violations[0].clock_difference == -95


@pytest.mark.parametrize("toa", [NOW + 61, "1768465800", 1768465800000, 1768465800.5, -1, True, None])
def test_a2_only_a_past_whole_number_of_seconds_is_a_time(toa: Any, sent: dict[str, Any], after_login: Given):
    """Future, text, milliseconds, fractions, negatives and other types are refused under ATT-58."""
    found = anchor(sent | {"toa": toa}, after_login())
    assert [violation.rule for violation in found.violations] == ["ATT-58a"]
    assert found.violations[0].code == "invalid_authorization_details"


def test_a2_not_a_number_does_not_even_parse(sent: dict[str, Any], after_login: Given):
    """NaN is no JSON."""
    text = json.dumps(sent)[:-1] + ', "toa": NaN}'
    assert [violation.rule for violation in anchor(text, after_login()).violations] == ["ATT-1"]


def test_a2_a_missing_time_is_that_of_the_carrier_unless_it_is_demanded(
    sent: dict[str, Any], after_login: Given
):
    """Clients of today send none; a client that must is refused without."""
    found = anchor(sent, after_login())
    assert found.attestation is not None
    assert found.attestation.toa == SIGNED
    refused = anchor(sent, after_login(toa_required=True))
    assert [violation.rule for violation in refused.violations] == ["ATT-58a"]


@pytest.mark.parametrize(
    ("requested", "accepted"), [("05825031016", True), ("63714815050", False), (None, True)]
)
def test_a3_a_token_for_one_patient_opens_no_other(
    requested: str | None, accepted: bool, example: Example, after_login: Given
):
    """At the source the patient of the request must be one the attestation names."""
    claim = from_claim(example("specialist-care")["claim"])
    known = after_login(registers=None, token_person="14857527039", requested_patient=requested)
    assert (judge(claim, Party.DOCUMENT_SOURCE, known) == ()) is accepted


@pytest.mark.parametrize(
    ("identifier", "hpr_nr", "rule", "code"),
    [
        ({"id": "29839013092", "system": OID + "4.1"}, None, "ATT-11", "access_denied"),
        ({"id": "14857527039", "system": OID + "4.3"}, None, "ATT-10", "invalid_authorization_details"),
        ({"id": "14857527039", "system": OID + "4.5"}, None, "ATT-10", "invalid_authorization_details"),
        ({"id": "14857527000", "system": OID + "4.1"}, None, "ATT-10", "invalid_authorization_details"),
        ({"id": "98765432103", "system": OID + "4.1"}, None, "ATT-10", "invalid_authorization_details"),
        (None, {"id": "222209983", "system": OID + "4.4"}, "ATT-29b", "access_denied"),
        (None, {"id": "222209991", "system": OID + "4.1"}, "ATT-29a", "invalid_authorization_details"),
        (None, {"id": "0", "system": OID + "4.4"}, "ATT-29a", "invalid_authorization_details"),
    ],
)
def test_a4_the_practitioner_is_who_logged_in(
    *, identifier: Any, hpr_nr: Any, rule: str, code: str, sent: dict[str, Any], after_login: Given
):
    """Another person, another kind of number, wrong digits or another HPR number: refused, and never repeated."""
    for name, member in (("identifier", identifier), ("hpr_nr", hpr_nr)):
        if member is not None:
            sent["practitioner"][name] = member
    found = anchor(sent, after_login())
    assert (found.violations[0].rule, found.violations[0].code) == (rule, code)
    told = " ".join(str(violation) + violation.description for violation in found.violations)
    numbers = [
        member["id"] for member in (identifier, hpr_nr) if member is not None and len(member["id"]) > 1
    ]
    assert not any(number in told for number in ["14857527039", *numbers])


class Standing:
    """A membership register with one answer for everybody."""

    def __init__(self, answer: Membership | RegisterUnavailable) -> None:
        self.answer = answer

    def membership(self, _number: str, _now: float) -> Membership:
        """The answer, whoever is asked about."""
        if isinstance(self.answer, RegisterUnavailable):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    "reason", ["no membership", "the membership has ended", "the terms are not accepted"]
)
def test_a5_an_enterprise_that_is_no_member_is_denied(
    reason: str, sent: dict[str, Any], after_login: Given, registers: Registers
):
    """Without a valid membership the facts forbid, and the reason is told."""
    asked = replace(registers, membership=Standing(Membership(valid=False, reason=reason)))
    found = anchor(sent, after_login(registers=asked))
    assert [(violation.rule, violation.code) for violation in found.violations] == [
        ("ATT-12", "access_denied")
    ]
    assert found.violations[0].text.endswith(reason)


def test_a5_a_register_that_is_away_is_no_yes(sent: dict[str, Any], after_login: Given, registers: Registers):
    """A register that does not answer is told apart from one that says no; nothing is accepted meanwhile."""
    asked = replace(registers, membership=Standing(RegisterUnavailable("the membership register")))
    with pytest.raises(RegisterUnavailable) as refusal:
        anchor(sent, after_login(registers=asked))
    assert refusal.value.register == "the membership register"


@pytest.mark.parametrize(
    ("member", "number", "rule"),
    [
        ("legal_entity", "314200772", "ATT-13"),
        ("legal_entity", "310000018", "ATT-15"),
        ("point_of_care", "312331055", "ATT-18a"),
        ("point_of_care", "311540026", "ATT-18a"),
    ],
)
def test_a5_the_enterprise_is_the_clients_and_its_place_is_registered(
    member: str, number: str, rule: str, sent: dict[str, Any], after_login: Given
):
    """Another client's enterprise, a wrong number, a place elsewhere: each under its own rule."""
    sent["practitioner"][member]["id"] = number
    found = anchor(sent, after_login(permitted_legal_entities=frozenset({"310000019"})))
    assert found.violations[0].rule == rule


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
    started = time.process_time()
    found = anchor(value, circumstances)
    took = time.process_time() - started
    assert found.violations[0].prefix in {"ATT-1", "ATT-SHAPE"}
    assert len(found.violations) < 40
    assert took < 0.02


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
