"""C3: of many requests with one assertion in the same instant, on several processes, exactly one wins."""

import pytest

from support.backstage import Backstage, SwiftEhr, eventually
from support.storms import STORMS, storm

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


def slots(backstage: Backstage, ehr: SwiftEhr) -> set[int]:
    """The processes that have refused something to a client."""
    return {entry.slot for entry in backstage.entries("issuer.token.refused", client_id=ehr.client_id)}
