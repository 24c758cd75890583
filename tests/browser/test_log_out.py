"""Logging out in a real browser: by the client's link, by its form from another site, and by our own button."""

from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

import pytest

from support.accessibility import faults_of
from support.backstage import Backstage
from support.browser import ClientDoor, Tab
from support.login import Reception
from support.relying_party import RelyingParty, authorize_url
from support.service import Service

SCOPE = "openid nhn:selvbetjening/client"


@pytest.fixture
def party(tab: Tab, service: Service, door: ClientDoor) -> Iterator[RelyingParty]:
    """A client that may send people back to its door after logout, and somebody who has logged in there."""
    behind = Backstage(service)
    registered = Reception(behind).client(
        redirect_uris=[door.redirect_uri], post_logout_redirect_uris=[door.redirect_uri]
    )
    party = RelyingParty.of(registered)
    party.redirect_uri = door.redirect_uri
    yield party
    behind.close()


def logged_in(party: RelyingParty, tab: Tab, door: ClientDoor) -> str:
    """Log in, and give the ID token."""
    tab.page.goto(authorize_url(party, party.request_uri(scope=SCOPE)))
    brought = door.next(lambda: tab.page.click("#person-222209991"))
    answer = party.redeem(brought["code"])
    assert answer.status == 200, answer.body
    return str(answer.json["id_token"])


def is_logged_in(party: RelyingParty, tab: Tab, door: ClientDoor) -> bool:
    """What `prompt=none` brings."""
    url = authorize_url(party, party.request_uri(scope=SCOPE, prompt="none"))
    brought = door.next(lambda: tab.page.goto(url))
    assert "code" in brought or brought["error"] == "login_required"
    return "code" in brought


def end_session(party: RelyingParty, **parameters: str) -> str:
    """The client's link."""
    return f"{party.service.issuer}/connect/endsession?{urlencode(parameters)}"


def test_the_clients_link_ends_the_session(party: RelyingParty, tab: Tab, door: ClientDoor) -> None:
    """With its ID token, a client takes somebody out and back without a question."""
    hint = logged_in(party, tab, door)
    assert is_logged_in(party, tab, door)
    url = end_session(party, id_token_hint=hint, post_logout_redirect_uri=door.redirect_uri, state="a b&c")
    assert door.next(lambda: tab.page.goto(url)) == {"state": "a b&c"}
    assert not [name for name in tab.cookies() if name.endswith("session")]
    assert not is_logged_in(party, tab, door)


def test_a_form_from_another_site_ends_the_session(party: RelyingParty, tab: Tab, door: ClientDoor) -> None:
    """The form comes without our cookie; our own button brings it, and the hint stands in no address."""
    hint = logged_in(party, tab, door)
    fields = {
        "action": f"{party.service.issuer}/connect/endsession",
        "id_token_hint": hint,
        "post_logout_redirect_uri": door.redirect_uri,
        "state": "s",
    }
    tab.page.goto(f"http://localhost:{urlsplit(door.redirect_uri).port}/elsewhere")
    tab.send_form(fields)
    tab.page.wait_for_selector("#log-out")
    assert faults_of(tab.page) == []
    assert "eyJ" not in tab.page.url
    assert door.next(lambda: tab.page.click("#log-out")) == {"state": "s"}
    tab.page.wait_for_selector("h1#client")
    assert not is_logged_in(party, tab, door)


def test_a_link_without_a_hint_asks_first(party: RelyingParty, tab: Tab, door: ClientDoor) -> None:
    """The page is accessible, its button works by keyboard, and until then nothing has happened."""
    logged_in(party, tab, door)
    tab.page.goto(end_session(party, post_logout_redirect_uri="https://evil.example/"))
    assert faults_of(tab.page) == []
    assert is_logged_in(party, tab, door)
    tab.page.goto(end_session(party))
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.id") == "log-out"
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector("#logged-out")
    assert faults_of(tab.page) == []
    assert not is_logged_in(party, tab, door)
    assert tab.complaints == []
