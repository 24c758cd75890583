"""Threat S3: the link between Redis servers is cut and the replica is promoted."""

import time
from pathlib import Path

import pytest

from support.redis_failover import failover_with_cut_link, proof, settled, watched_pair
from support.redis_stores import HalvedStore
from support.stores import Halves, Hands
from tillit_server.storage.spending import AHEAD


@pytest.mark.parametrize("seed", range(3))
def test_s3_nothing_is_accepted_on_both_sides_of_a_cut(seed: int, tmp_path: Path) -> None:
    """Every id that was accepted before, or on the wrong side, is refused by the new master; new ones pass."""
    found = failover_with_cut_link(tmp_path, seed)
    assert found.twice == 0
    assert found.accepted > 0
    assert found.afterwards == 5


def test_s3_sentinel_moves_the_house(tmp_path: Path) -> None:
    """A master is killed: by itself the service goes on with its replica, and refuses what was spent before."""
    clock = Hands()
    with watched_pair() as watched:
        store = HalvedStore(Halves(watched.url, tmp_path / "s.sqlite"), clock=clock)
        before = [proof(str(number), clock.now) for number in range(20)]
        assert [settled(store, claim) for claim in before] == [True] * 20
        watched.servers[0].kill()
        clock.now += AHEAD + 5
        end, outcome = time.monotonic() + 60, None
        while outcome is None and time.monotonic() < end:
            outcome = settled(store, before[0])
            time.sleep(0.05)
        assert outcome is False
        assert [settled(store, claim) for claim in before] == [False] * 20
        clock.now += AHEAD + 1
        assert settled(store, proof("new", clock.now))
        store.close()


@pytest.mark.long
def test_s3_a_hundred_failovers(tmp_path: Path) -> None:
    """Figure G6 in its full count: none accepted twice."""
    from support.evidence import record, setting

    rounds, begin = setting("FAILOVERS", 100), time.monotonic()
    found = [failover_with_cut_link(tmp_path, seed) for seed in range(rounds)]
    counts = {
        "failovers": rounds,
        "accepted": sum(each.accepted for each in found),
        "unavailable": sum(each.unavailable for each in found),
        "accepted_twice": sum(each.twice for each in found),
    }
    assert counts["accepted_twice"] == 0
    assert all(each.accepted and each.afterwards == 5 for each in found)
    record("G6 Redis failovers with a cut link", seed=None, seconds=time.monotonic() - begin, counts=counts)
