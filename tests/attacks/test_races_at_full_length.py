"""C3 and D2 at full length: 10,000 rounds of 64 on four processes for each kind, recorded in the ledger."""

import time
from collections.abc import Iterator

import pytest

from support.backstage import Backstage, SwiftEhr
from support.evidence import record, setting
from support.service import Service
from support.storms import STORMS, storm

ROUNDS = setting("RACE_ROUNDS", 10_000)
RUNNERS = setting("RACE_RUNNERS", 64)
WORKERS = 4

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def racer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwiftEhr]:
    """A client of a service with four workers."""
    with Service(tmp_path_factory.mktemp("races"), workers=WORKERS) as running:
        opened = Backstage(running)
        yield opened.client()
        opened.close()


@pytest.mark.parametrize("name", STORMS)
def test_c3_d2_exactly_one_winner_in_every_round(name: str, racer: SwiftEhr):
    """In every round there is one token and a proper refusal for everybody else; the counts are recorded."""
    intake, make = STORMS[name]
    started = time.monotonic()
    counts = storm(racer, make, intake=intake, rounds=ROUNDS, runners=RUNNERS)
    seconds = time.monotonic() - started
    record(
        f"{name}, {RUNNERS} at once, {WORKERS} workers, SQLite",
        seed=None,
        seconds=seconds,
        counts=dict(counts),
    )
    assert counts == {"one winner": ROUNDS, "refused": ROUNDS * (RUNNERS - 1)}
