"""What must hold on every store, with two hosts and two workers each: the short forms, and the counts of the long ones."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from support.evidence import budget, record, setting
from support.kills import any_of, kill_again_and_again
from support.soak import Soak, soak
from support.storms import STORMS, Field, due
from support.two_hosts import SERVERS, SQLITE, TwoHosts

WHERE = "2 hosts of 2 workers"
SOAK, SOAK_LONG = 500, setting("SOAK_REQUESTS", 1_000_000)
GROWTH_MIB, FILES = 10.0, 4
ROUNDS, ROUNDS_LONG, RUNNERS = 3, setting("RACE_ROUNDS", 10_000), 64
KILLS_LONG = setting("KILLS", 500)
KILLS = {
    SQLITE: ("one worker", "all workers"),
    SERVERS: ("one worker", "Redis", "PostgreSQL", "workers, Redis and PostgreSQL"),
}


@dataclass
class Rounds:
    """The numbers of so many rounds, or of as many as there is time for; ``done`` says how many there were."""

    asked: int
    seconds: float
    done: int = 0

    def __iter__(self) -> Iterator[int]:
        end = time.monotonic() + self.seconds
        while self.done < self.asked and time.monotonic() < end:
            yield self.done
            self.done += 1


def judge_soak(hosts: TwoHosts, run: Soak) -> None:
    """Every answer was right, each token has its entry in the audit, and nothing but the store has grown."""
    assert set(run.found) == {"good", "hostile"}, run.found
    assert hosts.issued(run.client_ids) == run.found["good"]
    assert hosts.audit_is_intact()
    assert run.growth[1] <= FILES


def test_x3_requests_good_and_hostile_leave_nothing_behind(hosts: TwoHosts):
    """Requests by the hundred, one in ten hostile: no answer is wrong, no connection breaks, no file stays open."""
    run = soak(hosts, SOAK, senders=1)
    assert run.found.total() == SOAK
    judge_soak(hosts, run)


@pytest.mark.long
def test_x3_a_million_requests_leave_nothing_behind(hosts: TwoHosts):
    """The same with a million; from 200,000 on no worker grows by 10 MiB."""
    run = soak(hosts, SOAK_LONG, senders=2, seconds=budget())
    counts = {**run.counts(), "tokens in the audit": hosts.issued(run.client_ids)}
    record(
        f"G1 soak, one in ten hostile, {WHERE}, {hosts.store}", seed=None, seconds=run.seconds, counts=counts
    )
    judge_soak(hosts, run)
    assert run.growth[0] < GROWTH_MIB


@pytest.mark.parametrize("name", STORMS)
def test_c3_d2_p7_t2_exactly_one_of_64_at_once_wins(name: str, hosts: TwoHosts):
    """In every round over four processes of two hosts there is one winner, or one successor, and nothing else."""
    counts = STORMS[name](Field(hosts.backstage, hosts.hosts, RUNNERS), range(ROUNDS))
    assert counts == due(name, ROUNDS, RUNNERS)


@pytest.mark.long
@pytest.mark.parametrize("name", STORMS)
def test_c3_d2_p7_t2_exactly_one_of_64_wins_ten_thousand_times(name: str, hosts: TwoHosts):
    """The same for ten thousand rounds of each kind."""
    begun, rounds = time.monotonic(), Rounds(ROUNDS_LONG, budget())
    field = Field(hosts.backstage, hosts.hosts, RUNNERS)
    counts = STORMS[name](field, rounds)
    seconds, spans = time.monotonic() - begun, sorted(field.spans)
    ms = [round(1000 * spans[len(spans) // 2], 1), round(1000 * spans[-1], 1)]
    reached = {"rounds": rounds.done, "at once": RUNNERS, "ms from first to last start": ms, **counts}
    record(f"G2 {name}, {WHERE}, {hosts.store}", seed=None, seconds=seconds, counts=reached)
    assert counts == due(name, rounds.done, RUNNERS)


def test_s8_t3_u4_whatever_is_killed_nothing_acknowledged_is_lost(hosts: TwoHosts):
    """After kill -9 of workers, hosts and servers under load, clients, audit and store agree, and what was revoked stays so."""
    run = kill_again_and_again(hosts, KILLS[hosts.store], seed=8)
    assert tuple(run.returns) == KILLS[hosts.store]
    run.judge()


@pytest.mark.long
def test_s8_t3_u4_five_hundred_kills(hosts: TwoHosts):
    """The same five hundred times."""
    seed, begun = random.SystemRandom().randrange(2**32), time.monotonic()
    run = kill_again_and_again(hosts, any_of(hosts, KILLS_LONG, seed), seed=seed, seconds=budget())
    run.judge()
    seconds = time.monotonic() - begun
    record(f"G4 kill -9 under load, {WHERE}, {hosts.store}", seed=seed, seconds=seconds, counts=run.counts())
