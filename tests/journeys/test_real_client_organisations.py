"""How the machine clients of the field say for which organisation they ask, and what they attest beside it.

Lines 4 and 5 of the acceptance list in chapter 11.7 of the national service's profile.
"""

import json
from typing import Any

import pytest

from support.backstage import Backstage
from support.ehr import ATTESTATION, ORGNR
from support.foreign_clients import CSharpShaped, claims_of, registered
from support.service import PHR

ENTERPRISE, OTHER, UNIT, OTHER_UNIT = "310000019", "314200772", "311540025", "310000027"
SINGLE, MULTI, MISTAKEN = ORGNR, "urn:oid:1.0.6523", "urn:oid:2.16.578.1.12.4.1.2.101"
CLAIM = "helseid://claims/client/claims/"
WARD = "example:ward/list"

pytestmark = pytest.mark.xdist_group("journeys")


def organisation(value: str, system: str) -> dict[str, Any]:
    """The structure that names an organisation."""
    identifier = {"system": system, "type": "ENH", "value": value}
    return {
        "type": "helseid_authorization",
        "practitioner_role": {"organization": {"identifier": identifier}},
    }


@pytest.fixture(scope="module")
def strict(backstage: Backstage) -> CSharpShaped:
    """A C#-shaped client of the strict profile."""
    return registered(CSharpShaped, backstage)


@pytest.fixture(scope="module")
def single(backstage: Backstage) -> CSharpShaped:
    """A single-tenant client of the ``helseid`` profile that may name one unit."""
    return registered(CSharpShaped, backstage, profile="helseid", children=[UNIT])


@pytest.fixture(scope="module")
def multi(backstage: Backstage) -> CSharpShaped:
    """A multi-tenant client of the ``helseid`` profile, to whose supplier two enterprises have delegated."""
    enterprises = [ENTERPRISE, OTHER]
    return registered(
        CSharpShaped,
        backstage,
        profile="helseid",
        tenancy="multi",
        legal_entities=enterprises,
        supplier=OTHER,
    )


@pytest.fixture(scope="module")
def clients(strict: CSharpShaped, single: CSharpShaped, multi: CSharpShaped) -> dict[str, CSharpShaped]:
    """One client of each kind; the strict one may name nobody."""
    return {"nobody": strict, "single": single, "multi": multi}


@pytest.mark.parametrize(
    "details", [ATTESTATION, [ATTESTATION], json.dumps(ATTESTATION), json.dumps([ATTESTATION])]
)
def test_4_one_detail_may_come_as_object_array_or_text(details: Any, single: CSharpShaped):
    """One structure as an object, in an array, or either of them as a string of JSON gives the same claim."""
    claims = claims_of(single.token(PHR, assertion_details=details))
    assert claims["nhn:tillitsrammeverk:parameters"]["practitioner"]["legal_entity"]["id"] == ENTERPRISE


def test_4_several_details_come_as_an_array(single: CSharpShaped, multi: CSharpShaped):
    """Organisation and attestation side by side: the token names the parent and the child, and the supplier."""
    both = [organisation(UNIT, SINGLE), ATTESTATION]
    claims = claims_of(single.token(PHR, assertion_details=both))
    assert (claims[CLAIM + "orgnr_parent"], claims[CLAIM + "orgnr_child"]) == (ENTERPRISE, UNIT)
    both = [ATTESTATION, organisation(f"NO:ORGNR:{ENTERPRISE}:{UNIT}", MULTI)]
    claims = claims_of(multi.token(PHR, assertion_details=both))
    assert (claims[CLAIM + "orgnr_parent"], claims[CLAIM + "orgnr_child"]) == (ENTERPRISE, UNIT)
    assert claims[CLAIM + "orgnr_supplier"] == OTHER


def test_4_the_old_name_is_read_in_the_helseid_profile_only(single: CSharpShaped, strict: CSharpShaped):
    """Details under ``authorization_details`` in the assertion are read from a ``helseid`` client, and noted."""
    assert (
        claims_of(single.token(WARD, authorization_details=organisation(UNIT, SINGLE)))[CLAIM + "orgnr_child"]
        == UNIT
    )
    answer = strict.token(WARD, authorization_details=organisation(UNIT, SINGLE))
    assert answer.description.startswith("HID-1007")
    answer = single.token(PHR, assertion_details=ATTESTATION, authorization_details=ATTESTATION)
    assert (answer.error, answer.description[:20]) == ("access_denied", "HID-DOUBLE-STRUCTURE")


@pytest.mark.parametrize("value", [f"NO:ORGNR:{OTHER}:", f"NO:ORGNR:{OTHER}"])
def test_4_a_parent_may_have_a_colon_behind_it(value: str, multi: CSharpShaped):
    """The parent alone is taken as both libraries write it, with the last colon and without."""
    claims = claims_of(multi.token(WARD, assertion_details=organisation(value, MULTI)))
    assert claims[CLAIM + "orgnr_parent"] == OTHER
    assert CLAIM + "orgnr_child" not in claims


def test_4_a_mistaken_system_is_taken_in_the_helseid_profile_only(backstage: Backstage, single: CSharpShaped):
    """The identifier system that published samples write is understood, but not by the strict profile."""
    claims = claims_of(single.token(WARD, assertion_details=organisation(UNIT, MISTAKEN)))
    assert claims[CLAIM + "orgnr_child"] == UNIT
    client = registered(CSharpShaped, backstage, children=[UNIT])
    assert client.token(WARD, assertion_details=organisation(UNIT, SINGLE)).status == 200
    answer = client.token(WARD, assertion_details=organisation(UNIT, MISTAKEN))
    assert (answer.error, answer.description[:8]) == ("invalid_request", "HID-1007")


@pytest.mark.parametrize(
    ("who", "value", "refusal"),
    [
        ("multi", "NO:ORGNR:313000214:", "access_denied HID-1001"),
        ("multi", f"NO:ORGNR:313000214:{UNIT}", "access_denied HID-1001"),
        ("multi", "NO:ORGNR:31000001", "invalid_request HID-1004"),
        ("multi", f"NO:ORGNR:{ENTERPRISE}:31154002x", "invalid_request HID-1004"),
        ("single", OTHER_UNIT, "access_denied HID-1002"),
        ("single", "31154", "invalid_request HID-1004"),
        ("nobody", UNIT, "access_denied HID-1006"),
    ],
)
def test_5_organisations_that_may_not_be_named(
    who: str, value: str, refusal: str, clients: dict[str, CSharpShaped]
):
    """No delegation, a number of another form, a unit that is not listed: each has its code and its rule."""
    details = organisation(value, MULTI if who == "multi" else SINGLE)
    answer = clients[who].token(WARD, assertion_details=details)
    assert (answer.status, f"{answer.error} {answer.description[:8]}") == (400, refusal)


def test_5_a_single_tenant_may_name_no_parent(single: CSharpShaped):
    """The parent of a single-tenant client is fixed by its registration."""
    answer = single.token(WARD, assertion_details=organisation(f"NO:ORGNR:{OTHER}:", MULTI))
    assert (answer.error, answer.description[:8]) == ("access_denied", "HID-1005")
