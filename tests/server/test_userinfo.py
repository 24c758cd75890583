"""Userinfo over HTTP: what a client learns of the person who has logged in, and who does not get to ask."""

import json
from dataclasses import replace
from typing import Any

import pytest

from support.backstage import Backstage, SwiftEhr, eventually
from support.ehr import Answer
from support.granted import HPR_SCOPE, LEVEL_SCOPE, PID_SCOPE, Granted, grant, login_client
from support.login import practitioner
from support.service import http
from support.wire import FORM
from tillit.attestation.registers import RegisterUnavailable
from tillit.protocol.challenge import parse_challenge
from tillit.protocol.errors import OAuthError
from tillit_server.issuer.request import Request
from tillit_server.issuer.userinfo import userinfo

HPR_DETAILS = "helseid://claims/hpr/hpr_details"


@pytest.fixture(scope="module")
def ehr(backstage: Backstage) -> SwiftEhr:
    """A client whose users log in."""
    return login_client(backstage)


@pytest.fixture(scope="module")
def granted(backstage: Backstage, ehr: SwiftEhr) -> Granted:
    """A login of the anaesthetist."""
    return grant(backstage, ehr)


def told(granted: Granted, **token: Any) -> dict[str, Any]:
    """What userinfo says with a good token."""
    answer = granted.userinfo(granted.access_token(**token))
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    return dict(answer.json)


def test_everything_about_the_anaesthetist(granted: Granted):
    """With every scope: the subject of the ID token, names, number, level, and what HPR knows."""
    claims = told(granted)
    user = granted.authorized.user
    assert claims.pop("userinfo_issued_at") == pytest.approx(granted.behind.service.now(), abs=5)
    assert claims == {
        "sub": granted.subject,
        "name": user.name,
        "given_name": user.given_name,
        "family_name": user.family_name,
        "helseid://claims/identity/pid": user.pid,
        "helseid://claims/identity/security_level": "4",
        "helseid://claims/hpr/hpr_number": "222209991",
        HPR_DETAILS: {
            "hpr_number": 222209991,
            "approvals": [
                {
                    "profession": "LE",
                    "authorization": {"value": "1", "description": "Autorisasjon"},
                    "requisition_rights": [{"value": "1", "description": "Full rekvisisjonsrett"}],
                    "specialities": [{"value": "2", "description": "Anestesiologi"}],
                }
            ],
        },
    }


@pytest.mark.parametrize(
    ("scope", "members"),
    [
        (None, set()),
        ("profile", {"name", "given_name", "family_name"}),
        (PID_SCOPE, {"helseid://claims/identity/pid"}),
        (LEVEL_SCOPE, {"helseid://claims/identity/security_level"}),
        (HPR_SCOPE, {"helseid://claims/hpr/hpr_number", HPR_DETAILS}),
    ],
)
def test_each_scope_stands_for_its_claims(scope: str | None, members: set[str], granted: Granted):
    """A claim is told for the scope of the token, and not because the login was granted more."""
    scopes = ["openid"] if scope is None else ["openid", scope]
    assert set(told(granted, scopes=scopes)) == {"sub", "userinfo_issued_at", *members}


@pytest.mark.parametrize(
    ("pid", "professions"),
    [("23714815067", ["JO", "SP"]), ("06828399789", []), ("54857527022", ["SP"]), ("16858399649", None)],
)
def test_what_hpr_knows(pid: str, professions: list[str] | None, backstage: Backstage, ehr: SwiftEhr):
    """One approval for each valid authorization; nothing at all about somebody whom HPR does not know."""
    claims = told(grant(backstage, ehr, user=practitioner(backstage.service.now(), pid=pid)))
    if professions is None:
        assert not {HPR_DETAILS, "helseid://claims/hpr/hpr_number"} & set(claims)
    else:
        details = claims[HPR_DETAILS]
        assert [approval["profession"] for approval in details["approvals"]] == professions
        assert str(details["hpr_number"]) == claims["helseid://claims/hpr/hpr_number"]


def test_by_post_too(granted: Granted):
    """The same answer to a POST with the header, with an empty body and no content type."""
    token = granted.access_token()
    answer = granted.userinfo(token, method="POST")
    assert answer.status == 200
    assert answer.json["sub"] == granted.subject


@pytest.mark.parametrize("scheme", ["DPoP", "dpOp", "DPOP", "dpop"])
def test_the_scheme_is_compared_without_case(scheme: str, granted: Granted):
    """RFC 9110 §11.1: a scheme has no case."""
    assert granted.userinfo(granted.access_token(), scheme=scheme).status == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_token_that_is_not_bound_is_a_bearer_token(scheme: str, granted: Granted):
    """A legacy client's token needs no proof, and must not pretend to be bound."""
    token = granted.access_token(bound=False)
    assert granted.userinfo(token, scheme=scheme, proof=None).status == 200
    refused(granted.userinfo(token, scheme="DPoP"), 401, "invalid_token")


def form(granted: Granted, body: str, **headers: str) -> Answer:
    """POST a form to userinfo."""
    return Answer(
        *http("POST", granted.userinfo_url, headers={"Content-Type": FORM, **headers}, body=body.encode())
    )


def test_a_bearer_token_may_come_in_the_form(granted: Granted):
    """RFC 6750 §2.2, for tokens that are not bound; a bound one is refused there."""
    token = granted.access_token(bound=False)
    assert form(granted, f"access_token={token}").json["sub"] == granted.subject
    assert form(granted, f"access_token={token}", Authorization=f"Bearer {token}").status == 400
    assert form(granted, f"access_token={token}&access_token={token}").status == 400
    refused(form(granted, f"access_token={granted.access_token()}"), 401, "invalid_token")


def test_a_token_in_the_address_is_refused(granted: Granted):
    """RFC 9700 §4.3.2: alone or beside the header, by GET or POST, bound or not."""
    for bound in (True, False):
        token = granted.access_token(bound=bound)
        for method in ("GET", "POST"):
            alone = http(
                method, f"{granted.userinfo_url}?access_token={token}", body=b"" if method == "POST" else None
            )
            assert alone[0] == 400
            assert json.loads(alone[2])["error"] == "invalid_request"
            scheme, proof = ("DPoP", "good") if bound else ("Bearer", None)
            beside = granted.userinfo(
                token, scheme=scheme, proof=proof, method=method, query=f"?access_token={token}"
            )
            assert beside.status == 400


def refused(answer: Answer, status: int, error: str) -> None:
    """The answer says so in body and challenge, and names the proof algorithms where a proof is due."""
    assert (answer.status, answer.error) == (status, error), answer.body
    challenge = parse_challenge(answer.headers["WWW-Authenticate"])[0]
    assert challenge.error == error
    assert ("algs" in challenge.attributes) == (challenge.scheme == "DPoP")
    assert answer.headers["Cache-Control"] == "no-store"


def test_without_credentials_the_challenge_has_no_error(granted: Granted):
    """RFC 6750 §3.1: who has shown nothing is told how to, and nothing else."""
    for method in ("GET", "POST"):
        status, headers, _ = http(method, granted.userinfo_url, body=b"" if method == "POST" else None)
        challenges = parse_challenge(headers["WWW-Authenticate"])
        assert status == 401
        assert [(challenge.scheme, challenge.error) for challenge in challenges] == [
            ("DPoP", None),
            ("Bearer", None),
        ]


@pytest.mark.parametrize(
    "credentials", ["Basic abc", "DPoP", "DPoP a b", "Negotiate abc", "DPoP a,DPoP b", ""]
)
def test_credentials_that_are_none(credentials: str, granted: Granted):
    """One scheme of two, and one token, or nothing."""
    status, headers, _ = http("GET", granted.userinfo_url, headers={"Authorization": credentials})
    assert status == 401
    assert "WWW-Authenticate" in headers


def test_the_scope_openid_is_needed(granted: Granted):
    """A token without it is told which scope is missing (RFC 6750 §3.1)."""
    answer = granted.userinfo(granted.access_token(scopes=["profile"]))
    refused(answer, 403, "insufficient_scope")
    assert parse_challenge(answer.headers["WWW-Authenticate"])[0].attributes["scope"] == "openid"


def test_a_machines_token_is_nobodys(backstage: Backstage, ehr: SwiftEhr, granted: Granted):
    """A token of client credentials has no openid, and so no userinfo."""
    machine = backstage.client()
    token = machine.token(None, scope="nhn:selvbetjening/client").json["access_token"]
    refused(granted.userinfo(token, key=machine.dpop_key), 403, "insufficient_scope")


def test_a_token_that_no_longer_holds(backstage: Backstage, ehr: SwiftEhr):
    """Expired, unknown to the store, of a revoked login or of a disabled client: 401."""
    granted = grant(backstage, ehr)
    now = backstage.service.now()
    refused(granted.userinfo(granted.access_token(now=now - 601)), 401, "invalid_token")
    refused(granted.userinfo(granted.access_token(ticket=False)), 401, "invalid_token")
    token = granted.access_token()
    granted.change(revoked=True)
    refused(granted.userinfo(token), 401, "invalid_token")
    other = login_client(backstage)
    granted = grant(backstage, other)
    token = granted.access_token()
    backstage.set_disabled(other.client_id, disabled=True)
    assert_soon_refused(granted, token)


def assert_soon_refused(granted: Granted, token: str) -> None:
    assert eventually(lambda: granted.userinfo(token).status == 401)


def test_the_answer_is_about_the_person_of_the_token(backstage: Backstage, ehr: SwiftEhr):
    """Two logins of one client do not mix, and two clients see two subjects."""
    first = grant(backstage, ehr)
    second = grant(
        backstage, ehr, user=practitioner(backstage.service.now(), pid="29839013092", name="STRENG DUGNAD")
    )
    elsewhere = grant(backstage, login_client(backstage))
    assert told(first)["helseid://claims/identity/pid"] == "14857527039"
    assert told(second)["helseid://claims/identity/pid"] == "29839013092"
    assert len({told(one)["sub"] for one in (first, second, elsewhere)}) == 3


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "multipart/form-data; boundary=x"]
)
def test_a_body_is_a_form_or_nothing(content_type: str, granted: Granted):
    """Whatever else is posted beside a good header is refused before anything is spent."""
    token = granted.access_token()
    headers = {"Authorization": f"DPoP {token}", "DPoP": granted.proof(token, method="POST")}
    sent = {**headers, "Content-Type": content_type}
    status, _, _ = http("POST", granted.userinfo_url, headers=sent, body=b"{}")
    assert status == 415
    assert http("POST", granted.userinfo_url, headers=headers, body=b"")[0] == 200


class Away:
    """A register that does not answer."""

    def person(self, _: str) -> None:
        """Nothing."""
        raise RegisterUnavailable("HPR")


def test_without_hpr_nothing_is_assumed(backstage: Backstage, granted: Granted):
    """503 when HPR must be asked and is away, and the proof is as good as before; other scopes need no HPR."""
    services = backstage.services
    away = replace(services, registers=replace(services.registers, hpr=Away()))
    token = granted.access_token()
    request = Request(
        granted.userinfo_url, {}, (granted.proof(token),), authorization=f"DPoP {token}", method="GET"
    )
    with pytest.raises(OAuthError, match="temporarily_unavailable") as refused_by:
        userinfo(request, away)
    assert refused_by.value.status == 503
    assert userinfo(request, services).status == 200
    poor = granted.access_token(scopes=["openid", "profile"])
    proof = granted.proof(poor)
    request = Request(granted.userinfo_url, {}, (proof,), authorization=f"DPoP {poor}", method="GET")
    assert userinfo(request, away).status == 200
