"""A login as in production: https, cookies that no other host can set, and a browser told to stay with it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.browser import ClientDoor, Tab
from support.relying_party import RelyingParty, authorize_url
from support.service import Service
from support.tls import Terminator, make_certificate

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def behind_tls(browser: "Browser", tmp_path: Path) -> Iterator[Service]:
    """A service that is known by an https address."""
    service = Service(tmp_path / "data", workers=1)
    with Terminator(make_certificate(tmp_path), service.port) as tls:
        service.issuer = f"https://localhost:{tls.port}"
        service.arguments = ["--issuer", service.issuer]
        with service:
            yield service


def test_p10_cookies_of_an_https_issuer(behind_tls: Service, browser: "Browser", door: ClientDoor) -> None:
    """The browser takes both cookies with their prefix, sends them back, and the login is complete."""
    tab = Tab(browser, ignore_https_errors=True)
    client = RelyingParty.development(behind_tls)
    client.redirect_uri = door.redirect_uri
    tab.page.goto(authorize_url(client, client.request_uri()))
    brought = door.next(lambda: tab.page.click("#person-222209991"))
    assert brought["code"]
    assert brought["iss"] == behind_tls.issuer
    cookies = tab.cookies()
    assert set(cookies) == {"__Host-tillit-login", "__Host-tillit-session"}
    assert all(
        cookie["secure"] and cookie["httpOnly"] and cookie["path"] == "/" for cookie in cookies.values()
    )
    again = door.next(lambda: tab.page.goto(authorize_url(client, client.request_uri(prompt="none"))))
    assert again["code"]
    ours = [
        answer for answer in tab.answers if answer.url.startswith(behind_tls.issuer + "/connect/authorize")
    ]
    assert ours
    assert all("max-age=31536000" in answer.headers["strict-transport-security"] for answer in ours)
    assert tab.complaints == []
    tab.close()
