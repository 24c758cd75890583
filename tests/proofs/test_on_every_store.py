"""What must hold on every store, with two hosts and two workers each: the short forms, and the counts of the long ones."""

import pytest

from support.evidence import budget, record, setting
from support.soak import Soak, soak
from support.two_hosts import TwoHosts

WHERE = "2 hosts of 2 workers"
SOAK, SOAK_LONG = 1_500, setting("SOAK_REQUESTS", 1_000_000)
GROWTH_MIB, FILES = 10.0, 4


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
