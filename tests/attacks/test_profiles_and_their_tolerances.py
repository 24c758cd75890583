"""What a profile tolerates is tolerated by name, and every use of it stands in the audit."""

from typing import Any

import pytest

from support.backstage import Backstage, SwiftEhr
from support.ehr import ATTESTATION, Answer
from support.intakes import ASSERTION, PROOF, present, proper_refusal
from support.service import PHR
from support.tokens import key_for
from support.tokens_seen import attested, claims_of
from tillit.protocol.jose import SigningKey

LENIENT = ("helseid", "legacy")


def organisation(system: str, value: str) -> dict[str, Any]:
    identifier = {"system": system, "type": "ENH", "value": value}
    return {
        "type": "helseid_authorization",
        "practitioner_role": {"organization": {"identifier": identifier}},
    }


def tolerances(backstage: Backstage, ehr: SwiftEhr) -> list[list[str]]:
    used = backstage.entries("issuer.tolerance.used", client_id=ehr.client_id)
    return [list(entry.public["tolerances"]) for entry in used]


def old_name(ehr: SwiftEhr, **details: Any) -> Answer:
    """A request with details under the old name, and perhaps under the new one too."""
    return ehr.send(ehr.form(ehr.assertion(**details)), ehr.proof())


@pytest.mark.parametrize("profile", LENIENT)
def test_details_under_their_old_name_are_tolerated(profile: str, backstage: Backstage):
    """`authorization_details` in the assertion attests like `assertion_details`, and the audit tells."""
    ehr = backstage.client(profile=profile)
    claim = attested(old_name(ehr, authorization_details=ATTESTATION))
    assert claim["practitioner"]["legal_entity"]["id"] == "310000019"
    assert tolerances(backstage, ehr) == [["legacy_authorization_details"]]


def test_details_under_their_old_name_are_refused_in_the_strict_profile(attacker: SwiftEhr):
    """The strict profile knows one name, and does not just ignore the other."""
    answer = old_name(attacker, authorization_details=ATTESTATION)
    assert (answer.status, answer.error) == (400, "invalid_request")
    assert answer.description.startswith("HID-1007: authorization_details: ")


@pytest.mark.parametrize("profile", LENIENT)
def test_an_attestation_under_both_names_is_refused(profile: str, backstage: Backstage):
    """Two attestations in one assertion leave nothing to choose; one of each kind may stand apart."""
    ehr = backstage.client(profile=profile, children=["311540025"])
    answer = old_name(ehr, details=ATTESTATION, authorization_details=ATTESTATION)
    assert (answer.status, answer.error) == (400, "access_denied")
    assert answer.description.startswith("HID-DOUBLE-STRUCTURE")
    beside = organisation("urn:oid:2.16.578.1.12.4.1.4.101", "311540025")
    assert old_name(ehr, details=ATTESTATION, authorization_details=beside).status == 200


@pytest.mark.parametrize("profile", ["fapi2", *LENIENT])
def test_the_old_system_of_organisation_numbers_is_tolerated_by_name(profile: str, backstage: Backstage):
    """A published sample writes another system; the lenient profiles take it and write that down."""
    ehr = backstage.client(profile=profile, children=["311540025"])
    answer = ehr.token([organisation("urn:oid:2.16.578.1.12.4.1.2.101", "311540025"), ATTESTATION])
    if profile == "fapi2":
        assert answer.description.startswith("HID-1007: ")
        assert tolerances(backstage, ehr) == []
    else:
        assert answer.status == 200
        assert tolerances(backstage, ehr) == [["lenient_organisation_system"]]


@pytest.mark.parametrize("profile", ["fapi2", "helseid"])
def test_without_a_proof_there_is_no_token(profile: str, backstage: Backstage):
    """Both current profiles bind every token to a key."""
    ehr = backstage.client(profile=profile)
    assert proper_refusal(PROOF, ehr.send(ehr.form(), None)) is None


def test_the_oldest_clients_may_take_a_bearer_token_and_it_is_written_down(backstage: Backstage):
    """Without a proof a legacy client gets an unbound token, called Bearer; with one it gets a bound token."""
    ehr = backstage.client(profile="legacy")
    unbound = ehr.send(ehr.form(), None)
    assert unbound.json["token_type"] == "Bearer"
    assert "cnf" not in claims_of(unbound)
    assert tolerances(backstage, ehr) == [["bearer_token"]]
    bound = ehr.token()
    assert bound.json["token_type"] == "DPoP"
    assert claims_of(bound)["cnf"] == {"jkt": ehr.dpop_key.public.thumbprint}
    assert proper_refusal(PROOF, ehr.send(ehr.form(), "x")) is None


@pytest.mark.parametrize(("profile", "status"), [("fapi2", 401), ("helseid", 401), ("legacy", 200)])
def test_rs256_belongs_to_the_oldest_profile(profile: str, status: int, backstage: Backstage):
    """A key without an algorithm signs PS256 in every profile, and RS256 in the oldest alone."""
    key = key_for("PS256")
    bare = [{name: value for name, value in key.public.jwk.items() if name != "alg"}]
    ehr = backstage.client(key, keys=bare, profile=profile)
    old = SigningKey(key.kid, "RS256", key.public, key.material)
    assert present(ehr, ASSERTION, ehr.assertion()).status == 200
    assert present(ehr, ASSERTION, ehr.assertion(key=old)).status == status


def test_a_strict_client_uses_no_tolerance(backstage: Backstage):
    """What the strict profile accepts leaves no entry about tolerances."""
    ehr = backstage.client()
    assert ehr.token().status == 200
    assert ehr.token(scope=PHR).status == 200
    assert tolerances(backstage, ehr) == []


@pytest.mark.parametrize("profile", LENIENT)
def test_several_tolerances_of_one_request_stand_in_one_entry(profile: str, backstage: Backstage):
    """What one request needed is told together."""
    ehr = backstage.client(profile=profile)
    now = int(ehr.service.now())
    assertion = ehr.assertion(aud=[f"{ehr.service.issuer}/"], iat=str(now), authorization_details=ATTESTATION)
    assert ehr.send(ehr.form(assertion), ehr.proof()).status == 200
    (used,) = tolerances(backstage, ehr)
    assert set(used) == {
        "one_element_audience",
        "trailing_slash_audience",
        "string_iat",
        "legacy_authorization_details",
    }
