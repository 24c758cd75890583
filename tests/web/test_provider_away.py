"""An identity provider that does not answer costs a person a moment, and nothing else."""

from typing import Any

import pytest

from support.provider import NAME, callback
from support.relying_party import authorize_url
from support.visitor import Page, Returned, Visitor


def begin(house: Any, visitor: Visitor) -> Page | Returned:
    """Ask for a login at the stand-in."""
    return visitor.open(
        authorize_url(house.client, house.client.request_uri(acr_values=f"idp:{NAME}", state="s"))
    )


def is_away(page: Page | Returned) -> Page:
    """The page that says so."""
    assert isinstance(page, Page), page
    assert page.status == 503
    assert page.error == "temporarily_unavailable"
    assert page.headers["Retry-After"]
    return page


@pytest.mark.parametrize("failure", [{"away": True}, {"status": 500}, {"status": 200}, {"status": 302}])
def test_away_when_the_login_begins(house: Any, failure: dict[str, Any]) -> None:
    """The page offers to try again, and that goes on with the same login."""
    visitor = Visitor(house.service)
    for name, value in failure.items():
        setattr(house.standin, name, value)
    page = is_away(begin(house, visitor))
    again = is_away(visitor.follow(page, "again"))
    house.standin.reset()
    assert isinstance(visitor.follow(again, "again"), Returned)
    state = house.standin.pushed[-1]["state"]
    returned = visitor.open(callback(house.service, code="c", state=state))
    assert isinstance(returned, Returned)
    assert returned.code
    assert returned.parameters["state"] == "s"


@pytest.mark.parametrize("failure", [{"away": True}, {"status": 500}])
def test_away_when_the_code_is_redeemed(house: Any, failure: dict[str, Any]) -> None:
    """Nothing is consumed: a reload of the same address completes the login."""
    visitor = Visitor(house.service)
    begin(house, visitor)
    address = callback(house.service, code="c", state=house.standin.pushed[-1]["state"])
    for name, value in failure.items():
        setattr(house.standin, name, value)
    for _ in range(2):
        is_away(visitor.open(address))
    house.standin.away, house.standin.status = False, None
    returned = visitor.open(address)
    assert isinstance(returned, Returned)
    assert returned.code


def test_leaving_while_the_provider_is_away(house: Any) -> None:
    """Who does not want to wait goes back to the client with access_denied."""
    visitor = Visitor(house.service)
    house.standin.away = True
    returned = visitor.follow(is_away(begin(house, visitor)), "cancel")
    assert isinstance(returned, Returned)
    assert returned.error == "access_denied"
    assert returned.parameters["state"] == "s"
    assert returned.parameters["iss"] == house.service.issuer


def test_a_page_of_503_holds_nothing_of_the_provider(house: Any) -> None:
    """What the provider or the network said stays in the log."""
    house.standin.away = True
    page = is_away(begin(house, Visitor(house.service)))
    assert str(house.standin.issuer) not in page.html
    assert page.texts["error-id"] in house.service.log()
