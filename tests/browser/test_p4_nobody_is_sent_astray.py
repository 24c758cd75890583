"""P4: a redirect URI that is not registered to the letter sends no browser anywhere."""

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from support.browser import Tab
from support.house import House
from support.redirect_uris import ASTRAY, REGISTERED

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def tab(browser: "Browser") -> Iterator[Tab]:
    """One window for all of them."""
    window = Tab(browser)
    yield window
    window.close()


@pytest.mark.parametrize("uri", ASTRAY)
def test_p4_the_front_channel_sends_nobody_there(house: House, tab: Tab, uri: str) -> None:
    """An old client's request with such an address is an error page of ours, and stays one."""
    client = house.legacy
    fields = client.parameters(redirect_uri=uri)
    query = urlencode({"client_id": client.client_id, **fields})
    tab.page.goto(f"{house.service.issuer}/connect/authorize?{query}")
    assert tab.page.inner_text("#error") == "invalid_request"
    assert all(url.startswith(house.service.origin) for url in tab.requested)


def test_p4_the_registered_address_is_good(house: House, tab: Tab) -> None:
    """The address as registered leads to the login, so the others were refused for what they are."""
    client = house.legacy
    query = urlencode({"client_id": client.client_id, **client.parameters(redirect_uri=REGISTERED)})
    tab.page.goto(f"{house.service.issuer}/connect/authorize?{query}")
    assert tab.page.locator("#idp-test").count() == 1


@pytest.mark.parametrize(
    "address", ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)"]
)
def test_p4_no_parameter_names_where_to_go_next(house: House, tab: Tab, address: str) -> None:
    """There is no address to return to among the parameters of the pages of a login."""
    for path in ("login", "login/cancel", "login/callback", "authorize"):
        for name in ("return_url", "returnUrl", "redirect_uri", "next", "continue"):
            tab.page.goto(f"{house.service.issuer}/connect/{path}?{urlencode({name: address})}")
            assert tab.page.locator("#error").count() == 1
    assert all(url.startswith(house.service.origin) for url in tab.requested)
