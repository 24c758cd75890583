"""A token is for one API, with the scopes that were asked for and granted, and the claims that API asked for."""

import pytest

from support.backstage import (
    ATTESTATION_SCOPE,
    EVERY_SCOPE,
    SELF_SERVICE,
    WARD_LIST,
    WARD_PATIENT,
    Backstage,
    SwiftEhr,
)
from support.ehr import ATTESTATION
from support.service import PHR, PHR_DOCUMENT
from support.tokens_seen import CLAIM, claims_of

JOURNAL = "nhn:sfm:journal-id"


def test_without_a_scope_all_api_scopes_of_the_client_are_granted(backstage: Backstage):
    """An omitted or empty scope stands for every API scope that is registered, and for no structure scope."""
    ehr = backstage.client(scopes=[PHR, PHR_DOCUMENT, ATTESTATION_SCOPE])
    for scope in (..., ""):
        answer = ehr.token(scope=scope)
        assert answer.json["scope"].split() == [PHR, PHR_DOCUMENT]
        assert claims_of(answer)["scope"] == [PHR, PHR_DOCUMENT]


@pytest.mark.parametrize("scope", [..., f"{PHR} {SELF_SERVICE}", f"{WARD_LIST} {PHR}"])
def test_two_audiences_in_one_token_are_an_invalid_target(scope: object, attacker: SwiftEhr):
    """Scopes of several APIs are refused until one of them is named."""
    answer = attacker.token(scope=scope)
    assert (answer.status, answer.error) == (400, "invalid_target")


def test_a_resource_picks_one_of_several_apis(attacker: SwiftEhr):
    """`resource` (RFC 8707) names the audience; scopes of other APIs are left out of the token."""
    everything = " ".join(EVERY_SCOPE)
    for audience, scopes in {
        "nhn:phr": [PHR, PHR_DOCUMENT, ATTESTATION_SCOPE],
        "nhn:selvbetjening": [ATTESTATION_SCOPE, SELF_SERVICE],
        "example:ward": [ATTESTATION_SCOPE, WARD_LIST, WARD_PATIENT],
    }.items():
        token = claims_of(attacker.token(scope=everything, resource=audience))
        assert token["aud"] == audience
        assert sorted(token["scope"]) == sorted(scopes)
    assert claims_of(attacker.token(resource="nhn:phr"))["aud"] == "nhn:phr"
    assert claims_of(attacker.token(scope=..., resource="nhn:phr"))["scope"] == [PHR, PHR_DOCUMENT]


@pytest.mark.parametrize(
    "resource", ["nhn:selvbetjening", "unknown", "https://source.example", "NHN:PHR", "nhn:phr "]
)
def test_a_resource_that_no_granted_scope_belongs_to_is_an_invalid_target(resource: str, attacker: SwiftEhr):
    """Another or an unknown audience is refused, though the scope is fine."""
    answer = attacker.token(resource=resource)
    assert (answer.status, answer.error) == (400, "invalid_target")


def test_several_resources_are_an_invalid_target_and_the_same_twice_is_one(attacker: SwiftEhr):
    """RFC 8707 lets `resource` repeat; one token is for one of them."""
    form = attacker.form(scope=f"{PHR} {SELF_SERVICE}")
    two = [*form.items(), ("resource", "nhn:phr"), ("resource", "nhn:selvbetjening")]
    assert attacker.send(two, attacker.proof()).error == "invalid_target"
    same = [*form.items(), ("resource", "nhn:phr"), ("resource", "nhn:phr")]
    assert claims_of(attacker.send(same, attacker.proof()))["aud"] == "nhn:phr"


IDENTITY = (
    "openid",
    "profile",
    "offline_access",
    "helseid://scopes/identity/pid",
    "helseid://scopes/hpr/hpr_number",
)


@pytest.mark.parametrize("scope", IDENTITY)
def test_scopes_about_a_user_need_a_user(scope: str, backstage: Backstage):
    """Nobody has logged in: identity scopes are refused, be they registered or not, alone or among others."""
    for ehr in (backstage.client(scopes=[*EVERY_SCOPE, scope]), backstage.client()):
        for asked in (scope, f"{PHR} {scope}"):
            answer = ehr.token(scope=asked)
            assert (answer.status, answer.error) == (400, "invalid_scope")


@pytest.mark.parametrize(
    "scope",
    [
        "unknown",
        PHR.upper(),
        f"{PHR}/",
        f"{PHR}  {PHR}",
        f" {PHR}",
        f"{PHR} ",
        f"{PHR},{PHR}",
        '"',
        "\u00e5",
        "x" * 5_000,
    ],
)
def test_what_is_not_granted_or_no_scope_is_refused(scope: str, attacker: SwiftEhr):
    """Unknown scopes and text that is no list of scopes are refused, and not quoted."""
    answer = attacker.token(scope=scope)
    assert (answer.status, answer.error) == (400, "invalid_scope")


def test_a_scope_of_another_client_is_refused(backstage: Backstage):
    """What exists but is not granted to this client is refused like what does not exist."""
    ehr = backstage.client(scopes=[PHR, ATTESTATION_SCOPE])
    answers = [ehr.token(scope=scope) for scope in (SELF_SERVICE, "unknown", JOURNAL)]
    assert {answer.error for answer in answers} == {"invalid_scope"}
    assert len({answer.description for answer in answers}) == 1


def test_an_api_that_demands_an_attestation_gets_one_or_there_is_no_token(attacker: SwiftEhr):
    """Without an attestation: access denied, ATT-REQUIRED; where it is not asked for, a token without it."""
    answer = attacker.token(None)
    assert (answer.status, answer.error) == (400, "access_denied")
    assert answer.description == "ATT-REQUIRED: attestation: required for nhn:phr"
    assert CLAIM not in claims_of(attacker.token(None, scope=WARD_LIST))
    assert CLAIM in claims_of(attacker.token(scope=WARD_LIST))


def test_to_attest_is_a_permission_that_need_not_be_asked_for(backstage: Backstage):
    """The structure scope must be granted to the client; asked for, it stands in the token, else it does not."""
    ehr = backstage.client(scopes=[PHR])
    answer = ehr.token(ATTESTATION)
    assert (answer.status, answer.error) == (400, "invalid_scope")
    granted = backstage.client(scopes=[PHR, ATTESTATION_SCOPE])
    assert claims_of(granted.token())["scope"] == [PHR]
    assert claims_of(granted.token(scope=f"{PHR} {ATTESTATION_SCOPE}"))["scope"] == [PHR, ATTESTATION_SCOPE]
    assert granted.token(scope=ATTESTATION_SCOPE).error == "invalid_scope"


def test_an_api_gets_the_claims_it_asked_for_and_no_others(attacker: SwiftEhr):
    """An API that never asked for attestations gets none, though one was sent and judged."""
    token = claims_of(attacker.token(scope=SELF_SERVICE))
    assert not {CLAIM, "practitioner_established_by", "rule_pack_version"} & set(token)
    assert not any("14857527039" in str(value) for value in token.values())
    assert attacker.token({**ATTESTATION, "extra": 1}, scope=SELF_SERVICE).status == 400


def test_a_grant_that_is_not_the_clients_is_refused(backstage: Backstage):
    """A client registered for other grants only is told that it may not use this one."""
    ehr = backstage.client(grants=["authorization_code"])
    answer = ehr.token()
    assert (answer.status, answer.error) == (400, "unauthorized_client")
