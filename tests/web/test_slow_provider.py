"""A provider that takes its time holds up nobody but those who wait for it."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from support.backstage import SELF_SERVICE
from support.house import House
from support.provider import NAME, callback
from support.relying_party import authorize_url
from support.visitor import Page, Returned, Visitor

STRANGERS = 40
SLOW = 5.0
SOON = 4.0


def statuses(house: House, **arguments: Any) -> set[int]:
    """The answers to as many requests for a login at once as there are strangers; tokens meanwhile."""
    url = authorize_url(house.client, house.client.request_uri(acr_values=f"idp:{NAME}"))

    def open_it(_: int) -> int:
        return requests.get(url, allow_redirects=False, timeout=30, **arguments).status_code

    ehr = house.backstage.client()
    ehr.nonce()
    open_it(0)  # a worker loads what logins need with the first of them
    house.standin.pause = SLOW
    with ThreadPoolExecutor(STRANGERS) as crowd:
        answers = crowd.map(open_it, range(STRANGERS))
        time.sleep(0.7)
        for _ in range(3):
            form, proof = ehr.form(ehr.assertion(), scope=SELF_SERVICE), ehr.proof()
            begun = time.monotonic()
            assert ehr.send(form, proof).status == 200
            assert time.monotonic() - begun < SOON
        return set(answers)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "x"}])
def test_x4_strangers_at_a_slow_provider_do_not_hold_up_tokens(house: House, headers: dict[str, str]) -> None:
    """Whatever they add to their requests, tokens are given as if they were not there."""
    assert statuses(house, headers=headers) <= {303, 503}


def granted(house: House) -> list[Any]:
    """The codes that the client of the house was granted."""
    return list(house.backstage.entries("issuer.authorization.granted", client_id=house.client.client_id))


def test_x4_a_provider_that_drips_its_answer_is_away(house: House) -> None:
    """Everything asked of it in one request has less time than a silent connection; then comes the page."""
    visitor = Visitor(house.service)
    begun_at = visitor.open(authorize_url(house.client, house.client.request_uri(acr_values=f"idp:{NAME}")))
    assert isinstance(begun_at, Returned)
    house.standin.drip, before = 2.0, len(granted(house))
    begun = time.monotonic()
    page = visitor.open(callback(house.service, code="c", state=house.standin.pushed[-1]["state"]))
    assert time.monotonic() - begun < 8
    assert isinstance(page, Page)
    assert (page.status, page.error) == (503, "temporarily_unavailable")
    assert len(granted(house)) == before
    # Another login, with the provider as it should be, goes on from the same page.
    house.standin.drip = 0.0
    assert isinstance(visitor.follow(page, "again"), Returned)
    back = visitor.open(callback(house.service, code="d", state=house.standin.pushed[-1]["state"]))
    assert isinstance(back, Returned)
    assert back.code
