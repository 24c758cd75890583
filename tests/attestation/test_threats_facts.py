"""Bad attestations, rows A1 to A5 of the threat list: times, patients, persons and enterprises that do not fit."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tillit.attestation.registers import Membership, Registers, RegisterUnavailable
from tillit.attestation.rulebook import Circumstances, Examination, Party, examine, judge
from tillit.attestation.wire import from_claim

Example = Callable[[str], dict[str, Any]]
Given = Callable[..., Circumstances]
NOW = 1768465812
SIGNED = 1768465800
OID = "urn:oid:2.16.578.1.12.4.1."


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
