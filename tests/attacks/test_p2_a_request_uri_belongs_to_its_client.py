"""P2: a pushed request is its client's alone, and nothing that a browser adds counts beside it."""

import secrets

import pytest

from support.login import LoginEhr, Reception, practitioner
from support.relying_party import RelyingParty, authorize_url
from support.visitor import Page, Visitor
from tillit.protocol.errors import OAuthError
from tillit_server.issuer.login.authorization import complete_login
from tillit_server.issuer.login.browser import LogIn


@pytest.fixture(scope="module")
def ehr(reception: Reception) -> RelyingParty:
    """A client whose users log in."""
    return RelyingParty.of(reception.client())


def test_p2_another_client_cannot_use_it(ehr: RelyingParty, reception: Reception):
    """With another client's id, known or not, disabled, missing or twice, it leads to an error page and stays good."""
    uri = ehr.request_uri()
    disabled = reception.client()
    reception.backstage.set_disabled(disabled.client_id, disabled=True)
    visitor = Visitor(ehr.service)
    cases = {
        reception.client().client_id: "invalid_request_uri",
        disabled.client_id: "invalid_request",
        "nobody-knows": "invalid_request",
        ehr.client_id.upper(): "invalid_request",
        "": "invalid_request",
    }
    for client_id, code in cases.items():
        page = visitor.open(authorize_url(ehr, uri).replace(ehr.client_id, client_id))
        assert isinstance(page, Page), client_id
        assert (page.status, page.error) == (400, code), client_id
    assert visitor.log_in(authorize_url(ehr, uri)).code


def test_p2_what_the_browser_adds_is_ignored(ehr: RelyingParty):
    """Scope, redirect URI, state, nonce, mode and key in the query change nothing of what was pushed."""
    state = secrets.token_urlsafe(16)
    url = authorize_url(
        ehr,
        ehr.request_uri(state=state),
        scope="openid nhn:selvbetjening/client",
        redirect_uri="https://evil.example/callback",
        response_type="token",
        response_mode="form_post",
        state="another",
        nonce="another",
        code_challenge="A" * 43,
        dpop_jkt="A" * 43,
        prompt="none",
        request="eyJ.eyJ.x",
        authorization_details="[]",
    )
    back = Visitor(ehr.service).log_in(url)
    assert back.location.startswith(ehr.redirect_uri + "?")
    assert back.parameters["state"] == state
    tokens = ehr.redeem(back.code)
    assert tokens.status == 200, tokens.body
    assert "nhn:selvbetjening/client" not in tokens.json["scope"]


def test_p2_a_request_without_state_gets_none(ehr: RelyingParty):
    """A state that only the query holds is not sent back."""
    back = Visitor(ehr.service).log_in(authorize_url(ehr, ehr.request_uri(state=...), state="only outside"))
    assert set(back.parameters) == {"code", "iss"}


def test_p2_a_login_belongs_to_the_browser_that_began_it(ehr: LoginEhr, reception: Reception):
    """With another browser's cookie, or none, nobody can finish it, and its own browser still can."""
    page = reception.open(ehr, ehr.request_uri())
    assert isinstance(page, LogIn)
    user = practitioner(ehr.service.now())
    for binding in (None, "", page.binding[:-1], page.binding + "A", secrets.token_urlsafe(32)):
        with pytest.raises(OAuthError, match="another browser") as caught:
            complete_login(page.interaction, binding, user, reception.services)
        assert caught.value.code == "invalid_request"
    assert complete_login(page.interaction, page.binding, user, reception.services).parameters["code"]


def test_p2_a_client_that_has_changed_meanwhile_is_judged_anew(reception: Reception):
    """Who was disabled, or lost the redirect URI, between push and login gets no code."""
    for change in ("disabled", "redirect_uris"):
        ehr = reception.client()
        uri = ehr.request_uri()
        page = reception.open(ehr, uri)
        assert isinstance(page, LogIn)
        if change == "disabled":
            reception.backstage.set_disabled(ehr.client_id, disabled=True)
        else:
            reception.backstage.register(
                ehr.client_id, ehr.key, replace=True, redirect_uris=["https://elsewhere.example/"]
            )
        reception.services.clients._seen.clear()
        with pytest.raises(OAuthError):
            complete_login(
                page.interaction, page.binding, practitioner(ehr.service.now()), reception.services
            )
        with pytest.raises(OAuthError):
            reception.open(ehr, uri)
