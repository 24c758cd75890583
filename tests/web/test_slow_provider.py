"""A provider that takes its time holds up nobody but those who wait for it."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from support.backstage import SELF_SERVICE
from support.house import House
from support.provider import NAME
from support.rp import authorize_url

STRANGERS = 40
SLOW = 3.0
SOON = 2.0


def statuses(house: House, **arguments: Any) -> set[int]:
    """The answers to as many requests for a login at once as there are strangers; tokens meanwhile."""
    url = authorize_url(house.client, house.client.request_uri(acr_values=f"idp:{NAME}"))

    def open_it(_: int) -> int:
        return requests.get(url, allow_redirects=False, timeout=30, **arguments).status_code

    ehr = house.backstage.client()
    ehr.nonce()
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
