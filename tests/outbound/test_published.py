"""A document of somebody else's: fetched by one, used by all, kept when the other party is away."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tillit.outbound import Fetched, Published, Unavailable


class _Publisher:
    """Gives numbered documents, or fails."""

    def __init__(self):
        self.now = 1000.0
        self.fetched = 0
        self.failing = False

    def __call__(self):
        self.fetched += 1
        if self.failing:
            raise OSError("away")
        return Fetched(self.fetched, 60.0)


@pytest.fixture
def publisher():
    """Somebody who publishes."""
    return _Publisher()


@pytest.fixture
def published(publisher):
    """Their document, as we hold it."""
    return Published(publisher, clock=lambda: publisher.now, max_stale=600, retry_after=10)


def test_nothing_is_fetched_before_it_is_needed(publisher, published):
    """Making the holder asks nobody; waiting for a fetch that is not under way neither."""
    published.settle()

    assert publisher.fetched == 0


def test_a_fresh_copy_is_given_at_once(publisher, published):
    """Within its freshness a copy is given without asking; at its end a new one is fetched."""
    seen = []
    for publisher.now in (1000, 1030, 1059.9, 1060):
        seen.append(published.get())

    assert seen == [1, 1, 1, 2]


def test_without_any_copy_a_failure_is_told(publisher, published):
    """When nothing was ever fetched, the failure comes with the time after which to ask again."""
    publisher.failing = True
    with pytest.raises(Unavailable) as caught:
        published.get()

    assert caught.value.retry_after == 10
    assert "away" in str(caught.value)
    with pytest.raises(Unavailable):
        published.get()
    assert publisher.fetched == 1


def test_a_stale_copy_serves_while_the_publisher_is_away(publisher, published):
    """The last good copy serves for max_stale seconds since it was fetched, and no longer."""
    published.get()
    publisher.failing = True
    publisher.now = 1600
    assert published.get() == 1
    publisher.now = 1600.1
    with pytest.raises(Unavailable):
        published.get()


def test_refresh_fetches_whatever_the_age(publisher, published):
    """A refresh is made also while the copy is fresh, but not right after a failure."""
    published.get()
    published.refresh()
    assert published.get() == 2

    publisher.failing = True
    published.refresh()
    published.refresh()
    assert publisher.fetched == 3
    assert published.get() == 2


def test_one_flies_and_the_others_wait():
    """Without a copy, callers wait for the one fetch that is under way; a refresh joins it too."""
    begun, release = threading.Event(), threading.Event()
    fetched = []

    def slow():
        begun.set()
        release.wait(30)
        fetched.append(1)
        return Fetched("document", 60.0)

    published = Published(slow, clock=lambda: 0.0)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(published.get)
        begun.wait(30)
        others = [pool.submit(published.get) for _ in range(5)]
        joined = pool.submit(published.refresh)
        settled = pool.submit(published.settle)
        release.set()
        assert {future.result(30) for future in [first, *others]} == {"document"}
        joined.result(30)
        settled.result(30)
    assert len(fetched) <= 2


def test_waiting_has_an_end():
    """A caller that waits for somebody else's fetch gives up after its time."""
    begun, release = threading.Event(), threading.Event()

    def stuck():
        begun.set()
        release.wait(30)
        return Fetched("late", 60.0)

    published = Published(stuck, clock=lambda: 0.0, wait=0.01)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(published.get)
        begun.wait(30)
        with pytest.raises(Unavailable):
            published.get()
        release.set()
        assert first.result(30) == "late"


def test_an_interrupted_fetch_frees_the_way(publisher):
    """A fetch ended by an interrupt leaves nobody waiting for ever."""
    interrupts = iter([KeyboardInterrupt(), None])

    def fetch():
        interrupt = next(interrupts)
        if interrupt:
            raise interrupt
        return Fetched("document", 60.0)

    published = Published(fetch, clock=lambda: publisher.now)
    with pytest.raises(KeyboardInterrupt):
        published.get()
    publisher.now += 10

    assert published.get() == "document"
