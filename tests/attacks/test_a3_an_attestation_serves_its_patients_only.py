"""A3: an attestation is for its patients; without one it opens nothing about a single patient."""

import pytest

from support.backstage import WARD_LIST, WARD_PATIENT, Backstage, SwiftEhr
from support.ehr import DNR, FNR, attestation
from support.tokens_seen import attested, claims_of
from tillit.protocol.dpop import make_proof
from tillit.verifier import Access, Refused, Verifier

PATIENT, OTHER = "05825031016", "63714815050"
URL = "https://source.example/documents"


def opened(ehr: SwiftEhr, details: object, patient: str | None) -> Access:
    """What a source makes of a request about a patient, with a token for what is attested."""
    verifier = Verifier(
        ehr.service.issuer, "nhn:phr", accept_established_by={"legal_entity"}, clock=ehr.service.now
    )
    token = str(ehr.token(details).json["access_token"])
    proof = make_proof(ehr.dpop_key, "GET", URL, now=ehr.service.now(), access_token=token)
    return verifier.verify("GET", URL, [("Authorization", f"DPoP {token}"), ("DPoP", proof)], patient)


def test_a3_a_token_for_one_patient_opens_nothing_of_another(attacker: SwiftEhr):
    """A source refuses the token for anybody but the patient it names, and tells nothing."""
    access = opened(attacker, attestation(), PATIENT)
    assert access.patients == frozenset({PATIENT})
    with pytest.raises(Refused) as refused:
        opened(attacker, attestation(), OTHER)
    assert refused.value.status == 403
    assert OTHER not in str(refused.value.body) + str(refused.value.headers)


@pytest.mark.parametrize("patients", [[], [{}]])
def test_a3_a_token_without_a_patient_opens_nothing_about_one(patients: list, attacker: SwiftEhr):
    """No patient, or one without a number: accepted here, marked in the token, refused for a named patient."""
    details = attestation(patients=patients)
    assert attested(attacker.token(details))["patients"] == patients
    assert opened(attacker, details, None).patients == frozenset()
    with pytest.raises(Refused) as refused:
        opened(attacker, details, PATIENT)
    assert refused.value.status == 403


def test_a3_a_scope_about_one_patient_needs_one(attacker: SwiftEhr):
    """The list of a ward needs no patient; details about a patient do, alone or among other scopes."""
    details = attestation(patients=[])
    assert attacker.token(details, scope=WARD_LIST).status == 200
    for scope in (WARD_PATIENT, f"{WARD_LIST} {WARD_PATIENT}"):
        answer = attacker.token(details, scope=scope)
        assert (answer.status, answer.error) == (400, "invalid_authorization_details")
        assert answer.description == "ATT-6: patients: empty, a requested scope needs a patient"
    assert claims_of(attacker.token(attestation(), scope=WARD_PATIENT))["scope"] == [WARD_PATIENT]


def test_a3_nobody_is_named_twice_and_several_are_all_named(attacker: SwiftEhr):
    """The same patient twice is refused, and of several patients each must be named."""
    one = {"identifier": {"id": PATIENT, "system": FNR}}
    two = {"identifier": {"id": OTHER, "system": DNR}}
    for patients, text in (
        ([one, one], "ATT-4: patients[1].identifier.id: the same patient twice"),
        ([one, {}], "ATT-4: patients[1].identifier: needed when there is more than one patient"),
    ):
        answer = attacker.token(attestation(patients=patients))
        assert (answer.status, answer.description) == (400, text)
    assert opened(attacker, attestation(patients=[one, two]), OTHER).patients == {PATIENT, OTHER}


@pytest.mark.parametrize(
    ("policy", "patients", "text"),
    [
        ("forbidden", ..., "ATT-4: patients[0].identifier: not accepted here"),
        ("required", [{}], "ATT-4: patients[0].identifier: missing"),
    ],
)
def test_a3_a_client_may_be_held_to_name_patients_or_not_to(
    policy: str, patients: object, text: str, backstage: Backstage
):
    """The position on patients' numbers is a setting of the client: forbidden, optional or required."""
    ehr = backstage.client(patient_identifier=policy)
    refused, accepted = attestation(), attestation(patients=[{}])
    if patients is not ...:
        refused, accepted = accepted, refused
    assert ehr.token(refused).description == text
    assert ehr.token(accepted).status == 200
