"""Fixtures of the tests that need a real browser."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from support.browser import ClientDoor, Tab, chromium
from support.house import House, open_house
from support.relying_party import RelyingParty
from support.service import Service

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """One Chromium for all tests of a file; each test has a window, with cookies, of its own.

    Not for longer: as long as Playwright is there, no other test of the process can have an event loop.
    """
    with chromium() as running:
        yield running


@pytest.fixture
def tab(browser: "Browser") -> Iterator[Tab]:
    """A window whose reader wants Norwegian."""
    window = Tab(browser)
    yield window
    window.close()


@pytest.fixture
def door() -> Iterator[ClientDoor]:
    """The client's redirect URI."""
    opened = ClientDoor()
    yield opened
    opened.close()


@pytest.fixture
def client(browser: "Browser", service: Service, door: ClientDoor) -> RelyingParty:
    """The client that development mode is born with, whose users come back to ``door``."""
    party = RelyingParty.development(service)
    party.redirect_uri = door.redirect_uri
    return party


@pytest.fixture(scope="session")
def shared_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A service with two providers, for all tests of a process."""
    with open_house(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture
def house(browser: "Browser", shared_house: House) -> House:
    """The same, only where there is a browser."""
    shared_house.standin.reset()
    return shared_house
