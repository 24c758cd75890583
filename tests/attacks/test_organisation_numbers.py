"""HID-1001 to HID-1007: for which organisation a client asks, single- and multi-tenant."""

from typing import Any

import pytest

from support.backstage import SELF_SERVICE, WARD_LIST, Backstage
from support.ehr import attestation
from support.tokens_seen import attested, claims_of

SINGLE, MULTI = "urn:oid:2.16.578.1.12.4.1.4.101", "urn:oid:1.0.6523"
PARENT = "helseid://claims/client/claims/orgnr_parent"
CHILD = "helseid://claims/client/claims/orgnr_child"
SUPPLIER = "helseid://claims/client/claims/orgnr_supplier"
POINTER = "helseid_authorization.practitioner_role.organization.identifier"


def organisation(value: Any, system: Any = MULTI, kind: Any = "ENH") -> dict[str, Any]:
    identifier = {"system": system, "type": kind, "value": value}
    return {
        "type": "helseid_authorization",
        "practitioner_role": {"organization": {"identifier": identifier}},
    }


ONE = {"tenancy": "single", "children": ["311540025", "310000027"]}
CHILDLESS = {"tenancy": "single"}
MANY = {"tenancy": "multi", "legal_entities": ["310000019", "215600343"], "supplier": "314200772"}
LISTED = {**MANY, "children": ["311540025"]}
DENIED, MALFORMED = "access_denied", "invalid_request"

REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "parent not delegated": (MANY, organisation("NO:ORGNR:314200772"), DENIED, "HID-1001"),
    "child not the client's": (ONE, organisation("312331055", SINGLE), DENIED, "HID-1002"),
    "child not on the list": (LISTED, organisation("NO:ORGNR:310000019:310000027"), DENIED, "HID-1003"),
    "eight digits": (ONE, organisation("31154002", SINGLE), MALFORMED, "HID-1004"),
    "letters": (MANY, organisation("NO:ORGNR:31000001x"), MALFORMED, "HID-1004"),
    "child of ten digits": (MANY, organisation("NO:ORGNR:310000019:3115400250"), MALFORMED, "HID-1004"),
    "empty parent": (MANY, organisation("NO:ORGNR:"), MALFORMED, "HID-1004"),
    "other digits": (
        ONE,
        organisation("\u0663\u0661\u0661\u0665\u0664\u0660\u0660\u0662\u0665", SINGLE),
        MALFORMED,
        "HID-1004",
    ),
    "parent of a single tenant": (ONE, organisation("NO:ORGNR:310000019"), DENIED, "HID-1005"),
    "child without children": (CHILDLESS, organisation("311540025", SINGLE), DENIED, "HID-1006"),
    "system of a child for many": (MANY, organisation("311540025", SINGLE), MALFORMED, "HID-1007"),
    "unknown system": (ONE, organisation("311540025", "urn:oid:1.2.3"), MALFORMED, "HID-1007"),
    "no prefix": (MANY, organisation("310000019"), MALFORMED, "HID-1007"),
    "Swedish": (MANY, organisation("SE:ORGNR:310000019"), MALFORMED, "HID-1007"),
    "three parts": (MANY, organisation("NO:ORGNR:310000019:311540025:310000027"), MALFORMED, "HID-1007"),
    "other type": (ONE, organisation("311540025", SINGLE, "AVD"), MALFORMED, "HID-1007"),
    "number": (ONE, organisation(311540025, SINGLE), MALFORMED, "HID-1007"),
    "no identifier": (ONE, {"type": "helseid_authorization"}, MALFORMED, "HID-1007"),
    "array": (
        ONE,
        {"type": "helseid_authorization", "practitioner_role": [{"organization": {}}]},
        MALFORMED,
        "HID-1007",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_hid_numbers_that_are_not_the_clients_are_refused_by_their_code(name: str, backstage: Backstage):
    """Each reason has the code that clients of the national service know, and the member at fault."""
    members, detail, code, rule = REFUSED[name]
    answer = backstage.client(**members).token(detail, scope=SELF_SERVICE)
    assert (answer.status, answer.error) == (400, code)
    assert answer.description.startswith(f"{rule}: {POINTER}")
    assert b"31154002" not in answer.body


def test_hid_a_single_tenants_parent_is_registered_and_its_child_sent(backstage: Backstage):
    """The parent comes from the registration; a child of the client's own is added when it is sent."""
    ehr = backstage.client(**ONE)
    plain = claims_of(ehr.token(None, scope=WARD_LIST))
    assert (plain[PARENT], plain.get(CHILD)) == ("310000019", None)
    named = claims_of(ehr.token(organisation("310000027", SINGLE), scope=WARD_LIST))
    assert (named[PARENT], named[CHILD]) == ("310000019", "310000027")


@pytest.mark.parametrize(
    ("value", "parent", "child"),
    [
        ("NO:ORGNR:310000019", "310000019", None),
        ("NO:ORGNR:215600343:312331055", "215600343", "312331055"),
        ("NO:ORGNR:215600343:", "215600343", None),
    ],
)
def test_hid_a_multi_tenants_parent_is_the_one_it_names(
    value: str, parent: str, child: str | None, backstage: Backstage
):
    """A vendor's client names for whom it asks, among those that delegated to it; without that, nobody."""
    ehr = backstage.client(**MANY)
    token = claims_of(ehr.token(organisation(value), scope=WARD_LIST))
    assert (token[PARENT], token.get(CHILD)) == (parent, child)
    assert PARENT not in claims_of(ehr.token(None, scope=WARD_LIST))


def test_hid_the_supplier_is_told_to_those_who_asked_for_it(backstage: Backstage):
    """The vendor's number stands in tokens of the API that registered for it, and in no other."""
    ehr = backstage.client(**MANY)
    details = [organisation("NO:ORGNR:310000019:311540025"), attestation()]
    assert claims_of(ehr.token(details))[SUPPLIER] == "314200772"
    assert SUPPLIER not in claims_of(ehr.token(details, scope=WARD_LIST))


def test_hid_an_attestation_beside_names_the_same_enterprise(backstage: Backstage):
    """Another parent than the attested enterprise is refused; another child is remarked on (X-6)."""
    ehr = backstage.client(**MANY)
    answer = ehr.token([organisation("NO:ORGNR:215600343"), attestation()])
    assert (answer.status, answer.error) == (400, DENIED)
    assert answer.description == "ATT-13: practitioner.legal_entity: differs from helseid_authorization"
    other_child = ehr.token([organisation("NO:ORGNR:310000019:310000027"), attestation()])
    assert attested(other_child)["practitioner"]["point_of_care"]["id"] == "311540025"
    (entry,) = backstage.entries("issuer.token.issued", client_id=ehr.client_id)
    assert any(remark.startswith("ATT-13: ") for remark in entry.public["remarks"])


def test_hid_sent_twice_is_refused(backstage: Backstage):
    """Two sets of organisation numbers in one assertion leave nothing to choose."""
    one = organisation("NO:ORGNR:310000019")
    answer = backstage.client(**MANY).token([one, one], scope=WARD_LIST)
    assert answer.description == "ATT-SHAPE: assertion_details[1].type: type occurs twice"
