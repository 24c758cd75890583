"""P7 and T2 at full length: 10,000 rounds of 64 on four processes for each kind, recorded in the ledger."""

import time
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from support.backstage import Backstage
from support.evidence import record, setting
from support.redeeming import client, code_form, good, lay, redeem, refresh_form
from support.service import Service
from support.wire import Race
from tillit_server.issuer.families import FAMILY

ROUNDS = setting("RACE_ROUNDS", 10_000)
RUNNERS = setting("RACE_RUNNERS", 64)
WORKERS = 4

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backstage]:
    """The installation of a service with four workers."""
    with Service(tmp_path_factory.mktemp("races"), workers=WORKERS) as running:
        opened = Backstage(running)
        yield opened
        opened.close()


def recorded(what: str, counts: Counter[str], started: float) -> None:
    """Into the ledger."""
    seconds = time.monotonic() - started
    record(f"{what}, {RUNNERS} at once, {WORKERS} workers, SQLite", seed=None, seconds=seconds, counts=counts)


def test_p7_one_code_wins_exactly_once_in_every_round(crowd: Backstage):
    """In every round there is one token and ``invalid_grant`` for everybody else, and the family has ended."""
    ehr = client(crowd)
    counts: Counter[str] = Counter()
    started = time.monotonic()
    with Race(ehr.service, RUNNERS) as race:
        for _ in range(ROUNDS):
            laid = lay(crowd, ehr)
            requests = [(urlencode(code_form(ehr, laid)).encode(), ehr.proof()) for _ in range(RUNNERS)]
            answers = race.run(requests)
            winners = sum(answer.status == 200 for answer in answers)
            counts["one winner" if winners == 1 else f"{winners} winners"] += 1
            counts.update(str(answer.error) for answer in answers if answer.status != 200)
            family = crowd.services.store.records.get(FAMILY, laid.authorized.family)
            counts["ended" if family is not None and family.value["revoked"] else "alive"] += 1
    recorded("P7 same code", counts, started)
    assert counts == {"one winner": ROUNDS, "invalid_grant": ROUNDS * (RUNNERS - 1), "ended": ROUNDS}


@pytest.mark.parametrize("rotate", [False, True], ids=["reusable", "rotating"])
def test_t2_every_round_has_one_head(rotate: bool, crowd: Backstage):
    """In every round all refreshes give the same successor, and the next round begins with that."""
    ehr = client(crowd, rotate_refresh_tokens=rotate)
    head = good(redeem(ehr, lay(crowd, ehr)))["refresh_token"]
    counts: Counter[str] = Counter()
    started = time.monotonic()
    with Race(ehr.service, RUNNERS) as race:
        for number in range(ROUNDS):
            if number % 1000 == 999:  # a login lives for hours, a run may take as long
                head = good(redeem(ehr, lay(crowd, ehr)))["refresh_token"]
            requests = [(urlencode(refresh_form(ehr, head)).encode(), ehr.proof()) for _ in range(RUNNERS)]
            answers = race.run(requests)
            heads = {answer.json["refresh_token"] for answer in answers if answer.status == 200}
            counts["one head" if len(heads) == 1 else f"{len(heads)} heads"] += 1
            counts.update(str(answer.error or "ok") for answer in answers)
            (head,) = heads
    recorded(f"T2 same refresh token, {'rotating' if rotate else 'reusable'}", counts, started)
    assert counts == {"one head": ROUNDS, "ok": ROUNDS * RUNNERS}
