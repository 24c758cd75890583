"""The acceptance list for clients with a login, wire for wire as the clients of the field send it.

The numbers are the lines of chapter 11.7 of the national service's profile. Lines 1 to 5 and 13 need no login:
``test_real_client_shapes`` and ``test_real_client_organisations`` hold them. Line 14 is also in
``test_acceptance_foreign_programs``. Lines 12 and 15 are not built yet.
"""

from typing import Any

import pytest

from support.backstage import ATTESTATION_SCOPE, WARD_LIST, WARD_PATIENT, Backstage
from support.ehr import attestation
from support.foreign_clients import CSharpShaped, claims_of, registered
from support.foreign_logins import (
    AFTER_LOGOUT,
    LOGIN,
    ForeignBrowser,
    GoWebShaped,
    JournalShaped,
    LoginClient,
    OidcClientShaped,
    PythonWebShaped,
)
from support.service import PHR
from tillit.protocol.gate import read_jws

CLAIM = "nhn:tillitsrammeverk:parameters"
SCOPE = f"openid profile offline_access {PHR} {ATTESTATION_SCOPE}"
UNNAMED = attestation(practitioner__identifier=...)
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"

pytestmark = pytest.mark.xdist_group("journeys")


@pytest.fixture(scope="module")
def client(backstage: Backstage) -> LoginClient:
    """A web application of the ``helseid`` profile."""
    return registered(LoginClient, backstage, profile="helseid", **LOGIN)


def organisation(value: str) -> dict[str, Any]:
    """The structure with which a supplier names an organisation."""
    identifier = {"system": "urn:oid:1.0.6523", "type": "ENH", "value": value}
    return {
        "type": "helseid_authorization",
        "practitioner_role": {"organization": {"identifier": identifier}},
    }


def patient(token: dict[str, Any]) -> str:
    """Whom the attestation in a token is about."""
    return str(token[CLAIM]["patients"][0]["identifier"]["id"])


@pytest.mark.parametrize("many", [False, True])
def test_6_details_in_a_request_object_beside_the_parameters(many: bool, backstage: Backstage):
    """The object holds who, when and the details; everything else is beside it; digits in text and RS256 are forgiven."""
    client = registered(JournalShaped, backstage, profile="helseid", allow_rs256=True, **LOGIN)
    details: Any = [UNNAMED] if many else UNNAMED
    pushed = client.push(
        [*client.parameters(SCOPE), ("request", client.request_object(authorization_details=details))]
    )
    code = client.came_back(ForeignBrowser().open(client.address(pushed), client.redirect_uri))
    token = claims_of(client.redeem(code))
    assert token[CLAIM]["practitioner"]["identifier"]["id"] == ForeignBrowser().person


def test_6_in_the_strict_profile_the_object_stands_alone(backstage: Backstage):
    """What a strict client says beside its request object is not heard, so it has said too little."""
    strict = registered(LoginClient, backstage, **LOGIN)
    strict.request_typ = "oauth-authz-req+jwt"
    request = strict.request_object(client_id=strict.client_id, authorization_details=[UNNAMED])
    answer = strict.push([*strict.parameters(SCOPE), ("request", request)])
    assert (answer.status, answer.error) == (400, "invalid_request")


def test_7_what_is_attested_at_login_is_in_every_token(client: LoginClient):
    """One attestation in the request object; the first token has it, and the token of a refresh has it too."""
    request = client.request_object(authorization_details=UNNAMED)
    pushed = client.push([*client.parameters(SCOPE), ("request", request)])
    answer = client.redeem(
        client.came_back(ForeignBrowser().open(client.address(pushed), client.redirect_uri))
    )
    assert patient(claims_of(answer)) == "05825031016"
    for _ in range(2):
        assert patient(claims_of(client.refresh(answer.json["refresh_token"]))) == "05825031016"


def test_7_what_is_attested_at_the_token_endpoint_is_in_one_token(client: LoginClient):
    """An attestation in the assertion counts once: a refresh without one opens no API that demands it."""
    answer = client.redeem(client.logged_in(SCOPE), details=UNNAMED)
    assert patient(claims_of(answer)) == "05825031016"
    without = claims_of(client.refresh(answer.json["refresh_token"]))
    assert "nhn:tillitsrammeverk:parameters" not in without
    assert without["aud"] == without["iss"]
    assert PHR not in without["scope"]
    other = attestation(practitioner__identifier=..., patients__0__identifier__id="63714815050")
    assert patient(claims_of(client.refresh(answer.json["refresh_token"], details=other))) == "63714815050"


def test_7_an_attestation_in_both_places_is_refused(client: LoginClient):
    """At login and at the token endpoint is once too often, and says so in the words that clients know."""
    request = client.request_object(authorization_details=UNNAMED)
    pushed = client.push([*client.parameters(SCOPE), ("request", request)])
    code = client.came_back(ForeignBrowser().open(client.address(pushed), client.redirect_uri))
    answer = client.redeem(code, details=UNNAMED)
    assert (answer.status, answer.error) == (400, "access_denied")
    assert answer.description.startswith("HID-DOUBLE-STRUCTURE")
    assert patient(claims_of(client.redeem(code))) == "05825031016"


def test_8_several_apis_at_login_and_one_in_each_token(client: LoginClient):
    """Each token is for the one API that its request names, with the scopes of that API, by code and by refresh."""
    code = client.logged_in(
        f"openid offline_access {PHR} {WARD_LIST} {ATTESTATION_SCOPE}", "nhn:phr", "example:ward"
    )
    first = client.redeem(code, details=UNNAMED, resource="nhn:phr")
    token = claims_of(first)
    assert token["aud"] == "nhn:phr"
    assert PHR in token["scope"]
    assert WARD_LIST not in token["scope"]
    token = claims_of(client.refresh(first.json["refresh_token"], resource="example:ward"))
    assert token["aud"] == "example:ward"
    assert WARD_LIST in token["scope"]
    assert PHR not in token["scope"]
    refused = client.refresh(first.json["refresh_token"], resource="nhn:selvbetjening")
    assert (refused.status, refused.error) == (400, "invalid_target")


@pytest.mark.parametrize("shape", [LoginClient, OidcClientShaped])
def test_8_the_challenge_touches_neither_code_nor_assertion(shape: type[LoginClient], backstage: Backstage):
    """A first request with the real code is challenged; the second, with a new assertion or the same, gets the token."""
    client = registered(shape, backstage, profile="helseid", **LOGIN)
    assert client.redeem(client.logged_in(SCOPE), details=UNNAMED).status == 200


@pytest.mark.parametrize("once", [False, True])
def test_9_a_refresh_gives_everything_again(once: bool, backstage: Backstage):
    """ID token, refresh token and its life in seconds come with every refresh; one kind changes hands, the other stays."""
    client = registered(LoginClient, backstage, profile="helseid", rotate_refresh_tokens=once, **LOGIN)
    answer = client.redeem(client.logged_in(SCOPE), details=UNNAMED)
    refreshed = client.refresh(answer.json["refresh_token"], details=UNNAMED)
    for body in (answer.json, refreshed.json):
        assert type(body["rt_expires_in"]) is int
        assert type(body["expires_in"]) is int
        assert type(body["scope"]) is str
        assert body["token_type"] == "DPoP"
        assert read_jws(body["id_token"]).claims["aud"] == client.client_id
    assert (answer.json["refresh_token"] != refreshed.json["refresh_token"]) is once
    # An answer may be lost, so the first may be used until the second has been.
    again = client.refresh(answer.json["refresh_token"], details=UNNAMED)
    assert again.json["refresh_token"] == refreshed.json["refresh_token"]
    assert client.refresh(refreshed.json["refresh_token"], details=UNNAMED).status == 200
    late = client.refresh(answer.json["refresh_token"], details=UNNAMED)
    assert (late.status, late.error) == ((400, "invalid_grant") if once else (200, None))


def test_9_the_id_token_says_what_the_samples_check(client: LoginClient):
    """``sid``, level 4, the nonce, the provider, and a ``sub`` that userinfo repeats."""
    code = client.logged_in(f"{SCOPE} helseid://scopes/identity/security_level", acr_values="Level4")
    answer = client.redeem(code, details=UNNAMED)
    said = read_jws(answer.json["id_token"]).claims
    assert (said["nonce"], said["helseid://claims/identity/security_level"]) == (client.nonce, "4")
    assert min(len(said[name]) for name in ("sid", "name", "idp")) > 0
    assert client.userinfo(answer.json["access_token"]).json["sub"] == said["sub"]


def test_16_userinfo_has_details_of_the_health_personnel_number(client: LoginClient):
    """The number is text as a claim and a number among the details; approvals have the form that clients parse."""
    code = client.logged_in(f"{SCOPE} helseid://scopes/hpr/hpr_number")
    said = client.userinfo(client.redeem(code, details=UNNAMED).json["access_token"]).json
    number = said["helseid://claims/hpr/hpr_number"]
    details = said["helseid://claims/hpr/hpr_details"]
    assert type(number) is str
    assert details["hpr_number"] == int(number)
    assert type(said["userinfo_issued_at"]) is int
    for approval in details["approvals"]:
        assert {"profession", "authorization", "requisition_rights", "specialities"} <= set(approval)
        assert set(approval["authorization"]) == {"value", "description"}


def test_10_an_exchanged_token_names_the_actor_and_has_another_key(client: LoginClient, backstage: Backstage):
    """An API exchanges the bound token it was sent, without its key: same person, ``act``, and the API's own key."""
    subject = client.redeem(client.logged_in(SCOPE), details=UNNAMED).json["access_token"]
    api = registered(
        OidcClientShaped,
        backstage,
        profile="helseid",
        **LOGIN | {"grants": [EXCHANGE], "audiences": ["nhn:phr"]},
    )
    fields = {"grant_type": EXCHANGE, "subject_token": subject, "subject_token_type": ACCESS_TOKEN}
    answer = api.dance({**fields, "scope": WARD_LIST})
    token, before = claims_of(answer), read_jws(subject).claims
    assert answer.json["issued_token_type"] == ACCESS_TOKEN
    assert (token["sub"], token["client_id"], token["aud"]) == (before["sub"], api.client_id, "example:ward")
    assert token["cnf"] == {"jkt": api.key.thumbprint} != before["cnf"]
    assert token["act"]["client_id"] == api.client_id
    other = registered(LoginClient, backstage, profile="helseid", **LOGIN)
    refused = other.dance({**fields, "scope": WARD_LIST})
    assert (refused.status, refused.error) == (400, "unauthorized_client")


def test_11_a_supplier_is_told_which_scopes_lack_terms(backstage: Backstage):
    """For an organisation that has not accepted the terms of one scope, the others are granted and that one is named."""
    customers = ["314000145", "310000019"]
    client = registered(CSharpShaped, backstage, profile="helseid", tenancy="multi", legal_entities=customers)
    asked = f"{WARD_LIST} {WARD_PATIENT}"
    answer = client.token(asked, assertion_details=organisation("NO:ORGNR:314000145:"))
    assert (answer.json["scope"], answer.json["rejected_scope"]) == (WARD_LIST, WARD_PATIENT)
    assert claims_of(answer)["scope"] == [WARD_LIST]
    alone = client.token(WARD_PATIENT, assertion_details=organisation("NO:ORGNR:314000145:"))
    assert (alone.status, alone.error) == (400, "invalid_scope")
    other = client.token(WARD_LIST, assertion_details=organisation("NO:ORGNR:310000019:"))
    assert "rejected_scope" not in other.json


@pytest.mark.parametrize("shape", [PythonWebShaped, GoWebShaped])
def test_14_web_applications_of_2021_log_in(shape: type[PythonWebShaped], backstage: Backstage):
    """Everything in the address, a request object beside it, a Bearer token, an RS256 ID token with nonce and name, logout."""
    members = LOGIN | {"profile": "legacy", "id_token_signed_response_alg": "RS256"}
    client = registered(shape, backstage, **members)
    browser = ForeignBrowser()
    scope = f"openid profile {WARD_LIST}"
    answer = client.redeem(client.came_back(browser.open(client.front_channel(scope), client.redirect_uri)))
    assert answer.json["token_type"] == "Bearer"
    token = claims_of(answer)
    assert (token["aud"], token["scope"]) == ("example:ward", ["openid", "profile", WARD_LIST])
    assert "cnf" not in token
    id_token = read_jws(answer.json["id_token"])
    assert id_token.header["alg"] == "RS256"
    assert (id_token.claims["nonce"], bool(id_token.claims["name"])) == (client.nonce, True)
    assert client.userinfo(answer.json["access_token"], "Bearer").json["sub"] == id_token.claims["sub"]
    url = client.metadata["end_session_endpoint"]
    query = f"id_token_hint={answer.json['id_token']}&post_logout_redirect_uri={AFTER_LOGOUT}"
    ended = browser.page(f"{url}?{query}")
    assert (ended.status_code, ended.headers["Location"]) == (303, AFTER_LOGOUT)


def test_14_without_pushing_nobody_else_logs_in(backstage: Backstage):
    """In the two other profiles a request in the address is refused on a page, and the browser stays here."""
    for profile in ("fapi2", "helseid"):
        client = registered(PythonWebShaped, backstage, profile=profile, **LOGIN)
        page = ForeignBrowser().page(client.front_channel(f"openid {WARD_LIST}"))
        assert page.status_code == 400
        assert "invalid_request" in page.text
