"""The memory that makes a proof good for one request only."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.stand_in import NOW, World
from tillit.verifier import ReplayMemory, ReplayUnavailable

JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


def test_an_id_is_given_to_one_caller():
    """The first claim of an id succeeds, every later one fails until it has expired."""
    memory = ReplayMemory()

    assert memory.claim(JKT, "a", until=NOW + 70, now=NOW)
    assert not memory.claim(JKT, "a", until=NOW + 70, now=NOW)
    assert not memory.claim(JKT, "a", until=NOW + 70, now=NOW + 70)


def test_keys_and_ids_are_told_apart():
    """The same id under another key, and ids that differ in case only, are different; no pair runs into another."""
    memory = ReplayMemory()
    pairs = [(JKT, "a"), (JKT, "A"), ("other", "a"), ("othe", "ra"), (JKT + "a", ""), (JKT, "\ud800")]

    assert [memory.claim(jkt, jti, until=NOW + 70, now=NOW) for jkt, jti in pairs] == [True] * len(pairs)


def test_d2_many_threads_one_winner():
    """Of sixty-four threads that claim one id at once exactly one wins, thirty times over."""
    memory = ReplayMemory()
    barrier = threading.Barrier(64)

    def claim(number):
        wins = 0
        for turn in range(30):
            barrier.wait(30)
            wins += memory.claim(JKT, f"turn-{turn}", until=NOW + 70, now=NOW)
        return wins

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads change places between any two steps
    try:
        with ThreadPoolExecutor(64) as pool:
            assert sum(pool.map(claim, range(64))) == 30
    finally:
        sys.setswitchinterval(before)


def test_memory_is_bounded_by_time():
    """What has expired is forgotten: a steady stream does not grow the memory."""
    memory = ReplayMemory()
    for second in range(1000):
        for number in range(10):
            memory.claim(JKT, f"{second}-{number}", until=NOW + second + 70, now=NOW + second)

    assert len(memory) <= 10 * 90


def test_d9_what_was_forgotten_cannot_come_back():
    """After the clock went on and back, ids whose slot is gone are refused rather than taken as new."""
    memory = ReplayMemory()
    memory.claim(JKT, "a", until=NOW + 70, now=NOW)
    memory.claim(JKT, "b", until=NOW + 570, now=NOW + 500)

    assert not memory.claim(JKT, "a", until=NOW + 70, now=NOW)
    assert not memory.claim(JKT, "never seen", until=NOW + 70, now=NOW)
    assert memory.claim(JKT, "c", until=NOW + 570, now=NOW)


def test_full_memory_fails_closed():
    """When the memory is full it says so; it never pushes out an id that is still good."""
    memory = ReplayMemory(capacity=3)
    for jti in "abc":
        assert memory.claim(JKT, jti, until=NOW + 70, now=NOW)
    with pytest.raises(ReplayUnavailable):
        memory.claim(JKT, "d", until=NOW + 70, now=NOW)

    assert not memory.claim(JKT, "a", until=NOW + 70, now=NOW)
    assert memory.claim(JKT, "d", until=NOW + 170, now=NOW + 100)


def test_d2_after_a_restart_with_a_floor():
    """A memory that starts with a floor takes no proof from before its start."""
    memory = ReplayMemory(floor=NOW + 70)

    assert not memory.claim(JKT, "made before", until=NOW + 69, now=NOW)
    assert memory.claim(JKT, "made after", until=NOW + 71, now=NOW + 1)


def test_a_memory_that_cannot_answer_is_a_503():
    """An unreachable or full replay memory stops everything: replay checks never fail open."""
    world = World(replay=ReplayMemory(capacity=1))
    world.verify()
    refused = world.refusal()

    assert (refused.status, refused.error) == (503, "temporarily_unavailable")
    assert dict(refused.headers)["Retry-After"] == "1"


def test_an_owner_may_bring_a_shared_memory():
    """The memory is a port: two verifiers with one store accept a proof once between them."""

    class Shared:
        def __init__(self):
            self.seen = {}

        def claim(self, jkt, jti, *, until, now):
            new = (jkt, jti) not in self.seen and now <= until
            self.seen[jkt, jti] = until
            return new

    shared = Shared()
    one, two = World(replay=shared), World(replay=shared)
    two.issuer.keys, two.dpop_key = one.issuer.keys, one.dpop_key
    token = one.token()
    proof = one.proof(token)

    assert one.verify(token, proof)
    assert two.refusal(token, proof).error == "invalid_dpop_proof"
    assert next(iter(shared.seen.values())) == NOW + 70
