"""A whole login in a real browser, with no mouse and no script of ours."""

from support.browser import ClientDoor, Tab
from support.relying_party import RelyingParty, authorize_url


def press_until(tab: Tab, ident: str, *, limit: int = 40) -> None:
    """Press Tab until the element of that id has the focus."""
    for _ in range(limit):
        if tab.page.evaluate("document.activeElement.id") == ident:
            return
        tab.page.keyboard.press("Tab")
    raise AssertionError(f"{ident} is not reached by the Tab key")


def test_a_login_by_keyboard_alone(client: RelyingParty, tab: Tab, door: ClientDoor) -> None:
    """Tab, arrow keys and Enter lead from the client's link to a code that the client can redeem."""
    state = "state-of-keyboard-login"
    tab.page.goto(authorize_url(client, client.request_uri(state=state)))
    press_until(tab, "level4")
    tab.page.keyboard.press("ArrowRight")
    assert tab.page.evaluate("document.activeElement.id") == "level3"
    tab.page.keyboard.press("ArrowLeft")
    press_until(tab, "person-222209991")
    brought = door.next(lambda: tab.page.keyboard.press("Enter"))
    assert brought["state"] == state
    assert brought["iss"] == client.service.issuer
    assert brought["code"]
    tab.page.wait_for_selector("h1#client")
    assert tab.complaints == []
