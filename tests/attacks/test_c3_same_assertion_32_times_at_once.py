"""C3: of many requests with one assertion in the same instant, on several processes, exactly one wins."""

from urllib.parse import urlencode

import pytest

from support.backstage import Backstage
from support.intakes import (
    AT_INTROSPECTION,
    AT_PAR,
    AT_REVOCATION,
    accepted,
    address,
    fields,
    proper_refusal,
)
from support.wire import Race

ROUNDS, RUNNERS = 5, 32


@pytest.mark.parametrize("intake", [AT_PAR, AT_INTROSPECTION, AT_REVOCATION])
def test_c3_one_assertion_32_times_at_once_wins_exactly_once_at_every_endpoint(
    intake: str, backstage: Backstage
):
    """At every other endpoint that authenticates clients there is one winner a round, and 31 refusals."""
    ehr = backstage.client()
    path = address(intake, ehr).removeprefix(ehr.service.issuer)
    with Race(ehr.service, RUNNERS, path) as race:
        for _ in range(ROUNDS):
            body = urlencode(fields(intake, ehr, ehr.assertion())).encode()
            answers = race.run([(body, None)] * RUNNERS)
            assert sum(map(accepted, answers)) == 1
            losers = [answer for answer in answers if not accepted(answer)]
            assert len(losers) == RUNNERS - 1
            assert {proper_refusal(intake, answer) for answer in losers} == {None}
