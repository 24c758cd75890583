"""Clients live on other sites: what a browser keeps to itself there must not cost people their session."""

from urllib.parse import urlsplit

import pytest

from support.browser import ClientDoor, Tab
from support.relying_party import RelyingParty, authorize_url


@pytest.fixture
def elsewhere(client: RelyingParty, tab: Tab, door: ClientDoor) -> str:
    """A page of the client on another site than ours (another host is another site), after a login."""
    tab.page.goto(authorize_url(client, client.request_uri()))
    door.next(lambda: tab.page.click("#person-222209991"))
    return f"http://localhost:{urlsplit(door.redirect_uri).port}/somewhere"


def test_a_link_from_another_site_finds_the_session(
    client: RelyingParty, tab: Tab, door: ClientDoor, elsewhere: str
) -> None:
    """Following a link to the authorization endpoint brings the cookies, so nobody has to log in again."""
    url = authorize_url(client, client.request_uri(prompt="none"))
    tab.page.goto(elsewhere)
    brought = door.next(lambda: tab.page.evaluate("url => { location.href = url }", url))
    assert brought["code"]


def test_a_form_from_another_site_finds_the_session(
    client: RelyingParty, tab: Tab, door: ClientDoor, elsewhere: str
) -> None:
    """A form of another site comes without cookies; the GET that follows brings them."""
    fields = {
        "action": client.service.issuer + "/connect/authorize",
        "client_id": client.client_id,
        "request_uri": client.request_uri(prompt="none"),
    }
    tab.page.goto(elsewhere)
    brought = door.next(lambda: tab.send_form(fields))
    assert brought["code"]
