"""The code lists: complete ones are closed, partial ones are open, and each says which version it is."""

import json
from importlib import resources

import pytest

from tillit.attestation.codes import CodeSystem, code_systems
from tillit.attestation.systems import (
    AUTHORIZATION,
    CARE_RELATION,
    HEALTHCARE_SERVICES,
    IPLOS,
    PURPOSE_OF_USE,
)

CODES = code_systems()
COUNTS = {
    AUTHORIZATION: 36,
    PURPOSE_OF_USE: 59,
    CARE_RELATION: 38,
    IPLOS: 25,
    "urn:oid:2.16.578.1.12.4.1.1.8655": 111,
    "urn:oid:2.16.578.1.12.4.1.1.8451": 56,
    "urn:oid:2.16.578.1.12.4.1.1.8663": 40,
    "urn:oid:2.16.578.1.12.4.1.1.8666": 8,
    "urn:oid:2.16.578.1.12.4.1.1.8664": 5,
    "urn:oid:1.0.14265.1": 4,
}


def listed(urn: str) -> CodeSystem:
    """A code system that must be there."""
    system = CODES.system(urn)
    assert system is not None
    return system


@pytest.mark.parametrize(("urn", "count"), COUNTS.items())
def test_each_list_has_all_its_codes(urn: str, count: int):
    """The shipped lists are whole, and say so themselves."""
    assert len(listed(urn).texts) == count
    index = json.loads((resources.files("tillit.attestation") / "codesystems" / "index.json").read_bytes())
    assert {entry["system"]: entry["count"] for entry in index["systems"]}[urn] == count


def test_every_service_system_of_the_rules_is_listed():
    """ATT-37 names ten systems; each is known, with its owner."""
    assert all(listed(urn).assigner for urn in HEALTHCARE_SERVICES)
    assert len(HEALTHCARE_SERVICES) == 10


def test_a_complete_list_is_closed():
    """A code that a complete list lacks is no code; neither case nor zeros are folded."""
    assert listed(AUTHORIZATION).accepts("LE")
    assert not listed(AUTHORIZATION).accepts("le")
    assert not listed(IPLOS).accepts("07")


def test_a_partial_list_is_open_to_what_looks_like_a_code():
    """An unknown code of a partial list passes if it is formed like one."""
    services = listed("urn:oid:2.16.578.1.12.4.1.1.8451")
    assert services.accepts("010")
    assert services.accepts("215")
    assert not services.accepts(" 010")
    assert not services.accepts("x" * 33)
    assert not services.accepts("")


def test_texts_keep_leading_zeros_apart():
    """Codes are texts: 010 is not 10."""
    assert CODES.text("urn:oid:2.16.578.1.12.4.1.1.8451", "010") == "Generell kirurgi"
    assert CODES.text("urn:oid:2.16.578.1.12.4.1.1.8451", "10") is None
    assert CODES.text("urn:oid:1.2.3", "10") is None


def test_the_version_is_that_of_the_content():
    """The version is a digest of the lists, the same in every process."""
    code_systems.cache_clear()
    assert code_systems().version == CODES.version
    assert len(CODES.version) == 12


def test_templates_picked_by_hand_are_marked():
    """The lists know which care relations a person picks (X-12)."""
    assert "BLAALYS" in listed(CARE_RELATION).user_picked
    assert "POLBESOK" not in listed(CARE_RELATION).user_picked
