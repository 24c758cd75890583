"""Whole attestations through the whole chain, one change at a time, and the framework's own examples."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tillit.attestation.codes import code_systems
from tillit.attestation.enrichment import enrich
from tillit.attestation.registers import MembershipInMemory, Registers
from tillit.attestation.rulebook import Circumstances, Party, examine, judge
from tillit.attestation.wire import ATTESTATION_TYPE, from_claim, parse_attestation, to_claim

Example = Callable[[str], dict[str, Any]]
Given = Callable[..., Circumstances]

VECTORS = Path(__file__).parents[1] / "vectors" / "attestation"
NAMES = tuple(sorted(path.stem for path in (VECTORS / "examples").glob("*.json")))
PUBLISHED = tuple(sorted(path.stem for path in (VECTORS / "published").glob("*.json")))
SIGNED = 1768465800
CODES = code_systems()


def with_the_person_named(value: Any, person: str) -> Any:
    """The input with `practitioner.identifier`, as a client sends it when nobody has logged in."""
    details = value if isinstance(value, list) else [value]
    for detail in details:
        if detail["type"] == ATTESTATION_TYPE:
            system = "urn:oid:2.16.578.1.12.4.1.4.2" if person[0] > "3" else "urn:oid:2.16.578.1.12.4.1.4.1"
            detail["practitioner"]["identifier"] = {"id": person, "system": system}
    return value


@pytest.mark.parametrize("name", NAMES)
def test_an_example_becomes_its_claim_after_a_login(
    name: str, example: Example, after_login: Given, registers: Registers
):
    """Parsed, judged, enriched and written, each example equals its published claim, member order included."""
    document = example(name)
    circumstances = after_login(authenticated_person=document["person"])
    attestation, faults, _ = parse_attestation(document["input"], carrier_iat=SIGNED)
    assert attestation is not None
    assert faults == ()
    assert judge(attestation, Party.TRUST_ANCHOR, circumstances) == ()
    claim = to_claim(enrich(attestation, registers, CODES, person=document["person"]))
    assert json.dumps(claim) == json.dumps(document["claim"])


@pytest.mark.parametrize("name", NAMES)
def test_an_example_becomes_the_same_claim_when_the_enterprise_vouches(
    name: str, example: Example, without_login: Given, registers: Registers
):
    """Without a login the practitioner is named in the attestation, and the claim is the same."""
    document = example(name)
    value = with_the_person_named(document["input"], document["person"])
    found = examine(value, carrier_iat=SIGNED, party=Party.TRUST_ANCHOR, circumstances=without_login())
    assert found.violations == ()
    assert found.attestation is not None
    assert to_claim(enrich(found.attestation, registers, CODES)) == document["claim"]


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_accepted_by_all_three_parties(name: str, example: Example, after_login: Given):
    """What the consumer sends without registers and the source reads from the token passes there too."""
    document = example(name)
    consumer = after_login(registers=None, authenticated_person=None, security_level=None)
    found = examine(document["input"], carrier_iat=SIGNED, party=Party.CONSUMER, circumstances=consumer)
    assert found.violations == ()
    source = after_login(registers=None, token_person=document["person"])
    assert judge(from_claim(document["claim"]), Party.DOCUMENT_SOURCE, source) == ()


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_frameworks_own_examples_are_judged_with_their_defects(name: str, without_login: Given):
    """Each published example is refused, and every known defect is reported under its rule."""
    document = json.loads((VECTORS / "published" / f"{name}.json").read_text())
    circumstances = without_login(registers=None)
    found = examine(document["input"], carrier_iat=SIGNED, party=Party.CONSUMER, circumstances=circumstances)
    defects = [{"prefix": violation.prefix, "path": violation.path} for violation in found.violations]
    assert found.attestation is None
    assert sorted(defects, key=str) == sorted(document["defects"], key=str)


def test_att_24_and_50_small_enterprises_need_no_units(example: Example, after_login: Given):
    """A practice without units names no department, and itself as the patient's point of care."""
    document = example("general-practice")
    place = document["input"]["practitioner"]["point_of_care"]
    document["input"]["patients"] = [{"point_of_care": place}]
    circumstances = after_login(authenticated_person=document["person"])
    found = examine(
        document["input"], carrier_iat=SIGNED, party=Party.TRUST_ANCHOR, circumstances=circumstances
    )
    assert found.violations == ()
    assert found.remarks == ()


def test_what_was_normalised_is_noted(example: Example, after_login: Given):
    """The lenient example says which tolerances it needed, without a word of its content."""
    circumstances = after_login(authenticated_person="54857527022")
    value = json.dumps(example("municipality")["input"])
    found = examine(value, carrier_iat=SIGNED, party=Party.TRUST_ANCHOR, circumstances=circumstances)
    tolerances = {note.partition(":")[0] for note in found.notes}
    assert tolerances == {"N-1", "N-3", "N-6", "N-8"}
    assert not any("63714815050" in note or "Fjordvik" in note for note in found.notes)


def test_a_person_unknown_to_hpr_gets_neither_name_nor_hpr_number(
    example: Example, without_login: Given, registers: Registers
):
    """Without an authorization a person HPR does not know is accepted; the token then has no `hpr_nr`."""
    value = with_the_person_named(example("specialist-care")["input"], "16858399649")
    del value["practitioner"]["authorization"]
    found = examine(value, carrier_iat=SIGNED, party=Party.TRUST_ANCHOR, circumstances=without_login())
    assert found.attestation is not None
    practitioner = to_claim(enrich(found.attestation, registers, CODES))["practitioner"]
    assert "hpr_nr" not in practitioner
    assert practitioner["identifier"] == {
        "id": "16858399649",
        "system": "urn:oid:2.16.578.1.12.4.1.4.1",
        "authority": "https://www.skatteetaten.no/",
    }


Change = Callable[[dict[str, Any]], Any]


def put(path: str, value: Any) -> Change:
    """Set one member, addressed by its path."""

    def change(attestation: dict[str, Any]) -> None:
        *steps, last = path.split("/")
        target: Any = attestation
        for step in steps:
            target = target[int(step)] if step.isdigit() else target[step]
        target[last] = value

    return change


def drop(*paths: str) -> Change:
    """Remove members, addressed by their paths."""

    def change(attestation: dict[str, Any]) -> None:
        for path in paths:
            *steps, last = path.split("/")
            target: Any = attestation
            for step in steps:
                target = target[int(step)] if step.isdigit() else target[step]
            del target[last]

    return change


OID = "urn:oid:2.16.578.1.12.4.1."
CARE = "care_relationship"
OTHER_USER = {"id": "29839013092", "system": OID + "4.1"}
HELP_NUMBER = {"id": "14857527039", "system": OID + "4.3"}

ONE_CHANGE: tuple[tuple[str, Change, dict[str, Any], str | None], ...] = (
    ("another user", put("practitioner/identifier", OTHER_USER), {}, "ATT-11"),
    ("H-number of the practitioner", put("practitioner/identifier", HELP_NUMBER), {}, "ATT-10"),
    ("login at level 3", drop(), {"security_level": "3"}, "ATT-9"),
    ("SP, though HPR says LE", put("practitioner/authorization/code", "SP"), {}, "ATT-32"),
    ("check digit of legal_entity", put("practitioner/legal_entity/id", "310000018"), {}, "ATT-15"),
    ("not the client's enterprise", put("practitioner/legal_entity/id", "314200772"), {}, "ATT-13"),
    ("system of point_of_care", put("practitioner/point_of_care/system", OID + "4.102"), {}, "ATT-18"),
    ("department without system", drop("practitioner/department/system"), {}, "ATT-28"),
    (
        "system of hpr_nr",
        put("practitioner/hpr_nr", {"id": "222209991", "system": OID + "1.9060"}),
        {},
        "ATT-29",
    ),
    ("system of the service", put(f"{CARE}/healthcare_service/system", OID + "1.9060"), {}, "ATT-37"),
    ("PATADMIN", put(f"{CARE}/purpose_of_use/code", "PATADMIN"), {}, "ATT-38"),
    ("treat", put(f"{CARE}/purpose_of_use/code", "treat"), {}, "ATT-38"),
    (
        "neither service nor details",
        drop(f"{CARE}/healthcare_service", f"{CARE}/purpose_of_use_details"),
        {},
        "ATT-43",
    ),
    ("details alone", drop(f"{CARE}/healthcare_service"), {}, None),
    ("service alone", drop(f"{CARE}/purpose_of_use_details"), {}, None),
    ("unknown details", put(f"{CARE}/purpose_of_use_details/code", "NOPE"), {}, "ATT-45"),
    ("code missing from a partial list", put(f"{CARE}/healthcare_service/code", "215"), {}, None),
    ("no decision_ref", drop(f"{CARE}/decision_ref"), {}, "ATT-47"),
    ("empty decision id", put(f"{CARE}/decision_ref/id", ""), {}, "ATT-47"),
    ("blank in the decision id", put(f"{CARE}/decision_ref/id", "a b"), {}, "ATT-47"),
    ("user_selected a string", put(f"{CARE}/decision_ref/user_selected", "false"), {}, "ATT-48"),
    ("user_selected zero", put(f"{CARE}/decision_ref/user_selected", 0), {}, "ATT-48"),
    ("check digit of the patient", put("patients/0/identifier/id", "05825031017"), {}, "ATT-4"),
    ("the same patient twice", lambda value: value["patients"].append(value["patients"][0]), {}, "ATT-4"),
    (
        "patient elsewhere",
        put("patients/0/point_of_care", {"id": "312331055", "system": OID + "4.101"}),
        {},
        "ATT-51",
    ),
    ("toa 3601 s ago", put("toa", 1768462199), {"now": SIGNED}, "ATT-58"),
    ("toa 3600 s ago", put("toa", 1768462200), {"now": SIGNED}, "ATT-58"),
    ("toa in milliseconds", put("toa", 1768465800000), {}, "ATT-58"),
    (
        "a misspelt member",
        lambda value: value["practitioner"].update(auhtorization=value["practitioner"].pop("authorization")),
        {},
        "ATT-SHAPE",
    ),
    ("type of an older draft", put("type", "nhn:trust_framework:parameters"), {}, "ATT-TYPE"),
)


@pytest.mark.parametrize(
    ("change", "known", "prefix"), [row[1:] for row in ONE_CHANGE], ids=[row[0] for row in ONE_CHANGE]
)
def test_one_change_gets_one_answer(
    change: Change, known: dict[str, Any], prefix: str | None, example: Example, after_login: Given
):
    """One change to the specialist's attestation: the first violation, by rule number, is the expected one."""
    value = copy.deepcopy(example("specialist-care")["input"])
    change(value)
    circumstances = after_login(permitted_legal_entities=frozenset({"310000019"}), **known)
    found = examine(value, carrier_iat=SIGNED, party=Party.TRUST_ANCHOR, circumstances=circumstances)
    assert (found.violations[0].prefix if found.violations else None) == prefix


def test_one_change_around_it_an_enterprise_that_is_no_member(
    example: Example, after_login: Given, registers: Registers
):
    """The specialist's attestation is refused under ATT-12 when the hospital is no member of Helsenettet."""
    nobody = replace(registers, membership=MembershipInMemory({}))
    value = example("specialist-care")["input"]
    found = examine(
        value, carrier_iat=SIGNED, party=Party.TRUST_ANCHOR, circumstances=after_login(registers=nobody)
    )
    assert [(violation.prefix, violation.code) for violation in found.violations] == [
        ("ATT-12", "access_denied")
    ]


def test_the_expired_attestation_says_so_in_the_words_of_the_rule(example: Example, after_login: Given):
    """The description of an expired attestation holds the words that ATT-58c demands."""
    value = example("specialist-care")["input"] | {"toa": 1768462199}
    circumstances = after_login(now=SIGNED)
    found = examine(value, carrier_iat=SIGNED, party=Party.TRUST_ANCHOR, circumstances=circumstances)
    assert found.violations[0].description.startswith("ATT-58: attestation_has_expired: ")


def test_a_misspelt_member_is_named_and_the_nearest_suggested(example: Example, after_login: Given):
    """The refusal of an unknown member helps the vendor to find it."""
    value = example("specialist-care")["input"]
    value["practitioner"]["auhtorization"] = value["practitioner"].pop("authorization")
    found = examine(value, carrier_iat=SIGNED, party=Party.TRUST_ANCHOR, circumstances=after_login())
    assert (
        found.violations[0].description
        == "ATT-SHAPE: practitioner: unknown member auhtorization (authorization?)"
    )
