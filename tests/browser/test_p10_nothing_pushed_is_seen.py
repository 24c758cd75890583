"""P10: what was pushed stays on the server, and a login gives a new session."""

from typing import Any

import pytest

from support.browser import ClientDoor, Tab
from support.ehr import attestation
from support.relying_party import RelyingParty, authorize_url
from support.service import PHR

CANARIES = {
    "nonce": "canary-nonce-7Qp2",
    "login_hint": "canary-hint-05825031016",
    "state": "canary-state-1Zx9",
}
PERSON = "#person-222209991"


def test_p10_no_pushed_value_in_cookie_address_page_or_log(
    client: RelyingParty, tab: Tab, door: ClientDoor
) -> None:
    """State, nonce, hint, scope, challenge and attestation are in nothing that the browser holds or the log says."""
    patient = attestation()["patients"][0]["identifier"]["id"]
    said_before = len(client.service.log())
    answer = client.push_signed(
        **client.parameters(**CANARIES, authorization_details=[attestation(practitioner__identifier=...)])
    )
    assert answer.status == 201, answer.body
    tab.page.goto(authorize_url(client, answer.json["request_uri"]))
    html = tab.page.content()
    brought = door.next(lambda: tab.page.click(PERSON))
    assert brought["state"] == CANARIES["state"]
    ours = [url for url in tab.requested if url.startswith(client.service.origin)]
    assert len(ours) >= 4
    held = "\n".join([*ours, html, str(tab.cookies()), tab.page.evaluate("document.referrer")])
    secrets = [*CANARIES.values(), PHR, patient, client.verifier, "code_challenge", "6513270e-269e-4d37"]
    assert [secret for secret in secrets if secret in held] == []
    log = client.service.log()[said_before:]
    assert [secret for secret in [*secrets, "14857527039", brought["code"]] if secret in log] == []


def test_p10_a_login_gives_a_new_session(client: RelyingParty, tab: Tab, door: ClientDoor) -> None:
    """A session id that somebody planted before the login is worth nothing after it; each login makes another."""
    planted = "P" * 43
    tab.context.add_cookies([{"name": "tillit-session", "value": planted, "url": client.service.issuer}])
    seen = [planted]
    for prompt in ("login", "login"):
        tab.page.goto(authorize_url(client, client.request_uri(prompt=prompt)))
        door.next(lambda: tab.page.click(PERSON))
        seen.append(tab.cookies()["tillit-session"]["value"])
    assert len(set(seen)) == 3
    for old in seen[:2]:
        tab.context.add_cookies([{"name": "tillit-session", "value": old, "url": client.service.issuer}])
        url = authorize_url(client, client.request_uri(prompt="none"))
        brought = door.next(lambda url=url: tab.page.goto(url))
        assert brought["error"] == "login_required"


def test_p10_cookies_are_out_of_reach_of_scripts(client: RelyingParty, tab: Tab, door: ClientDoor) -> None:
    """Both cookies are HttpOnly, SameSite=Lax, for the whole host, and hold random bits alone."""
    tab.page.goto(authorize_url(client, client.request_uri()))
    door.next(lambda: tab.page.click(PERSON))
    cookies = tab.cookies()
    assert set(cookies) == {"tillit-login", "tillit-session"}
    for cookie in cookies.values():
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Lax"
        assert cookie["path"] == "/"
        assert cookie["expires"] == -1
        assert len(cookie["value"]) == 43
    tab.page.goto(client.service.issuer + "/connect/authorize")
    assert tab.page.evaluate("document.cookie") == ""


@pytest.mark.parametrize(
    "more", [{"response_type": "token"}, {"response_type": "id_token"}, {"scope": "openid"}]
)
def test_p10_what_stands_beside_the_reference_changes_nothing(
    client: RelyingParty, tab: Tab, door: ClientDoor, more: dict[str, str]
) -> None:
    """Parameters added to the address of a pushed request are ignored: there is a code, and no token."""
    state = client.parameters()["state"]
    tab.page.goto(authorize_url(client, client.request_uri(state=state), state="another", **more))
    brought: dict[str, Any] = door.next(lambda: tab.page.click(PERSON))
    assert set(brought) == {"code", "state", "iss"}
    assert brought["state"] == state
