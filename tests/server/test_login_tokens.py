"""What a client gets for a login: the members of the answer, the ID token, and what an API gets to know."""

from dataclasses import replace
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from support.backstage import Backstage, SwiftEhr
from support.ehr import attestation
from support.granted import HPR_SCOPE, LEVEL_SCOPE, PID_SCOPE
from support.login import practitioner
from support.redeeming import (
    IDENTITY,
    WARD,
    Laid,
    claims_of,
    client,
    code_form,
    good,
    lay,
    redeem,
    refresh,
    refresh_form,
    refused,
)
from support.service import PHR, http_json
from tillit.protocol.id_token import check_id_token
from tillit.protocol.jose import load_public_jwks
from tillit_server.issuer.explain import ExplainLimit
from tillit_server.web.routes import Doors, make_app

PID = "helseid://claims/identity/pid"
HPR_NUMBER = "helseid://claims/hpr/hpr_number"
LEVEL = "helseid://claims/identity/security_level"
PARENT, CHILD = (f"helseid://claims/client/claims/orgnr_{which}" for which in ("parent", "child"))


@pytest.fixture(scope="module")
def ehr(backstage: Backstage) -> SwiftEhr:
    """A client whose users log in."""
    return client(backstage)


def tokens(backstage: Backstage, ehr: SwiftEhr, **login: Any) -> tuple[Laid, dict[str, Any]]:
    """A login and its tokens."""
    laid = lay(backstage, ehr, **login)
    return laid, good(redeem(ehr, laid))


@pytest.mark.parametrize(
    ("scopes", "members"),
    [
        ((WARD,), set()),
        (("openid", WARD), {"id_token"}),
        (("offline_access", WARD), {"refresh_token", "rt_expires_in"}),
        (("openid", "offline_access", WARD), {"id_token", "refresh_token", "rt_expires_in"}),
    ],
)
def test_what_was_asked_for_is_answered(
    scopes: tuple[str, ...], members: set[str], backstage: Backstage, ehr: SwiftEhr
):
    """An ID token exactly with ``openid``, a refresh token exactly with ``offline_access``."""
    _, body = tokens(backstage, ehr, scopes=scopes)
    assert set(body) == {"access_token", "expires_in", "token_type", "scope"} | members
    assert body["token_type"] == "DPoP"
    assert body["scope"] == " ".join(scopes)
    if "refresh_token" in members:
        again = good(refresh(ehr, body["refresh_token"]))
        assert set(again) == set(body)


def test_without_the_grant_there_is_no_refresh_token(backstage: Backstage):
    """A client that may not refresh gets nothing to refresh with."""
    _, body = tokens(backstage, client(backstage, grants=["authorization_code"]))
    assert "refresh_token" not in body


@pytest.mark.parametrize("alg", ["ES256", "RS256"])
def test_an_id_token_is_sound_for_its_client(alg: str, backstage: Backstage):
    """By the library's own check: issuer, audience, times, nonce, ``at_hash``, and the client's algorithm."""
    ehr = client(backstage, id_token_signed_response_alg=alg)
    laid, body = tokens(backstage, ehr)
    _, _, jwks = http_json("GET", ehr.service.issuer + "/.well-known/openid-configuration/jwks")
    token = check_id_token(
        body["id_token"],
        keys=load_public_jwks(jwks, algorithms=("ES256", "RS256")),
        issuer=ehr.service.issuer,
        client_id=ehr.client_id,
        now=ehr.service.now(),
        nonce=laid.authorized.nonce,
        access_token=body["access_token"],
        algorithms=(alg,),
    )
    assert token.subject == claims_of(body["access_token"])["sub"]
    assert token.subject.endswith("=")
    assert (token.sid, token.auth_time) == (laid.authorized.sid, laid.authorized.user.auth_time)
    assert token.claims["acr"] == "Level4"
    assert token.claims["amr"] == ["pwd"]


@pytest.mark.parametrize(
    ("scope", "claims"),
    [
        ("profile", {"name", "given_name", "family_name"}),
        (PID_SCOPE, {PID}),
        (LEVEL_SCOPE, {LEVEL}),
        (HPR_SCOPE, {HPR_NUMBER}),
    ],
)
def test_an_id_token_says_what_its_scopes_stand_for(
    scope: str, claims: set[str], backstage: Backstage, ehr: SwiftEhr
):
    """One scope, its claims and no others."""
    _, plain = tokens(backstage, ehr, scopes=("openid", WARD))
    _, more = tokens(backstage, ehr, scopes=("openid", scope, WARD))
    assert set(claims_of(more["id_token"])) - set(claims_of(plain["id_token"])) == claims


def test_an_api_gets_what_it_has_registered_for(backstage: Backstage, ehr: SwiftEhr):
    """The ward has asked for numbers of organisations alone: whatever the client's scopes, nothing of the person."""
    _, body = tokens(backstage, ehr, scopes=(*IDENTITY, WARD))
    claims = claims_of(body["access_token"])
    user = practitioner(backstage.service.now())
    assert not {user.pid, user.name, user.family_name, "222209991", "4"} & {str(v) for v in claims.values()}
    assert not {"idp", "amr", "sid", "auth_time", PID, HPR_NUMBER, LEVEL} & set(claims)
    laid = lay(backstage, ehr, scopes=("openid", PHR))
    attested = good(redeem(ehr, laid, details=attestation(practitioner__identifier=...)))
    claims = claims_of(attested["access_token"])
    assert (claims[PID], claims[HPR_NUMBER], claims[LEVEL]) == (laid.authorized.user.pid, "222209991", "4")


def test_a_person_has_another_name_at_each_client(backstage: Backstage, ehr: SwiftEhr):
    """``sub`` is pairwise: the same at every login of one client and within a sector, another at others."""
    other = client(backstage)
    sector = [client(backstage, sector_identifier="nordfjell") for _ in range(2)]
    subjects = [
        claims_of(tokens(backstage, each)[1]["id_token"])["sub"] for each in (ehr, ehr, other, *sector)
    ]
    assert subjects[0] == subjects[1]
    assert subjects[3] == subjects[4]
    assert len(set(subjects)) == 3


def test_a_login_without_an_api_is_one_for_the_issuer(backstage: Backstage, ehr: SwiftEhr):
    """With ``openid`` alone the access token is for userinfo; without that there is nothing to give."""
    _, body = tokens(backstage, ehr, scopes=("openid", "profile"))
    claims = claims_of(body["access_token"])
    assert (claims["aud"], claims["scope"]) == (ehr.service.issuer, ["openid", "profile"])
    refused(redeem(ehr, lay(backstage, ehr, scopes=("profile",))), "invalid_scope")


def test_several_apis_and_one_in_each_token(backstage: Backstage, ehr: SwiftEhr):
    """Without ``resource`` a request for several is refused and costs nothing; with it each gets its own."""
    details = attestation(practitioner__identifier=...)
    laid = lay(backstage, ehr, scopes=(*IDENTITY, PHR, WARD), resources=["nhn:phr", "example:ward"])
    refused(redeem(ehr, laid, details=details), "invalid_target")
    body = good(redeem(ehr, laid, resource="example:ward"))
    claims = claims_of(body["access_token"])
    assert (claims["aud"], claims["scope"]) == ("example:ward", [*IDENTITY, WARD])
    other = good(refresh(ehr, body["refresh_token"], resource="nhn:phr", details=details))
    assert claims_of(other["access_token"])["aud"] == "nhn:phr"
    refused(refresh(ehr, body["refresh_token"], details=details), "invalid_target")


def test_details_of_the_login_are_echoed(backstage: Backstage, ehr: SwiftEhr):
    """RFC 9396 7: ``authorization_details`` in the answer, an array, as they were sent."""
    details = [attestation()]
    laid = lay(backstage, ehr, scopes=(*IDENTITY, PHR), details=details)
    body = good(redeem(ehr, laid))
    assert body["authorization_details"] == details
    assert good(refresh(ehr, body["refresh_token"]))["authorization_details"] == details


def organisation(value: str, system: str) -> dict[str, Any]:
    """Organisation numbers as clients send them."""
    identifier = {"system": system, "type": "ENH", "value": value}
    return {
        "type": "helseid_authorization",
        "practitioner_role": {"organization": {"identifier": identifier}},
    }


def test_organisation_numbers_change_from_refresh_to_refresh(backstage: Backstage):
    """A supplier's client names another customer with each refresh, and no new login is needed."""
    system = "urn:oid:1.0.6523"
    supplier = client(
        backstage, tenancy="multi", legal_entities=["310000019", "314200772"], supplier="310000019"
    )
    _, body = tokens(backstage, supplier)
    for value in ("NO:ORGNR:310000019:311540025", "NO:ORGNR:314200772"):
        answer = refresh(supplier, body["refresh_token"], details=organisation(value, system))
        claims = claims_of(good(answer)["access_token"])
        parent, _, child = value.removeprefix("NO:ORGNR:").partition(":")
        assert (claims[PARENT], claims.get(CHILD, "")) == (parent, child)
    stranger = organisation("NO:ORGNR:215600343", system)
    assert refused(refresh(supplier, body["refresh_token"], details=stranger), "access_denied").startswith(
        "HID-1001"
    )


def test_numbers_given_with_the_login_hold_until_others_are_sent(backstage: Backstage):
    """What the request object named is used for every token; a token request may name another child."""
    single = client(backstage, children=["311540025", "310000027"])
    system = "urn:oid:2.16.578.1.12.4.1.4.101"
    laid = lay(backstage, single, details=[organisation("311540025", system)])
    body = good(redeem(single, laid))
    assert claims_of(body["access_token"])[CHILD] == "311540025"
    token = body["refresh_token"]
    changed = good(refresh(single, token, details=organisation("310000027", system)))
    assert claims_of(changed["access_token"])[CHILD] == "310000027"
    assert claims_of(good(refresh(single, token))["access_token"])[CHILD] == "311540025"


def test_a_client_of_old_has_bearer_tokens(backstage: Backstage):
    """A profile that goes without DPoP gets unbound tokens at a login too, by refresh as well."""
    old = client(backstage, profile="legacy")
    laid = lay(backstage, old)
    body = good(old.send(code_form(old, laid), None))
    assert (body["token_type"], "cnf" in claims_of(body["access_token"])) == ("Bearer", False)
    again = good(old.send(refresh_form(old, body["refresh_token"]), None))
    assert again["token_type"] == "Bearer"


@pytest.fixture(scope="module")
def production(backstage: Backstage) -> Client:
    """The front door of the same installation, as it would be outside development mode."""
    services = replace(backstage.services, dev=False)
    return Client(make_app(services, Doors("", {}, 60, ExplainLimit(100, lambda: 0.0))))


def explained(production: Client, ehr: SwiftEhr, form: dict[str, str]) -> TestResponse:
    """The same request, sent to be explained."""
    return production.post("/explain", data=form, headers={"DPoP": ehr.proof()})


def test_explain_outside_development_opens_no_code_and_no_refresh_token(
    production: Client, backstage: Backstage, ehr: SwiftEhr
):
    """Good, used and invented ones are explained alike: what rests on them was not looked at."""
    laid, body = tokens(backstage, ehr)
    fresh = lay(backstage, ehr)
    forms = [
        code_form(ehr, fresh),
        code_form(ehr, laid),
        code_form(ehr, fresh, code="A" * 43),
        code_form(client(backstage), fresh, **ehr.credentials(ehr.assertion())),
    ]
    answers = [explained(production, ehr, form).json for form in forms]
    assert all(answer == answers[0] for answer in answers)
    steps = {step["step"]: step for step in answers[0]["steps"]}
    assert steps["basis_of_grant"] == {"step": "basis_of_grant", "verdict": "not_reached", "needs": "code"}
    assert answers[0]["verdict"] == "undecided"
    assert "would_grant" not in answers[0]
    refreshes = [refresh_form(ehr, body["refresh_token"]), refresh_form(ehr, "invented.0.token")]
    first, second = (explained(production, ehr, form).json for form in refreshes)
    assert first == second
    good(redeem(ehr, fresh))
    good(refresh(ehr, body["refresh_token"]))


def test_explain_in_development_says_what_a_code_would_give(backstage: Backstage, ehr: SwiftEhr):
    """There it looks, redeems nothing and ends nothing, even when the code was used before."""
    laid = lay(backstage, ehr)
    url = ehr.service.issuer + "/explain"
    answer = ehr.send(code_form(ehr, laid), ehr.proof(), url=url)
    assert answer.json["would_grant"]["audience"] == "example:ward"
    body = good(redeem(ehr, laid))
    again = ehr.send(code_form(ehr, laid), ehr.proof(), url=url)
    assert (again.json["refused_by"], again.json["error"]) == ("basis_of_grant", "invalid_grant")
    good(refresh(ehr, body["refresh_token"]))
