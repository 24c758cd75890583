"""P11: whatever text a client sends, a page shows it as text, runs nothing, and cannot be framed."""

import re
from urllib.parse import urlencode

import pytest

from support.browser import ClientDoor, Tab
from support.house import House
from support.relying_party import RelyingParty, authorize_url

SCRIPT = "\"'><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
TEMPLATE = "{{7*7}}${7*7}{% raw %}%(x)s"
BIDI = "ghijk\u202egnihtyna\u2066xyz\u200b"
HOSTILE = [SCRIPT, TEMPLATE, BIDI]


def is_clean(tab: Tab) -> None:
    """Nothing ran, nothing was refused by the policy, nobody complained."""
    assert tab.complaints == []
    assert "owned" not in tab.page.title()
    assert tab.page.locator("script, img, style, iframe").count() == 0


@pytest.mark.parametrize("name", HOSTILE, ids=["script", "template", "bidi"])
def test_p11_the_name_of_a_client(house: House, tab: Tab, name: str) -> None:
    """A client's name on the page of providers is text, cut off from the direction of its neighbours."""
    client = house.rp(name=name)
    tab.page.goto(authorize_url(client, client.request_uri()))
    shown = tab.page.locator("#client")
    assert shown.text_content() == name
    assert shown.evaluate("element => getComputedStyle(element).unicodeBidi").startswith("isolate")
    is_clean(tab)


@pytest.mark.parametrize("hint", [SCRIPT, TEMPLATE], ids=["script", "template"])
def test_p11_a_login_hint(house: House, tab: Tab, hint: str) -> None:
    """A login hint is shown nowhere: not on our pages, not in an address."""
    client = house.client
    tab.page.goto(authorize_url(client, client.request_uri(login_hint=hint)))
    tab.page.click("#idp-test")
    tab.page.wait_for_selector("#test-mark")
    assert "owned" not in tab.page.content()
    assert "7*7" not in tab.page.content()
    assert not any("owned" in url or "7*7" in url for url in tab.requested)
    is_clean(tab)


@pytest.mark.parametrize("state", HOSTILE, ids=["script", "template", "bidi"])
@pytest.mark.parametrize("mode", ["query", "form_post"])
def test_p11_a_state(client: RelyingParty, tab: Tab, door: ClientDoor, state: str, mode: str) -> None:
    """A state comes back to the client as it was, letter by letter, and does nothing on its way."""
    answer = client.push_signed(**client.parameters(state=state, response_mode=mode))
    if answer.status != 201:
        # What cannot be printed is refused before anybody is sent anywhere.
        assert state == BIDI
        assert answer.error == "invalid_request"
        return
    tab.page.goto(authorize_url(client, answer.json["request_uri"]))
    is_clean(tab)
    if mode == "form_post":
        tab.page.click("#person-222209991")
        tab.page.wait_for_selector("#continue")
        is_clean(tab)
        brought = door.next(lambda: tab.page.click("#continue"))
        assert door.methods == ["POST"]
    else:
        brought = door.next(lambda: tab.page.click("#person-222209991"))
    assert brought["state"] == state
    assert tab.complaints == []


@pytest.mark.parametrize("text", HOSTILE, ids=["script", "template", "bidi"])
@pytest.mark.parametrize(
    "parameter", ["client_id", "request_uri", "error_description", "interaction", "state"]
)
def test_p11_parameters_of_an_address(client: RelyingParty, tab: Tab, text: str, parameter: str) -> None:
    """Nothing that an address brings is ever shown by an error page."""
    for path in ("authorize", "login", "login/callback", "login/cancel"):
        tab.page.goto(f"{client.service.issuer}/connect/{path}?{urlencode({parameter: text})}")
        assert re.fullmatch("[a-z_]+", tab.page.inner_text("#error"))
        assert "owned" not in tab.page.content()
        assert "7*7" not in tab.page.content()
        assert "ghijk" not in tab.page.content()
    assert [line for line in tab.complaints if "status of 400" not in line] == []


def test_p11_no_page_can_be_framed(client: RelyingParty, tab: Tab, door: ClientDoor) -> None:
    """A page of somebody else's that frames ours shows nothing of it."""
    url = authorize_url(client, client.request_uri())
    tab.page.goto(door.redirect_uri.replace("/callback", "/other"))
    with tab.page.expect_console_message(lambda message: "frame-ancestors" in message.text):
        tab.page.evaluate(
            "url => { const f = document.createElement('iframe'); f.src = url; document.body.append(f) }", url
        )
    (frame,) = (frame for frame in tab.page.frames if frame is not tab.page.main_frame)
    assert frame.locator("#test-mark").count() == 0


def test_p11_the_client_learns_no_address_of_ours(client: RelyingParty, tab: Tab, door: ClientDoor) -> None:
    """The client's page sees no referrer, so neither interaction nor reference."""
    tab.page.goto(authorize_url(client, client.request_uri()))
    door.next(lambda: tab.page.click("#person-222209991"))
    tab.page.wait_for_selector("h1#client")
    assert tab.page.evaluate("document.referrer") == ""
