"""Threat D9: whatever the clock does, a spent id never becomes good again; and forgetting goes on all the same."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.stores import START, Hands, open_store, opening
from tillit_server.storage.forgetting import KEEP
from tillit_server.storage.ports import Claim, Conflict, Settlement
from tillit_server.storage.sqlite_housekeeping import merge

TRUST = 301.0


@pytest.fixture
def steady() -> Hands:
    return Hands(0.0)


@pytest.fixture(params=[True, False], ids=["sealed", "plain"])
def opener(request: pytest.FixtureRequest, tmp_path: Path, clock: Hands) -> Iterator[Callable[..., Any]]:
    """The embedded store: what the others forget, their own tests know."""
    with opening(tmp_path / "store.sqlite", clock=clock, sealed=request.param) as open_one:
        yield open_one


@pytest.fixture
def store(opener: Any, steady: Hands) -> Any:
    return opener(steady=steady)


def pass_time(store: Any, clock: Hands, steady: Hands, seconds: float) -> None:
    """Let time pass on both clocks, with a commit at each end so that the store notices."""
    store.once.claim("time", f"{clock.now} {steady.now}", clock.now)
    clock.now += seconds
    steady.now += seconds
    store.once.claim("time", f"{clock.now} {steady.now}", clock.now)


def rows(store: Any) -> int:
    return store._readers.rows("SELECT count(*) FROM once")[0][0]


def test_d9_clock_set_back_120_seconds(store: Any, clock: Hands, steady: Hands) -> None:
    """A proof spent before the clock went back is spent afterwards, and so it stays."""
    store.once.claim("proof", "p", START + 70)
    pass_time(store, clock, steady, 200)
    clock.now -= 120

    assert not store.once.claim("proof", "p", START + 70)
    assert store.once.claim("proof", "q", clock.now + 70)


def test_d9_clock_ahead_for_an_hour_and_back_again(store: Any, clock: Hands, steady: Hands) -> None:
    """After an hour's error in which ids were forgotten, those of either time are refused, new ones are not."""
    store.once.claim("proof", "before", START + 70)
    clock.now += 3600
    store.once.claim("proof", "during", clock.now + 70)
    pass_time(store, clock, steady, TRUST)
    pass_time(store, clock, steady, 1000)
    assert rows(store) < 6
    clock.now = START + 1

    assert not store.once.claim("proof", "before", START + 70)
    assert not store.once.claim("proof", "during", START + 3670)
    clock.now = START + TRUST + 1000
    assert store.once.claim("proof", "new", clock.now + 70)


def test_d9_a_clock_that_jumps_for_a_moment_makes_nothing_forgotten(
    store: Any, clock: Hands, steady: Hands
) -> None:
    """No row is dropped on the word of a clock that has just disagreed with the steady one."""
    pass_time(store, clock, steady, TRUST)
    store.once.claim("proof", "p", clock.now + 70)
    before = rows(store)
    clock.now += 86_400
    for number in range(10):
        steady.now += 1
        clock.now += 1
        store.once.claim("noise", str(number), clock.now)
    clock.now -= 86_400

    assert rows(store) == before + 10
    assert not store.once.claim("proof", "p", clock.now + 60)
    assert store.once.claim("proof", "q", clock.now + 70)


def test_what_was_forgotten_is_refused_by_every_process(opener: Any, clock: Hands, steady: Hands) -> None:
    """An id whose row is gone cannot be told from a spent one, not even by a store that did not forget it."""
    store = opener(steady=steady)
    store.once.claim("proof", "p", START + 70)
    pass_time(store, clock, steady, TRUST)
    pass_time(store, clock, steady, KEEP + 100)
    other = opener(slot=2)
    clock.now = START

    with pytest.raises(Conflict, match="forgotten"):
        other.settle(Settlement(claims=(Claim("proof", "p", START + 70),)))


def test_expired_ids_and_tickets_are_forgotten(store: Any, clock: Hands, steady: Hands) -> None:
    """In normal time the store does not grow: a day of claims leaves some minutes' worth."""
    pass_time(store, clock, steady, TRUST)
    for number in range(400):
        clock.now += 60
        steady.now += 60
        store.once.claim("proof", str(number), clock.now + 70)
        store.tickets.issue("code", str(number), number, clock.now + 30)

    assert rows(store) < 12
    assert store._readers.rows("SELECT count(*) FROM ticket")[0][0] < 12
    assert len(store._readers.rows("SELECT * FROM pruned")) <= 2


def test_records_whose_time_is_over_are_forgotten(store: Any, clock: Hands, steady: Hands) -> None:
    """Their rows go, a while after their time; those without a time stay, and no version is given twice."""
    versions = [store.records.put("family", f"f{n}", n, until=START + n) for n in range(40)]
    versions.append(store.records.put("family", "f1", 1, until=START + 1))
    store.records.put("client", "ehr", {"v": 1})
    pass_time(store, clock, steady, TRUST)
    pass_time(store, clock, steady, KEEP - TRUST + 20)
    left = [row[0] for row in store._readers.rows("SELECT key FROM record ORDER BY until")]
    assert left == ["ehr", *(f"f{n}" for n in range(20, 40))]
    pass_time(store, clock, steady, KEEP)

    assert store._readers.rows("SELECT kind, key FROM record") == [("client", "ehr")]
    assert store.records.get("client", "ehr").value == {"v": 1}
    assert store.records.put("family", "f1", 2, expect=0) > max(versions)


def test_d9_a_record_outlives_a_clock_that_jumps(store: Any, clock: Hands, steady: Hands) -> None:
    """While the clock is ahead a record is not found; when it is right again, the record is there."""
    pass_time(store, clock, steady, TRUST)
    version = store.records.put("family", "f", 1, until=clock.now + 60)
    clock.now += 86_400
    for number in range(10):
        steady.now += 1
        clock.now += 1
        store.once.claim("noise", str(number), clock.now)
        assert store.records.get("family", "f") is None
    clock.now -= 86_400

    assert store.records.get("family", "f").version == version


def test_forgetting_happens_a_little_at_a_time(store: Any, clock: Hands, steady: Hands) -> None:
    """A large backlog costs no single commit more than a bounded number of rows."""
    claims = [Claim("proof", str(number), START + 1) for number in range(2_000)]
    store.settle(Settlement(claims=claims))
    pass_time(store, clock, steady, TRUST)
    pass_time(store, clock, steady, KEEP)
    left = rows(store)
    steady.now += 1
    clock.now += 1
    store.once.claim("time", "x", clock.now)

    assert 0 < left - rows(store) <= 4_100


def test_an_id_may_be_used_again_when_its_time_is_long_over(store: Any, clock: Hands) -> None:
    """A client that repeats a jti hours later is not refused for it, whether or not the row was dropped."""
    store.once.claim("assertion", "same", START + 70)
    clock.now += KEEP + 71

    assert not store.seen("assertion", "same")
    assert not store.once.claim("assertion", "same", START + 70)
    assert store.once.claim("assertion", "same", clock.now + 70)
    assert not store.once.claim("assertion", "same", clock.now + 70)


instants = st.floats(0, 100_000, allow_nan=False)


@given(st.lists(st.tuples(instants, instants).map(lambda pair: (min(pair), max(pair))), max_size=200))
def test_intervals_only_grow(intervals: list[tuple[float, float]]) -> None:
    """However many intervals are added, each stays covered, they are apart and in order, and few."""
    known: list[tuple[float, float]] = []
    for interval in intervals:
        known = merge(known, [interval])

    assert all(any(low <= a and b <= high for low, high in known) for a, b in intervals)
    assert all(first[1] < second[0] for first, second in itertools.pairwise(known))
    assert len(known) <= 64


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["wait", "jump", "claim"]), st.integers(-4_000, 4_000)), max_size=40)
)
def test_d9_no_walk_of_the_clock_revives_an_id(
    tmp_path_factory: pytest.TempPathFactory, walk: list[tuple[str, int]]
) -> None:
    """Any sequence of waiting, jumping and claiming leaves every id spent that was ever spent."""
    clock, steady = Hands(), Hands(0.0)
    store = open_store(tmp_path_factory.mktemp("walk") / "s", clock=clock, steady=steady, sealed=False)
    spent: list[tuple[str, float]] = []
    for number, (step, amount) in enumerate(walk):
        if step == "wait":
            steady.now += abs(amount)
            clock.now += abs(amount)
        elif step == "jump":
            clock.now += amount
        until = clock.now + 70
        if store.once.claim("proof", str(number), until):
            spent.append((str(number), until))
    for name, until in spent:
        for clock.now in (until - 70, until, START):
            assert not store.once.claim("proof", name, until)
    store.close()
