"""A login survives what people do with browsers, and belongs to one browser only."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from support.provider import NAME, callback
from support.relying_party import authorize_url
from support.visitor import ANAESTHETIST, Page, Returned, Visitor


def choice(house: Any, visitor: Visitor, **fields: Any) -> Page:
    """The page to choose a provider on, with a login under way."""
    page = visitor.open(authorize_url(house.client, house.client.request_uri(**fields)))
    assert isinstance(page, Page)
    assert page.status == 200
    return page


def at_test_provider(house: Any, visitor: Visitor, **fields: Any) -> Page:
    """The test provider's page."""
    page = visitor.follow(choice(house, visitor, **fields), "idp-test")
    assert isinstance(page, Page)
    return page


def chosen(visitor: Visitor, page: Page) -> Page | Returned:
    """Choose the anaesthetist."""
    return visitor.submit(page, "people", person=ANAESTHETIST)


def test_several_providers_are_offered(house: Any) -> None:
    """Every provider has a link with its title; following one leads there."""
    visitor = Visitor(house.service)
    page = choice(house, visitor)
    assert {f"idp-{NAME}", "idp-test", "cancel"} <= set(page.links)
    assert page.texts[f"idp-{NAME}"] == "Stand-in"
    away = visitor.follow(page, f"idp-{NAME}")
    assert isinstance(away, Returned)
    assert away.location.startswith(house.standin.issuer)


def test_a_provider_that_nobody_knows_is_no_provider(house: Any) -> None:
    """acr_values that names an unknown provider leaves the choice to the person."""
    assert "idp-test" in choice(house, Visitor(house.service), acr_values="idp:nobody").links


def test_cancel_on_the_page_of_providers(house: Any) -> None:
    """The client hears access_denied, with its state and our name."""
    visitor = Visitor(house.service)
    returned = visitor.follow(choice(house, visitor, state="s1"), "cancel")
    assert isinstance(returned, Returned)
    assert returned.parameters | {"error_description": ""} == {
        "error": "access_denied",
        "error_description": "",
        "state": "s1",
        "iss": house.service.issuer,
    }


def test_cancel_at_the_provider(house: Any) -> None:
    """The same when the person leaves at the provider."""
    visitor = Visitor(house.service)
    returned = visitor.submit(at_test_provider(house, visitor, state="s2"), "leave", cancel="yes")
    assert isinstance(returned, Returned)
    assert returned.error == "access_denied"
    assert returned.parameters["state"] == "s2"


def test_reload_before_the_choice(house: Any) -> None:
    """The authorization endpoint may be opened again as long as no login is complete."""
    visitor = Visitor(house.service)
    url = authorize_url(house.client, house.client.request_uri())
    assert isinstance(visitor.open(url), Page)
    page = visitor.open(url)
    assert isinstance(page, Page)
    page = visitor.follow(page, "idp-test")
    assert isinstance(page, Page)
    assert isinstance(chosen(visitor, page), Returned)
    again = visitor.open(url)
    assert isinstance(again, Page)
    assert again.status == 400


def test_back_and_choose_another_provider(house: Any) -> None:
    """Who goes back from one provider may choose another."""
    visitor = Visitor(house.service)
    page = choice(house, visitor)
    assert isinstance(visitor.follow(page, f"idp-{NAME}"), Returned)
    page_of_test = visitor.follow(page, "idp-test")
    assert isinstance(page_of_test, Page)
    returned = chosen(visitor, page_of_test)
    assert isinstance(returned, Returned)
    assert returned.code


def test_two_tabs(house: Any) -> None:
    """Two logins under way in one browser end each in its own answer, in any order."""
    visitor = Visitor(house.service)
    first, second = at_test_provider(house, visitor, state="a"), at_test_provider(house, visitor, state="b")
    late, early = chosen(visitor, second), chosen(visitor, first)
    assert isinstance(late, Returned)
    assert isinstance(early, Returned)
    assert (early.parameters["state"], late.parameters["state"]) == ("a", "b")
    assert early.code != late.code


def test_the_callback_serves_once(house: Any) -> None:
    """A reload of the callback after the end is a page of ours, and no second code."""
    visitor = Visitor(house.service)
    chosen(visitor, at_test_provider(house, visitor))
    address = next(answer.url for answer in reversed(visitor.seen) if "/login/callback" in answer.url)
    again = visitor.open(address)
    assert isinstance(again, Page)
    assert again.status == 400
    assert again.error == "invalid_request"


def test_nothing_is_remembered_of_a_login_that_has_ended(house: Any) -> None:
    """Verifier, nonce and reference are dropped with the answer to the client."""
    visitor = Visitor(house.service)
    visitor.follow(choice(house, visitor), f"idp-{NAME}")
    state = house.standin.pushed[-1]["state"]
    tickets = house.backstage.services.store.tickets
    key = f"_state_{NAME}_{state}"
    assert tickets.peek("upstream_state", key) is not None
    assert isinstance(visitor.open(callback(house.service, code="c", state=state)), Returned)
    left = tickets.peek("upstream_state", key)
    assert left is None or (left.redeemed and left.value is None)


def test_another_browser_gets_nothing(house: Any) -> None:
    """A callback, a page of providers and a way to cancel are worth nothing in another browser; ours goes on."""
    visitor, thief = Visitor(house.service), Visitor(house.service)
    thief.open(authorize_url(house.client, house.client.request_uri()))
    page = choice(house, visitor)
    visitor.follow(page, f"idp-{NAME}")
    address = callback(house.service, code="c", state=house.standin.pushed[-1]["state"])
    for somebody in (thief, Visitor(house.service)):
        for url in (address, *(house.service.origin + page.links[link] for link in ("cancel", "idp-test"))):
            refused = somebody.open(url)
            assert isinstance(refused, Page), url
            assert refused.status == 400
            assert refused.error == "invalid_request"
    assert house.standin.redeemed == []
    returned = visitor.open(address)
    assert isinstance(returned, Returned)
    assert returned.code


def test_an_unknown_state(house: Any) -> None:
    """An answer that belongs to no login of ours is a page of ours."""
    for state in ("", "x", f"{NAME}.", f"{NAME}.{'A' * 43}", "test.x", "nobody.x"):
        page = Visitor(house.service).open(callback(house.service, code="c", state=state))
        assert isinstance(page, Page)
        assert (page.status, page.error) == (400, "invalid_request")


def test_a_form_may_open_the_authorization_endpoint(house: Any) -> None:
    """POST to the authorization endpoint goes on by GET, so that the cookies of the browser come along."""
    visitor = Visitor(house.service)
    uri = house.client.request_uri(acr_values="idp:test")
    answer = visitor._send(
        "POST",
        house.service.issuer + "/connect/authorize",
        data={"client_id": house.client.client_id, "request_uri": uri},
    )
    assert answer.status_code == 303
    page = visitor.open(house.service.origin + answer.headers["Location"])
    assert isinstance(page, Page)
    assert "test-mark" in page.texts


def test_one_login_serves_the_next_request(house: Any) -> None:
    """Who is logged in comes back at once; prompt=none says login_required to who is not."""
    visitor = Visitor(house.service)
    chosen(visitor, at_test_provider(house, visitor))
    url = authorize_url(house.client, house.client.request_uri(prompt="none"))
    returned = visitor.open(url)
    assert isinstance(returned, Returned)
    assert returned.code
    stranger = Visitor(house.service).open(
        authorize_url(house.client, house.client.request_uri(prompt="none"))
    )
    assert isinstance(stranger, Returned)
    assert stranger.error == "login_required"


def test_the_provider_that_a_client_names_is_not_the_browsers_to_choose(house: Any) -> None:
    """Another provider in the address of the page changes nothing."""
    visitor = Visitor(house.service)
    away = visitor.open(authorize_url(house.client, house.client.request_uri(acr_values=f"idp:{NAME}")))
    assert isinstance(away, Returned)
    interaction = next(iter(visitor_interactions(house)))
    again = visitor.open(f"{house.service.issuer}/connect/login?interaction={interaction}&idp=test")
    assert isinstance(again, Returned)
    assert again.location.startswith(house.standin.issuer)


def visitor_interactions(house: Any) -> list[str]:
    """The newest login under way at the stand-in, as the store has it."""
    state = house.standin.pushed[-1]["state"]
    ticket = house.backstage.services.store.tickets.peek("upstream_state", f"_state_{NAME}_{state}")
    return [json.loads(ticket.value)["data"]["interaction"]]


def test_p10_a_form_too_long_for_an_address(house: Any) -> None:
    """A page says so, nothing has begun, and a login under way in the same browser goes on."""
    visitor = Visitor(house.service)
    page = at_test_provider(house, visitor)
    uri = house.client.request_uri(acr_values="idp:test")
    form = {"client_id": house.client.client_id, "request_uri": uri}
    answer = requests.post(  # as from another site: without cookies
        house.service.issuer + "/connect/authorize", data={**form, "more": "x" * 5000}, timeout=10
    )
    assert answer.status_code == 413
    assert 'id="error">invalid_request' in answer.text
    assert "Set-Cookie" not in answer.headers
    assert isinstance(chosen(visitor, page), Returned)
    assert Visitor(house.service).log_in(authorize_url(house.client, uri)).code


def test_p1_looking_at_the_headers_spends_nothing(house: Any) -> None:
    """HEAD is not a method of the pages of a login: no code is given, and the request is good afterwards."""
    visitor = Visitor(house.service)
    chosen(visitor, at_test_provider(house, visitor))
    url = authorize_url(house.client, house.client.request_uri())
    for address, methods in (
        (url, {"GET", "POST"}),
        (house.service.issuer + "/connect/login?interaction=x", {"GET"}),
        (house.service.issuer + "/connect/login/cancel?interaction=x", {"GET"}),
        (callback(house.service, code="c", state="s"), {"GET"}),
        (house.service.issuer + "/connect/endsession", {"GET", "POST"}),
    ):
        answer = visitor._send("HEAD", address)
        assert answer.status_code == 405, address
        assert set(answer.headers["Allow"].split(", ")) == methods
    returned = visitor.open(url)
    assert isinstance(returned, Returned)
    assert returned.code


def test_p7_one_callback_16_times_at_once(house: Any) -> None:
    """However often the provider's answer comes in at the same moment, its code is redeemed once, and there is ours."""
    for _ in range(5):
        visitor = Visitor(house.service)
        visitor.follow(choice(house, visitor), f"idp-{NAME}")
        house.standin.redeemed.clear()
        house.standin.pause = 0.3
        address = callback(house.service, code="c", state=house.standin.pushed[-1]["state"])
        cookies = visitor.session.cookies.get_dict()

        def come_back(_: int, address: str = address, cookies: dict[str, str] = cookies) -> Page | Returned:
            twin = Visitor(house.service)
            twin.session.cookies.update(cookies)
            return twin.open(address)

        with ThreadPoolExecutor(16) as crowd:
            answers = list(crowd.map(come_back, range(16)))
        codes = [answer for answer in answers if isinstance(answer, Returned)]
        assert len(codes) == 1
        assert codes[0].code
        assert len(house.standin.redeemed) == 1
        pages = [answer for answer in answers if isinstance(answer, Page)]
        assert {page.status for page in pages} == {400}
