"""The pages as people meet them: two languages, accessible, and of use without a mouse or a script."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from support.accessibility import faults_of
from support.browser import ClientDoor, Tab
from support.house import House
from support.relying_party import RelyingParty, authorize_url
from tillit_server.web.texts import TEXTS

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LOCALES = {"nb": "nb-NO", "en": "en-GB"}


def choose(house: House, tab: Tab) -> None:
    """The page of providers."""
    tab.page.goto(authorize_url(house.client, house.client.request_uri()))


def at_test_provider(house: House, tab: Tab) -> None:
    """The test provider's page."""
    tab.page.goto(authorize_url(house.client, house.client.request_uri(acr_values="idp:test")))


def at_fault(house: House, tab: Tab) -> None:
    """The test provider's page after a number that is none."""
    at_test_provider(house, tab)
    tab.page.fill("#number", "12345678901")
    tab.page.click("#use-number")


def at_error(house: House, tab: Tab) -> None:
    """The test provider's page for a request that it does not know."""
    tab.page.goto(house.service.issuer + "/test-provider/authorize?client_id=tillit&request_uri=x")


def error(house: House, tab: Tab) -> None:
    """The error page."""
    tab.page.goto(house.service.issuer + "/connect/authorize?client_id=x")


def away(house: House, tab: Tab) -> None:
    """The page for a provider that is away."""
    house.standin.away = True
    tab.page.goto(authorize_url(house.client, house.client.request_uri(acr_values="idp:standin")))


def form_post(house: House, tab: Tab) -> None:
    """The form that brings an answer to the client."""
    uri = house.client.request_uri(prompt="none", response_mode="form_post")
    tab.page.goto(authorize_url(house.client, uri))


def log_out(house: House, tab: Tab) -> None:
    """The page that asks before it ends a session."""
    uri = house.client.request_uri(acr_values="idp:test", response_mode="form_post")
    tab.page.goto(authorize_url(house.client, uri))
    tab.page.click("#person-222209991")
    tab.page.wait_for_selector("#continue")
    tab.page.goto(house.service.issuer + "/connect/endsession")


def logged_out(house: House, tab: Tab) -> None:
    """The page after the end of a session."""
    tab.page.goto(house.service.issuer + "/connect/endsession")


PAGES: dict[str, tuple[Callable[[House, Tab], None], dict[str, str]]] = {
    "choose": (choose, {"nb": "Velg innlogging", "en": "Choose how to log in"}),
    "test-provider": (at_test_provider, {"nb": "Testinnlogging", "en": "Test login"}),
    "test-provider-fault": (at_fault, {"nb": "Testinnlogging", "en": "Test login"}),
    "test-provider-error": (
        at_error,
        {"nb": "Testinnloggingen kan ikke fortsette", "en": "The test login cannot go on"},
    ),
    "error": (error, {"nb": "Innloggingen kan ikke fortsette", "en": "The login cannot go on"}),
    "away": (
        away,
        {"nb": "Innlogging er ikke tilgjengelig akkurat nå", "en": "Login is not available just now"},
    ),
    "log-out": (log_out, {"nb": TEXTS["nb"]["log_out_title"], "en": TEXTS["en"]["log_out_title"]}),
    "logged-out": (
        logged_out,
        {"nb": TEXTS["nb"]["logged_out_title"], "en": TEXTS["en"]["logged_out_title"]},
    ),
    "form-post": (form_post, {"nb": "Tilbake til systemet", "en": "Back to the system"}),
}


@pytest.mark.parametrize("language", LOCALES)
@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_accessible_in_both_languages(
    house: House, browser: "Browser", name: str, language: str
) -> None:
    """Language, title, headings, labels, names, contrast, focus and reflow, on a small screen too."""
    show, headings = PAGES[name]
    tab = Tab(browser, locale=LOCALES[language], viewport={"width": 320, "height": 640})
    show(house, tab)
    assert tab.page.locator("html").get_attribute("lang") == language
    assert tab.page.inner_text("h1") == headings[language]
    assert faults_of(tab.page) == []
    tab.close()


def test_the_client_may_choose_the_language(house: House, tab: Tab) -> None:
    """ui_locales stands before what the browser prefers."""
    tab.page.goto(authorize_url(house.client, house.client.request_uri(ui_locales="en")))
    assert tab.page.inner_text("h1") == "Choose how to log in"
    tab.page.click("#idp-test")
    assert tab.page.inner_text("h1") == "Test login"


@pytest.mark.parametrize("name", ["test-provider", "test-provider-fault", "test-provider-error"])
def test_the_test_provider_says_what_it_is(house: House, tab: Tab, name: str) -> None:
    """Every page of it carries the mark, in title and text, in both languages at once."""
    PAGES[name][0](house, tab)
    mark = "TEST – ikke ekte innlogging / not a real login"
    assert tab.page.inner_text("#test-mark") == mark
    assert mark in tab.page.title()


def test_without_script(house: House, browser: "Browser", door: ClientDoor) -> None:
    """A browser that runs no script logs in all the same, with an answer by form too."""
    tab = Tab(browser, java_script_enabled=False)
    client = RelyingParty.development(house.service)
    client.redirect_uri = door.redirect_uri
    tab.page.goto(authorize_url(client, client.request_uri(response_mode="form_post")))
    tab.page.click("#idp-test")
    tab.page.click("#person-222209983")
    brought = door.next(lambda: tab.page.click("#continue"))
    assert brought["code"]
    assert door.methods == ["POST"]
    tab.close()


def test_cancel(client: RelyingParty, tab: Tab, door: ClientDoor) -> None:
    """Who leaves goes back to the client, which hears access_denied."""
    tab.page.goto(authorize_url(client, client.request_uri(state="s")))
    brought = door.next(lambda: tab.page.click("#cancel"))
    assert brought["error"] == "access_denied"
    assert brought["state"] == "s"
    assert brought["iss"] == client.service.issuer
    assert tab.complaints == []


def test_enter_in_the_field_means_the_number_in_it(client: RelyingParty, tab: Tab, door: ClientDoor) -> None:
    """A number that is typed and sent by Enter is the one that logs in, with blanks or without."""
    tab.page.goto(authorize_url(client, client.request_uri(scope="openid helseid://scopes/identity/pid")))
    tab.page.fill("#number", "298390 13092")
    brought = door.next(lambda: tab.page.press("#number", "Enter"))
    assert brought["code"]


def test_back_button(client: RelyingParty, tab: Tab, door: ClientDoor) -> None:
    """Back from the client and on again: the login is over, and a page of ours says so in plain words."""
    tab.page.goto(authorize_url(client, client.request_uri()))
    door.next(lambda: tab.page.click("#person-222209991"))
    tab.page.wait_for_selector("h1#client")
    tab.page.go_back()
    tab.page.wait_for_selector("#test-mark, #error")
    if tab.page.locator("#test-mark").count():
        tab.page.click("#person-222209983")
        tab.page.wait_for_selector("#error")
    assert tab.page.inner_text("#error") in {"invalid_request", "invalid_request_uri"}
    assert len(door.brought) == 1


def test_two_tabs_of_one_browser(client: RelyingParty, tab: Tab, door: ClientDoor) -> None:
    """Two logins at once in one browser do not disturb each other."""
    other = tab.another()
    tab.page.goto(authorize_url(client, client.request_uri(state="first")))
    other.goto(authorize_url(client, client.request_uri(state="second")))
    assert door.next(lambda: tab.page.click("#person-222209991"))["state"] == "first"
    assert door.next(lambda: other.click("#person-222209983"))["state"] == "second"
