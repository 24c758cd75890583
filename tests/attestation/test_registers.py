"""The registers held in memory, and the development content of `config/registers`."""

import re
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tillit.attestation.identifiers import (
    hpr_number_valid,
    organisation_number_fault,
    person_number_kind,
    resh_id_valid,
)
from tillit.attestation.registers import Registers, registers_from

ROOT = Path(__file__).parents[2]
CONTENT = {
    name: tomllib.loads((ROOT / "config" / "registers" / f"{name}.toml").read_text())
    for name in ("hpr", "organisations", "membership")
}
NOW = datetime(2026, 1, 15, tzinfo=UTC).timestamp()


def test_every_number_in_the_development_registers_is_valid():
    """The content obeys the check digits, so that examples made from it do too."""
    for person in CONTENT["hpr"]["person"]:
        assert person_number_kind(person["id"], now=NOW, synthetic=True)
        assert person_number_kind(person["id"], now=NOW, synthetic=False) is None
        assert hpr_number_valid(person["hpr_number"])
    for main in CONTENT["organisations"]["main_unit"]:
        for unit in (main, *main.get("sub_unit", ())):
            assert organisation_number_fault(unit["number"], synthetic=True) is None
            assert organisation_number_fault(unit["number"], synthetic=False)
    assert all(resh_id_valid(unit["resh_id"]) for unit in CONTENT["organisations"]["department"])


def test_the_page_on_development_data_lists_everything_there_is():
    """Every person, unit and department can be looked up in the documentation, and nothing else is there."""
    page = (ROOT / "docs" / "development-data.md").read_text()
    people = {entry[key] for entry in CONTENT["hpr"]["person"] for key in ("id", "hpr_number", "name")}
    mains = CONTENT["organisations"]["main_unit"]
    units = [unit for main in mains for unit in (main, *main.get("sub_unit", ()))]
    enterprises = {unit[key] for unit in units for key in ("number", "name")}
    departments = {
        entry[key] for entry in CONTENT["organisations"]["department"] for key in ("resh_id", "name")
    }
    missing = [text for text in people | enterprises | departments if text not in page]
    assert missing == []
    told = set(re.findall(r"`(\d{6,11})`", page))
    patients = {"05825031016", "63714815050"}
    unknown_to_hpr = {"16858399649"}
    assert told - people - enterprises - departments == patients | unknown_to_hpr


def test_units_know_their_main_unit(registers: Registers):
    """A sub-unit belongs to the main unit it is registered under, a main unit to itself."""
    hospital = registers.organisations.organisation("310000019")
    place = registers.organisations.organisation("311540025")
    assert hospital is not None
    assert place is not None
    assert (hospital.is_main_unit, hospital.parent, hospital.legal_entity) == (True, None, "310000019")
    assert (place.is_main_unit, place.parent, place.legal_entity) == (False, "310000019", "310000019")
    assert registers.organisations.has_sub_units("310000019")
    assert not registers.organisations.has_sub_units("314200772")
    assert registers.organisations.organisation("100100673") is None
    assert registers.organisations.department("1") is None


def member(**changes: object) -> Registers:
    """Registers with one enterprise, a member from 2 January 2025 to 31 December 2025."""
    entry = {
        "number": "310000019",
        "valid_from": date(2025, 1, 2),
        "valid_until": date(2025, 12, 31),
        "terms_accepted": True,
        "agreements": ["dokumentdeling"],
    }
    return registers_from(
        hpr={"person": []}, organisations={"main_unit": []}, membership={"member": [entry | changes]}
    )


@pytest.mark.parametrize(
    ("moment", "valid"),
    [
        (datetime(2025, 1, 1, 23, 59, 59, tzinfo=UTC), False),
        (datetime(2025, 1, 2, tzinfo=UTC), True),
        (datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC), True),
        (datetime(2026, 1, 1, tzinfo=UTC), False),
    ],
)
def test_membership_holds_from_its_first_to_its_last_day(moment: datetime, valid: bool):
    """Both days belong to the membership."""
    assert member().membership.membership("310000019", moment.timestamp()).valid is valid


def test_membership_says_why_not():
    """Each way of not being a member in good standing has a reason of its own."""
    moment = datetime(2025, 6, 1, tzinfo=UTC).timestamp()
    assert member().membership.membership("314200772", moment).reason == "no membership"
    terms = member(terms_accepted=False).membership.membership("310000019", moment)
    assert (terms.valid, terms.reason) == (False, "the terms are not accepted")
    agreements = member(agreements=[]).membership.membership("310000019", moment)
    assert (agreements.valid, agreements.reason) == (False, "an agreement is missing")


def test_a_document_that_lacks_a_member_is_refused():
    """Content that does not fit is an error at start-up, not an empty register."""
    with pytest.raises(KeyError):
        registers_from(hpr={}, organisations={"main_unit": []}, membership={"member": []})


def test_people_in_hpr_do_not_show(registers: Registers):
    """A register in a log line shows nobody."""
    assert "SKOGSTJERNE" not in repr(registers)
    assert "14857527039" not in repr(registers.hpr.person("14857527039"))
