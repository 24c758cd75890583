"""The table is complete, says the truth about who keeps what, and `judge` follows it."""

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tillit.attestation.codes import code_systems
from tillit.attestation.model import Attestation, CareRelationship, Practitioner
from tillit.attestation.registers import Registers, RegisterUnavailable
from tillit.attestation.rulebook import (
    RULE_PACK_VERSION,
    RULES,
    Check,
    Circumstances,
    Kept,
    Left,
    Party,
    Register,
    examine,
    judge,
)
from tillit.attestation.rules_page import render_rules

Given = Callable[..., Circumstances]
Example = Callable[[str], dict[str, Any]]

ROOT = Path(__file__).parents[2]
SIGNED = 1768465800

TWICE = {18: "ab", 29: "ab", 43: "ab", 58: "abc"}
ABSENT = {14, 17, 30}
FRAMEWORK = [
    f"ATT-{number}{letter}"
    for number in range(1, 59)
    if number not in ABSENT
    for letter in TWICE.get(number, ("",))
]


def test_the_table_has_every_rule_of_the_framework_once_and_in_order():
    """Sixty rule blocks under fifty-five ids: nothing is missing, nothing is invented."""
    assert len(FRAMEWORK) == 60
    assert [row.id for row in RULES] == FRAMEWORK


def test_the_documentation_lists_the_same_rules():
    """The page for readers is what the table renders, so neither can change without the other."""
    page = (ROOT / "docs" / "rules.md").read_text()
    assert page == render_rules()
    assert re.findall(r"^\| (ATT-\d+[a-c]?) ", page, re.MULTILINE) == FRAMEWORK


def test_every_id_stands_in_the_source_as_a_literal():
    """A rule id from an error message can be found in the table by searching for it."""
    source = (ROOT / "app" / "tillit" / "attestation" / "rulebook.py").read_text()
    assert re.findall(r'row\("(ATT-\d+[a-c]?)"', source) == FRAMEWORK


KEPT = [row for row in RULES if isinstance(row.basis, Kept)]


@pytest.mark.parametrize("row", KEPT, ids=[row.id for row in KEPT])
def test_what_is_said_to_be_kept_has_a_module_and_a_test(row: Any):
    """A rule kept by the system names a module that imports and a test that exists."""
    assert importlib.import_module(row.basis.module)
    path, _, function = row.basis.test.partition("::")
    assert function
    assert f"def {function}(" in (ROOT / path).read_text()


def test_a_rule_that_is_left_says_to_whom_and_why():
    """No rule is passed over in silence."""
    for row in RULES:
        if isinstance(row.basis, Left):
            assert row.basis.to
            assert row.basis.why
            assert not row.parties


def test_a_rule_with_a_check_is_judged_by_somebody():
    """A check nobody runs would be a comment."""
    for row in RULES:
        assert not isinstance(row.basis, Check | Register) or row.parties


def test_everything_wrong_is_reported_in_order_of_the_rules(registers: Registers, without_login: Given):
    """An empty attestation breaks every rule that demands something, and hears all of them at once."""
    empty = Attestation(Practitioner(), CareRelationship(), (), toa=-1)
    circumstances = without_login(department_required=True, scope_needs_patient=True)
    found = judge(empty, Party.TRUST_ANCHOR, circumstances)
    assert [violation.rule for violation in found] == [
        "ATT-6",
        "ATT-10",
        "ATT-15",
        "ATT-18a",
        "ATT-21",
        "ATT-38",
        "ATT-43a",
        "ATT-47",
        "ATT-58a",
    ]


def test_the_shape_is_told_before_the_values(example: Example, without_login: Given):
    """Unknown members and wrong types come first; a member that could not be read is reported once."""
    value = example("specialist-care")["input"]
    value["practitioner"]["legal_entity"]["id"] = 310000019
    value["practitioner"]["extra"] = 1
    value["care_relationship"]["purpose_of_use"]["code"] = "treat"
    found = examine(value, carrier_iat=SIGNED, party=Party.TRUST_ANCHOR, circumstances=without_login())
    assert [(violation.prefix, violation.path) for violation in found.violations] == [
        ("ATT-SHAPE", "practitioner"),
        ("ATT-SHAPE", "practitioner.legal_entity.id"),
        ("ATT-10", "practitioner.identifier"),
        ("ATT-38", "care_relationship.purpose_of_use.code"),
    ]


def test_a_similar_name_is_not_beneath_an_unreadable_member(example: Example, after_login: Given):
    """`purpose_of_use` of the wrong type hides no fault of `purpose_of_use_details`."""
    value = example("specialist-care")["input"]
    value["care_relationship"]["purpose_of_use"] = "TREAT"
    value["care_relationship"]["purpose_of_use_details"]["code"] = "NOPE"
    found = examine(value, carrier_iat=SIGNED, party=Party.TRUST_ANCHOR, circumstances=after_login())
    assert [violation.prefix for violation in found.violations] == ["ATT-SHAPE", "ATT-45"]


def test_a_trust_anchor_without_registers_does_not_judge(example: Example, after_login: Given):
    """Where a register must answer and there is none, the answer is that it cannot be asked, never yes."""
    value = example("specialist-care")["input"]
    circumstances = after_login(registers=None)
    with pytest.raises(RegisterUnavailable):
        examine(value, carrier_iat=SIGNED, party=Party.TRUST_ANCHOR, circumstances=circumstances)


def test_every_register_is_asked_at_most_once_per_question(
    registers: Registers, example: Example, after_login: Given
):
    """Judging costs one look-up per person and unit, however many rules concern it."""

    class Counting:
        """Passes each question on and keeps a list of them."""

        def __init__(self, register: Any) -> None:
            self.register = register
            self.asked: list[Any] = []

        def __getattr__(self, name: str) -> Any:
            def ask(*question: Any) -> Any:
                self.asked.append((name, question))
                return getattr(self.register, name)(*question)

            return ask

    counting = [Counting(part) for part in (registers.hpr, registers.organisations, registers.membership)]
    value = example("specialist-care")["input"]
    value["practitioner"]["hpr_nr"] = {"id": "222209991", "system": "urn:oid:2.16.578.1.12.4.1.4.4"}
    circumstances = after_login(registers=Registers(*counting))
    found = examine(value, carrier_iat=SIGNED, party=Party.TRUST_ANCHOR, circumstances=circumstances)
    assert found.violations == ()
    for register in counting:
        assert len(register.asked) == len(set(register.asked)) > 0


def test_a_malformed_number_is_never_looked_up(registers: Registers, example: Example, without_login: Given):
    """What fails its check digits does not travel to a register."""

    class Forbidden:
        """A register that nobody may ask."""

        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    value = example("specialist-care")["input"]
    value["practitioner"] |= {
        "identifier": {"id": "14857527000", "system": "urn:oid:2.16.578.1.12.4.1.4.1"},
        "legal_entity": {"id": "310000018", "system": "urn:oid:2.16.578.1.12.4.1.4.101"},
    }
    circumstances = without_login(registers=Registers(Forbidden(), Forbidden(), Forbidden()))
    found = examine(value, carrier_iat=SIGNED, party=Party.TRUST_ANCHOR, circumstances=circumstances)
    assert [violation.prefix for violation in found.violations] == ["ATT-10", "ATT-15"]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(replacement=anything, data=st.data())
def test_judging_never_raises(
    replacement: Any, data: st.DataObject, example: Example, after_login: Given, without_login: Given
):
    """Whatever stands in place of one member, each party gets an answer, and a broken one is never accepted."""
    value = example("municipality")["input"][1]
    target = value
    while True:
        key = data.draw(st.sampled_from(sorted(target)))
        if not isinstance(target[key], dict) or data.draw(st.booleans()):
            target[key] = replacement
            break
        target = target[key]
    for circumstances in (after_login(authenticated_person="54857527022"), without_login()):
        for party in Party:
            found = examine(value, carrier_iat=SIGNED, party=party, circumstances=circumstances)
            assert (found.attestation is None) is bool(found.violations)


def test_the_rule_pack_names_the_code_lists_it_judged_with():
    """A changed code list changes the version that tokens and audit entries carry."""
    assert RULE_PACK_VERSION.endswith("+" + code_systems().version)
