"""C3: of many requests with one assertion in the same instant, on several processes, exactly one wins."""

from urllib.parse import urlencode

import pytest

from support.backstage import Backstage, SwiftEhr, eventually
from support.intakes import (
    AT_INTROSPECTION,
    AT_PAR,
    AT_REVOCATION,
    accepted,
    address,
    fields,
    proper_refusal,
)
from support.storms import STORMS, storm
from support.wire import Race

ROUNDS, RUNNERS = 20, 32


@pytest.mark.parametrize("name", [name for name in STORMS if name.startswith("C3")])
def test_c3_one_assertion_32_times_at_once_wins_exactly_once(name: str, backstage: Backstage):
    """In 20 rounds of 32 requests over two processes there is one token a round, and 31 proper refusals."""
    ehr = backstage.client()
    intake, make = STORMS[name]
    counts = storm(ehr, make, intake=intake, rounds=ROUNDS, runners=RUNNERS)
    assert counts == {"one winner": ROUNDS, "refused": ROUNDS * (RUNNERS - 1)}
    assert len(backstage.entries("issuer.token.issued", client_id=ehr.client_id)) == ROUNDS
    refused = eventually(lambda: len(slots(backstage, ehr)) == ehr.service.workers and slots(backstage, ehr))
    assert refused, "only one process took part"


@pytest.mark.parametrize("intake", [AT_PAR, AT_INTROSPECTION, AT_REVOCATION])
def test_c3_one_assertion_32_times_at_once_wins_exactly_once_at_every_endpoint(
    intake: str, backstage: Backstage
):
    """At every other endpoint that authenticates clients there is one winner a round, and 31 refusals."""
    ehr = backstage.client()
    path = address(intake, ehr).removeprefix(ehr.service.issuer)
    with Race(ehr.service, RUNNERS, path) as race:
        for _ in range(ROUNDS // 4):
            body = urlencode(fields(intake, ehr, ehr.assertion())).encode()
            answers = race.run([(body, None)] * RUNNERS)
            assert sum(map(accepted, answers)) == 1
            losers = [answer for answer in answers if not accepted(answer)]
            assert len(losers) == RUNNERS - 1
            assert {proper_refusal(intake, answer) for answer in losers} == {None}


def slots(backstage: Backstage, ehr: SwiftEhr) -> set[int]:
    """The processes that have refused something to a client."""
    return {entry.slot for entry in backstage.entries("issuer.token.refused", client_id=ehr.client_id)}
