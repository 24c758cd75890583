"""Which source has seen which key: counted in memory, written once a minute, and never in anybody's way."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tillit_server.signing.sources import KEY, KIND, MAX_KEYS, PERIOD, RECENT, KeySources

PHR, WARD = "nhn:phr", "example:ward"


@pytest.fixture
def counting(records, clock) -> KeySources:
    return KeySources(records, (PHR, WARD), clock)


def test_a_registered_source_is_shown_with_what_it_got_and_when(counting, clock):
    """First and last time of each key, and the last fetch; another worker reads the same."""
    counting.saw(PHR, ["a"], clock())
    clock.pass_(30)
    counting.saw(PHR, ["a", "b"], clock())
    counting.flush()
    (source,) = counting.read().sources
    begun = int(clock()) - 30
    assert (source.name, source.fetched_at) == (PHR, begun + 30)
    assert source.keys == {"a": (begun, begun + 30), "b": (begun + 30, begun + 30)}


def test_two_workers_add_up(counting, records, clock):
    """Whoever writes later keeps what the other wrote, also when they meet at the store."""
    other = KeySources(records, (PHR, WARD), clock)
    counting.saw(PHR, ["a"], clock())
    other.saw(PHR, ["b"], clock())
    other.saw("stranger", ["b"], clock())
    records.before_put = other.flush
    counting.flush()
    seen = counting.read()
    assert set(seen.sources[0].keys) == {"a", "b"}
    assert seen.unknown == 1


def test_it_is_written_at_most_once_a_minute(counting, records, clock):
    """However often the worker ticks; a clock that was set back does not keep it in memory."""
    counting.saw(PHR, ["a"], clock())
    for _ in range(int(PERIOD) - 1):
        clock.pass_(1)
        counting.tick()
    assert (KIND, KEY) not in records.rows
    clock.pass_(1)
    counting.tick()
    assert records.rows[KIND, KEY].version == 1
    counting.saw(PHR, ["a"], clock())
    clock.pass_(-3600)
    counting.tick()
    assert records.rows[KIND, KEY].version == 2


def test_while_the_store_is_away_nothing_is_lost_and_nobody_is_told(counting, records, clock):
    """The count waits for the next minute."""
    records.down = True
    counting.saw(PHR, ["a"], clock())
    counting.saw("stranger", ["a"], clock())
    counting.flush()
    counting.flush()
    records.down = False
    counting.flush()
    assert [source.name for source in counting.read().sources] == [PHR]
    assert counting.read().unknown == 1


@settings(max_examples=25)
@given(name=st.text())
def test_of_a_name_that_is_not_registered_nothing_is_kept(name: str):
    """Whatever somebody writes there, it is one more in a number."""
    kept = KeySources(object(), (PHR,), lambda: 0.0)  # a store that nobody may touch
    kept.saw(name, ["a"], 0.0)
    assert (kept._unknown, kept._seen) == (1, {})


def test_memory_is_bounded(counting, clock):
    """A thousand names and a thousand keys leave one source with the keys it got last."""
    for number in range(1000):
        counting.saw(f"name {number}", ["a"], clock())
        counting.saw(PHR, [f"key-{number}"], clock())
        clock.pass_(1)
    counting.flush()
    (source,) = counting.read().sources
    assert sorted(source.keys) == sorted(f"key-{number}" for number in range(1000 - MAX_KEYS, 1000))


def test_who_lacks_a_key_is_who_came_lately_and_did_not_get_it(counting, clock):
    """A source that is gone for a month is waited for by nobody, and one that never named itself is not known."""
    counting.saw(PHR, ["a"], clock())
    counting.saw(WARD, ["a", "b"], clock())
    counting.flush()
    seen = counting.read()
    assert [source.name for source in seen.lacking("b", clock())] == [PHR]
    assert seen.lacking("a", clock()) == ()
    assert seen.lacking("b", clock() + RECENT) == ()


def test_a_source_that_is_registered_no_longer_is_forgotten(counting, records, clock):
    """An API that was taken out of the configuration is shown to nobody."""
    counting.saw(WARD, ["a"], clock())
    counting.flush()
    fewer = KeySources(records, (PHR,), clock)
    assert fewer.read().sources == ()
