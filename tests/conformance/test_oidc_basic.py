"""OpenID Connect Basic: the modules of `oidcc-basic-certification-test-plan`, one test each.

The client is one of the oldest kind: parameters in the front channel, Bearer tokens, `private_key_jwt` with the
token endpoint as audience. Left out, because this product has neither: client secrets, unsigned tokens,
registration by clients; and of the scopes, email, address and phone. Where a module waits, the clock moves.
"""

import json
import secrets
from base64 import urlsafe_b64decode
from typing import Any
from urllib.parse import urlencode

import pytest

from support.backstage import Timeline
from support.ehr import Answer
from support.login import CALLBACK, LoginEhr, Reception
from support.service import http
from support.visitor import Page, Returned, Visitor
from tillit.protocol.pkce import challenge_of, make_verifier

SCOPE = "openid profile offline_access"
STATE = "s" * 124 + "-._~"


class Suite:
    """What the certification suite is to the service: one client, and browsers."""

    def __init__(self, client: LoginEhr) -> None:
        self.client = client
        self.issuer = client.service.issuer

    def visitor(self) -> Visitor:
        """A browser without cookies."""
        return Visitor(self.client.service)

    def url(self, **fields: Any) -> str:
        """An authorization request in the front channel; ``...`` removes a parameter."""
        parameters = {
            "client_id": self.client.client_id,
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "scope": SCOPE,
            "state": STATE,
            "nonce": secrets.token_urlsafe(16),
            **fields,
        }
        sent = {name: value for name, value in parameters.items() if value is not ...}
        return f"{self.issuer}/connect/authorize?{urlencode(sent)}"

    def log_in(self, visitor: Visitor | None = None, **fields: Any) -> Returned:
        """The base flow up to the callback, with a login where one is asked for."""
        back = (visitor or self.visitor()).log_in(self.url(**fields))
        assert back.location.split("?")[0] == CALLBACK
        assert back.parameters.get("state") == STATE
        return back

    def redeem(self, code: str) -> Answer:
        """The token request of the base flow."""
        return self._ask(grant_type="authorization_code", code=code, redirect_uri=CALLBACK)

    def refresh(self, token: str) -> Answer:
        """A refresh."""
        return self._ask(grant_type="refresh_token", refresh_token=token)

    def tokens(self, visitor: Visitor | None = None, **fields: Any) -> Answer:
        """The base flow, with what it checks."""
        answer = self.redeem(self.log_in(visitor, **fields).code)
        assert answer.status == 200, answer.body
        assert answer.json["token_type"] == "Bearer"
        assert answer.headers["Cache-Control"] == "no-store"
        claims = id_token_of(answer)
        assert (claims["iss"], claims["aud"]) == (self.issuer, self.client.client_id)
        assert claims["sub"] == self.userinfo(answer)["sub"]
        return answer

    def userinfo(self, answer: Answer) -> dict[str, Any]:
        """What userinfo says to a token, in its header."""
        status, body = self.ask_userinfo(answer)
        assert status == 200, body
        return body

    def ask_userinfo(self, answer: Answer, *, method: str = "GET", form: bool = False) -> tuple[int, Any]:
        """A call of userinfo, the token in the header or in a form."""
        token = answer.json["access_token"]
        headers = {} if form else {"Authorization": f"Bearer {token}"}
        body = b""
        if method == "POST":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode({"access_token": token}).encode() if form else b""
        status, _, content = http(
            method, f"{self.issuer}/connect/userinfo", headers=headers, body=body or None
        )
        return status, json.loads(content) if status == 200 else content

    def _ask(self, **fields: str) -> Answer:
        assertion = self.client.assertion(aud=self.client.endpoint, header={"typ": "JWT"})
        return self.client.send({**fields, **self.client.credentials(assertion)}, None)


def id_token_of(answer: Answer) -> dict[str, Any]:
    payload = answer.json["id_token"].split(".")[1]
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def asks_somebody_to_log_in(page: Page | Returned) -> bool:
    """Whether the browser stands before a login."""
    return isinstance(page, Page) and any(form.ident == "people" for form in page.forms)


OIDC_CLIENT: dict[str, Any] = {
    "profile": "legacy",
    "scopes": ("openid", "profile", "offline_access", "helseid://scopes/identity/pid"),
    "id_token_signed_response_alg": "RS256",
}


@pytest.fixture(scope="module")
def suite(reception: Reception) -> Suite:
    """The suite on the real clock."""
    return Suite(reception.client(**OIDC_CLIENT))


@pytest.fixture(scope="module")
def other(reception: Reception) -> Suite:
    """The suite's second client."""
    return Suite(reception.client(**OIDC_CLIENT))


@pytest.fixture(scope="module")
def waiting(timeline: Timeline) -> Suite:
    """The suite where a module waits."""
    return Suite(Reception(timeline.backstage).client(**OIDC_CLIENT))


def test_oidcc_server(suite: Suite):
    """The base flow."""
    assert suite.tokens().json["expires_in"] > 0


def test_oidcc_response_type_missing(suite: Suite):
    """Without a response type the browser goes back with an error."""
    back = suite.visitor().open(suite.url(response_type=...))
    assert isinstance(back, Returned)
    assert (back.error, back.parameters["state"]) == ("unsupported_response_type", STATE)


def test_oidcc_idtoken_signature(suite: Suite):
    """A client that wants RS256 gets it, by a key that is published."""
    token = suite.tokens().json["id_token"]
    header = json.loads(urlsafe_b64decode(token.split(".")[0] + "=="))
    _, _, body = http("GET", f"{suite.issuer}/.well-known/openid-configuration/jwks")
    keys = {key["kid"]: key for key in json.loads(body)["keys"]}
    assert (header["alg"], keys[header["kid"]]["alg"]) == ("RS256", "RS256")


def test_oidcc_userinfo_get(suite: Suite):
    """Userinfo by GET."""
    assert suite.ask_userinfo(suite.tokens())[0] == 200


def test_oidcc_userinfo_post_header(suite: Suite):
    """Userinfo by POST, the token in the header."""
    assert suite.ask_userinfo(suite.tokens(), method="POST")[0] == 200


def test_oidcc_userinfo_post_body(suite: Suite):
    """Userinfo by POST, the token in the form."""
    assert suite.ask_userinfo(suite.tokens(), method="POST", form=True)[0] == 200


def test_oidcc_ensure_request_without_nonce_succeeds_for_code_flow(suite: Suite):
    """No nonce in, no nonce out."""
    assert "nonce" not in id_token_of(suite.tokens(nonce=...))


@pytest.mark.parametrize("name", ["oidcc-scope-profile", "oidcc-scope-all"])
def test_oidcc_scope_profile(suite: Suite, name: str):
    """Userinfo holds the claims of the scope that are known of a person here, all of them texts with content."""
    scope = SCOPE if name == "oidcc-scope-profile" else " ".join(OIDC_CLIENT["scopes"])
    told = suite.userinfo(suite.tokens(scope=scope))
    assert {"name", "given_name", "family_name"} <= set(told)
    assert all(told[claim] not in {"", "null"} for claim in ("name", "given_name", "family_name"))
    assert ("helseid://claims/identity/pid" in told) == (name == "oidcc-scope-all")


def test_oidcc_claims_of_a_scope_not_asked_for_are_not_told(suite: Suite):
    """With `openid` alone nobody has a name."""
    assert "name" not in suite.userinfo(suite.tokens(scope="openid"))


def test_oidcc_alternate_happy_flow(suite: Suite):
    """Scope words in another order."""
    assert suite.tokens(scope=" ".join(reversed(SCOPE.split())))


@pytest.mark.parametrize("display", ["page", "popup"])
def test_oidcc_display(suite: Suite, display: str):
    """`oidcc-display-page` and `oidcc-display-popup`."""
    assert suite.tokens(display=display)


def test_oidcc_prompt_login(waiting: Suite, timeline: Timeline):
    """A second request with `prompt=login` shows a login page, and the login is later."""
    start = timeline.moment()
    visitor = waiting.visitor()
    first = id_token_of(waiting.tokens(visitor))
    timeline.at(start + 2)
    assert asks_somebody_to_log_in(visitor.open(waiting.url(prompt="login")))
    second = id_token_of(waiting.tokens(visitor, prompt="login"))
    assert second["auth_time"] > first["auth_time"]


def test_oidcc_prompt_none_not_logged_in(suite: Suite):
    """Without a session: `login_required`, the whole state, no code and no page."""
    back = suite.visitor().open(suite.url(prompt="none"))
    assert isinstance(back, Returned)
    assert (back.error, back.parameters["state"]) == ("login_required", STATE)
    assert "code" not in back.parameters


def test_oidcc_prompt_none_logged_in(suite: Suite):
    """With a session: a code without any page, for the same login."""
    visitor = suite.visitor()
    first = id_token_of(suite.tokens(visitor))
    back = visitor.open(suite.url(prompt="none"))
    assert isinstance(back, Returned)
    second = id_token_of(suite.redeem(back.code))
    assert (second["sub"], second["auth_time"]) == (first["sub"], first["auth_time"])


def test_oidcc_max_age_1(waiting: Suite, timeline: Timeline):
    """Two seconds later `max_age=1` shows a login page, and the ID token says when."""
    start = timeline.moment()
    visitor = waiting.visitor()
    first = id_token_of(waiting.tokens(visitor))
    timeline.at(start + 2)
    assert asks_somebody_to_log_in(visitor.open(waiting.url(max_age=1)))
    assert id_token_of(waiting.tokens(visitor, max_age=1))["auth_time"] > first["auth_time"]


def test_oidcc_max_age_10000(waiting: Suite, timeline: Timeline):
    """A login that is young enough is not asked for again."""
    start = timeline.moment()
    visitor = waiting.visitor()
    first = id_token_of(waiting.tokens(visitor, max_age=15_000))
    timeline.at(start + 2)
    back = visitor.open(waiting.url(max_age=10_000))
    assert isinstance(back, Returned)
    assert id_token_of(waiting.redeem(back.code))["auth_time"] == first["auth_time"]


def test_oidcc_ensure_request_with_unknown_parameter_succeeds(suite: Suite):
    """What nobody knows is ignored."""
    assert suite.tokens(extra="foobar")


def test_oidcc_id_token_hint(suite: Suite):
    """`prompt=none` with the ID token of the same person."""
    visitor = suite.visitor()
    first = suite.tokens(visitor)
    back = visitor.open(suite.url(prompt="none", id_token_hint=first.json["id_token"]))
    assert isinstance(back, Returned)
    assert id_token_of(suite.redeem(back.code))["sub"] == id_token_of(first)["sub"]


def test_oidcc_login_hint(suite: Suite):
    """A hint breaks nothing."""
    assert suite.tokens(login_hint="buffy@as.example.test")


@pytest.mark.parametrize("name", ["ui_locales", "claims_locales"])
def test_oidcc_locales(suite: Suite, name: str):
    """`oidcc-ui-locales` and `oidcc-claims-locales`, for Northern Sami."""
    assert suite.tokens(**{name: "se"})


def test_oidcc_ensure_request_with_acr_values_succeeds(suite: Suite):
    """The ID token says a level that was asked for."""
    assert id_token_of(suite.tokens(acr_values="Level3 Level4"))["acr"] in {"Level3", "Level4"}


def test_oidcc_codereuse(suite: Suite):
    """A code twice at once."""
    code = suite.log_in().code
    assert suite.redeem(code).status == 200
    again = suite.redeem(code)
    assert (again.status, again.error) == (400, "invalid_grant")


def test_oidcc_codereuse_30seconds(waiting: Suite, timeline: Timeline):
    """Half a minute later: refused, and the first token is dead."""
    start = timeline.moment()
    code = waiting.log_in().code
    first = waiting.redeem(code)
    timeline.at(start + 30)
    again = waiting.redeem(code)
    assert (again.status, again.error) == (400, "invalid_grant")
    assert waiting.ask_userinfo(first)[0] == 401


def test_oidcc_ensure_registered_redirect_uri(suite: Suite):
    """An address that is not registered: our own page, never a redirect."""
    page = suite.visitor().open(suite.url(redirect_uri=f"{CALLBACK}/other"))
    assert isinstance(page, Page)
    assert (page.status, page.error) == (400, "invalid_request")


def test_oidcc_ensure_redirect_uri_in_authorization_request(suite: Suite):
    """No address at all: our own page."""
    page = suite.visitor().open(suite.url(redirect_uri=...))
    assert isinstance(page, Page)
    assert page.error == "invalid_request"


def test_oidcc_ensure_post_request_succeeds(suite: Suite):
    """The authorization request as a form."""
    visitor = suite.visitor()
    endpoint, _, query = suite.url().partition("?")
    answer = visitor.session.post(
        endpoint,
        data=query,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        allow_redirects=False,
        timeout=10,
    )
    back = visitor.log_in(f"{suite.client.service.origin}{answer.headers['Location']}")
    assert suite.redeem(back.code).status == 200


def test_oidcc_unsigned_request_object_supported_correctly_or_rejected_as_unsupported(suite: Suite):
    """A request object without a signature is refused."""
    unsigned = "eyJhbGciOiJub25lIn0.e30."
    back = suite.visitor().open(suite.url(request=unsigned))
    code = back.error if isinstance(back, Page | Returned) else None
    assert code in {"request_not_supported", "invalid_request_object"}


def test_oidcc_claims_essential(suite: Suite):
    """A request for single claims breaks nothing; the name is told by its scope."""
    wanted = json.dumps({"userinfo": {"name": {"essential": True}}})
    assert suite.userinfo(suite.tokens(claims=wanted))["name"]


def test_oidcc_refresh_token(suite: Suite, other: Suite):
    """A refresh by its client, with an ID token of the same login; none by another."""
    first = suite.tokens(prompt="consent")
    again = suite.refresh(first.json["refresh_token"])
    assert (again.status, again.json["token_type"]) == (200, "Bearer")
    assert again.headers["Cache-Control"] == "no-store"
    old, new = id_token_of(first), id_token_of(again)
    assert all(old[name] == new[name] for name in ("iss", "sub", "aud", "auth_time"))
    foreign = other.refresh(first.json["refresh_token"])
    assert (foreign.status, foreign.error) == (400, "invalid_grant")


def test_oidcc_ensure_request_with_valid_pkce_succeeds(suite: Suite):
    """A client that may go without PKCE is held to it when it does not."""
    challenge = challenge_of(make_verifier())
    code = suite.log_in(code_challenge=challenge, code_challenge_method="S256").code
    refused = suite.redeem(code)
    assert (refused.status, refused.error) == (400, "invalid_grant")


def test_oidcc_ensure_client_assertion_with_iss_aud_succeeds(suite: Suite):
    """The issuer as audience is what is wanted, also of old clients."""
    code = suite.log_in().code
    credentials = suite.client.credentials(suite.client.assertion())
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, **credentials}
    assert suite.client.send(form, None).status == 200
