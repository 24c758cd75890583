"""The specialist's example with one thing changed, and the one answer that is due: code and prefix exactly."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.backstage import Backstage, SwiftEhr
from support.ehr import ATTESTATION, CARE_RELATION, ORGNR, RESH, attestation
from support.service import Service
from support.tokens_seen import attested

pytestmark = pytest.mark.xdist_group("one change")

NOW = 1768465800
INVALID, DENIED = "invalid_authorization_details", "access_denied"
HNR, CODES = "urn:oid:2.16.578.1.12.4.1.4.3", "urn:oid:2.16.578.1.12.4.1.1.9060"
WHO, CARE = "practitioner", "care_relationship"

ANSWERS: dict[str, tuple[dict[str, Any], str, str]] = {
    "help number": ({f"{WHO}__identifier__system": HNR}, INVALID, "ATT-10: practitioner.identifier.system: "),
    "another authorization": (
        {f"{WHO}__authorization__code": "SP"},
        DENIED,
        "ATT-32: practitioner.authorization.code: ",
    ),
    "check digit": (
        {f"{WHO}__legal_entity__id": "310000018"},
        INVALID,
        "ATT-15: practitioner.legal_entity.id: ",
    ),
    "not the client's": (
        {f"{WHO}__legal_entity__id": "314200772"},
        DENIED,
        "ATT-13: practitioner.legal_entity: ",
    ),
    "system of point of care": (
        {f"{WHO}__point_of_care__system": RESH},
        INVALID,
        "ATT-18: practitioner.point_of_care.system: ",
    ),
    "department without system": (
        {f"{WHO}__department": {"id": "4299901"}},
        INVALID,
        "ATT-28: practitioner.department.system: ",
    ),
    "system of HPR number": (
        {f"{WHO}__hpr_nr": {"id": "222209991", "system": CODES}},
        INVALID,
        "ATT-29: practitioner.hpr_nr.system: ",
    ),
    "system of service": (
        {f"{CARE}__healthcare_service__system": CODES},
        INVALID,
        "ATT-37: care_relationship.healthcare_service.system: ",
    ),
    "purpose PATADMIN": (
        {f"{CARE}__purpose_of_use__code": "PATADMIN"},
        INVALID,
        "ATT-38: care_relationship.purpose_of_use.code: PATADMIN ",
    ),
    "purpose treat": (
        {f"{CARE}__purpose_of_use__code": "treat"},
        INVALID,
        "ATT-38: care_relationship.purpose_of_use.code: treat ",
    ),
    "neither service nor details": (
        {f"{CARE}__healthcare_service": ..., f"{CARE}__purpose_of_use_details": ...},
        INVALID,
        "ATT-43: care_relationship: ",
    ),
    "details NOPE": (
        {f"{CARE}__purpose_of_use_details__code": "NOPE"},
        INVALID,
        "ATT-45: care_relationship.purpose_of_use_details.code: ",
    ),
    "no decision": ({f"{CARE}__decision_ref": ...}, INVALID, "ATT-47: care_relationship.decision_ref: "),
    "empty decision": (
        {f"{CARE}__decision_ref__id": ""},
        INVALID,
        "ATT-47: care_relationship.decision_ref.id: ",
    ),
    "decision with a blank": (
        {f"{CARE}__decision_ref__id": "a b"},
        INVALID,
        "ATT-47: care_relationship.decision_ref.id: ",
    ),
    "user_selected in quotes": (
        {f"{CARE}__decision_ref__user_selected": "false"},
        INVALID,
        "ATT-48: care_relationship.decision_ref.user_selected: ",
    ),
    "user_selected 0": (
        {f"{CARE}__decision_ref__user_selected": 0},
        INVALID,
        "ATT-48: care_relationship.decision_ref.user_selected: ",
    ),
    "patient's check digits": (
        {"patients__0__identifier__id": "05825031017"},
        INVALID,
        "ATT-4: patients[0].identifier.id: ",
    ),
    "the same patient twice": (
        {"patients": [ATTESTATION["patients"][0], ATTESTATION["patients"][0]]},
        INVALID,
        "ATT-4: patients[1].identifier.id: ",
    ),
    "patient elsewhere": (
        {"patients__0__point_of_care": {"id": "314200772", "system": ORGNR}},
        INVALID,
        "ATT-51: patients[0].point_of_care: ",
    ),
    "an hour and a second": ({"toa": NOW - 3601}, INVALID, "ATT-58: attestation_has_expired: "),
    "an hour": ({"toa": NOW - 3600}, INVALID, "ATT-58: attestation_has_expired: "),
    "milliseconds": ({"toa": NOW * 1000}, INVALID, "ATT-58: toa: in milliseconds"),
    "misspelt member": (
        {f"{WHO}__auhtorization": {"code": "LE", "system": CODES}},
        INVALID,
        "ATT-SHAPE: practitioner: unknown member auhtorization (authorization?)",
    ),
    "another type": (
        {"type": "nhn:trust_framework:parameters"},
        INVALID,
        "ATT-TYPE: assertion_details.type: unknown type",
    ),
}


@pytest.fixture(scope="module")
def backstage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backstage]:
    """A service at the very instant of the examples."""
    with Service(tmp_path_factory.mktemp("changes"), frozen=float(NOW)) as running:
        opened = Backstage(running)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def ehr(backstage: Backstage) -> SwiftEhr:
    """The client of the specialist's hospital."""
    return backstage.client()


@pytest.mark.parametrize("change", ANSWERS)
def test_one_change_gets_its_answer(change: str, ehr: SwiftEhr):
    """The error code and the beginning of its description are exactly those of the catalogue."""
    members, code, description = ANSWERS[change]
    answer = ehr.token(attestation(**members))
    assert (answer.status, answer.error) == (400, code)
    assert answer.description.startswith(description)


@pytest.mark.parametrize("number", ["313000222", "314000110"])
def test_an_enterprise_outside_helsenettet_is_refused(number: str, backstage: Backstage):
    """No member, or no longer one: the facts forbid it (ATT-12)."""
    unit = {"id": number, "system": ORGNR}
    details = attestation(practitioner__legal_entity=unit, practitioner__point_of_care=unit, patients=[{}])
    answer = backstage.client(legal_entities=[number]).token(details)
    assert (answer.status, answer.error) == (400, DENIED)
    assert answer.description.startswith("ATT-12: practitioner.legal_entity: ")


@pytest.mark.parametrize("missing", ["healthcare_service", "purpose_of_use_details"])
def test_one_of_the_two_explanations_is_enough(missing: str, ehr: SwiftEhr):
    """With the service or the details alone the attestation is accepted."""
    claim = attested(ehr.token(attestation(**{f"{CARE}__{missing}": ...})))
    assert missing not in claim["care_relationship"]


def test_a_code_of_a_partial_list_is_accepted_without_a_text_and_counted(backstage: Backstage):
    """A code that our part of a list does not hold passes; its text is absent, and the audit remarks on it."""
    ehr = backstage.client()
    claim = attested(ehr.token(attestation(care_relationship__healthcare_service__code="215")))
    service = claim["care_relationship"]["healthcare_service"]
    assert (service["code"], "text" in service) == ("215", False)
    (entry,) = backstage.entries("issuer.token.issued", client_id=ehr.client_id)
    (remark,) = entry.public["remarks"]
    assert remark.startswith("ATT-37: care_relationship.healthcare_service.code: 215 ")


@pytest.mark.parametrize("left", [1, 600, 601])
def test_just_before_the_hour_is_over_there_is_a_token_as_short_as_that(left: int, ehr: SwiftEhr):
    """A token lives no longer than its attestation, be that a single second."""
    answer = ehr.token({**attestation(), "toa": NOW - 3600 + left})
    assert answer.json["expires_in"] == min(left, 600)


def test_details_outside_the_signature_are_refused(ehr: SwiftEhr):
    """As a parameter of the form they are an invalid request (ATT-2)."""
    form = ehr.form(authorization_details=json.dumps([ATTESTATION]))
    answer = ehr.send(form, ehr.proof())
    assert (answer.status, answer.error) == (400, "invalid_request")
    assert answer.description.startswith("ATT-2: authorization_details: ")


def test_of_several_faults_the_first_by_number_is_told(ehr: SwiftEhr):
    """Shape comes before value, and value by the number of its rule."""
    three = attestation(
        patients__0__identifier__id="05825031017",
        practitioner__legal_entity__id="310000018",
        care_relationship__purpose_of_use_details__system=RESH,
    )
    assert ehr.token(three).description.startswith("ATT-4: ")
    del three["patients"][0]["identifier"]
    assert ehr.token(three).description.startswith("ATT-15: ")
    assert ehr.token({**three, "extra": 1}).description.startswith("ATT-SHAPE: ")
    assert CARE_RELATION not in str(three)
