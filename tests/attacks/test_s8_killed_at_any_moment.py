"""S8: every writer is killed again and again under load; client, audit and store still tell the same story."""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.backstage import Backstage, SwiftEhr, eventually
from support.evidence import record, setting
from support.load import Ledger, again, load, reconcile
from support.processes import listeners
from support.service import Service

KILLS = 5
KILLS_LONG = setting("KILLS", 500)
CLIENTS = 4
BROKEN = 0
RETURN_SECONDS = 20.0


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Service]:
    """A service to be killed."""
    with Service(tmp_path / "victim") as running:
        yield running


def kill_again_and_again(
    service: Service, ehr: SwiftEhr, *, kills: int, seed: int
) -> tuple[Ledger, list[float]]:
    """Kill every worker at random moments under load; every tenth time the supervisor too, which is restarted.

    Gives the ledger, and for each kill the seconds until the first token after it.
    """
    moments = random.Random(seed)
    returns = []
    with load(ehr, clients=CLIENTS) as ledger:
        for number in range(1, kills + 1):
            before = len(ledger.told)
            assert eventually(lambda before=before: ledger.since(0)[before:] and ledger.counts[200])
            over = time.monotonic() + moments.uniform(0, 0.2)
            assert eventually(lambda over=over: time.monotonic() > over)
            killed = time.monotonic()
            if number % 10:
                for pid in service.worker_pids():
                    os.kill(pid, signal.SIGKILL)
            else:
                service.kill()
                service.start()
            assert eventually(lambda killed=killed: first_token(ledger, killed), seconds=RETURN_SECONDS)
            returns.append(first_token(ledger, killed) - killed)
            assert eventually(lambda: listeners(service.port) == service.workers, seconds=RETURN_SECONDS)
    return ledger, returns


def first_token(ledger: Ledger, instant: float) -> float:
    """When the first token came that was asked for after an instant; 0 when none has."""
    return next((told.ended for told in ledger.told if told.began > instant and told.status == 200), 0.0)


def assert_nothing_lost(service: Service, ehr: SwiftEhr, ledger: Ledger, behind: Backstage) -> dict[str, int]:
    """What was acknowledged is spent and in the audit; what was not is whole or nothing, and can be asked once."""
    assert set(ledger.counts) <= {200, BROKEN, 503}, ledger.counts
    problems = reconcile(ledger, behind, ehr.client_id)
    assert not any(problems.values()), problems
    acknowledged = [told for told in ledger.told if told.status == 200][-10:]
    assert [again(ehr, told) for told in acknowledged] == [401] * len(acknowledged)
    for told in [told for told in ledger.told if told.status == BROKEN][-10:]:
        was_spent = behind.services.store.seen("assertion", f"{ehr.client_id} {told.assertion_jti}")
        status = again(ehr, told)
        assert status == 401 if was_spent else status in {200, 401}  # refused too when it is too old by now
        assert again(ehr, told) == 401
    problems = reconcile(ledger, behind, ehr.client_id)
    assert not any(problems.values()), problems
    assert service.cli("audit", "verify", "--data", str(service.data)).stdout.startswith("intact")
    return problems


def test_s8_five_kills_of_everybody(victim: Service):
    """After kill -9 of all workers, five times under load: nothing acknowledged is lost, nothing is accepted twice."""
    behind = Backstage(victim)
    ehr = behind.client()
    ledger, returns = kill_again_and_again(victim, ehr, kills=KILLS, seed=8)
    assert len(returns) == KILLS
    assert_nothing_lost(victim, ehr, ledger, behind)
    behind.close()


@pytest.mark.long
def test_s8_five_hundred_kills_of_everybody(victim: Service):
    """The same, five hundred times, fifty of them with the supervisor; the counts are recorded."""
    seed, begun = random.SystemRandom().randrange(2**32), time.monotonic()
    behind = Backstage(victim)
    ehr = behind.client()
    ledger, returns = kill_again_and_again(victim, ehr, kills=KILLS_LONG, seed=seed)
    problems = assert_nothing_lost(victim, ehr, ledger, behind)
    behind.close()
    returns.sort()
    answers = {str(status or "broken"): times for status, times in ledger.counts.items()}
    record(
        "S8 kill -9 of all writers under load, 2 workers, SQLite",
        seed=seed,
        seconds=time.monotonic() - begun,
        counts={
            "kills": len(returns),
            **answers,
            **problems,
            "median ms to the first token": round(1000 * returns[len(returns) // 2]),
            "longest ms to the first token": round(1000 * returns[-1]),
        },
    )
