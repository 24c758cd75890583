"""A store that is watched: what a settlement took, and whether writing is possible."""

import pytest

from tillit_server.storage.ports import Conflict, Settlement, StorageUnavailable
from tillit_server.storage.watched import LATELY, WatchedStore


class Scripted:
    """A store whose settlements end as they are told, after a second each."""

    once = tickets = records = journal = None

    def __init__(self) -> None:
        self.now = 0.0
        self.end: Exception | None = None

    seen = first_seen = ping = close = None

    def settle(self, *_: object, **__: object) -> None:
        """Take a second, and end."""
        self.now += 1
        if self.end is not None:
            raise self.end


def test_u3_the_last_settlement_tells_whether_writing_is_possible():
    """After a failure it is not, for some seconds or until the next success; a conflict is a success of the store."""
    store, seconds = Scripted(), []
    watched = WatchedStore(store, seconds.append, ticks=lambda: store.now)
    watched.settle(Settlement())
    watched.require_writing()
    store.end = StorageUnavailable("full")
    with pytest.raises(StorageUnavailable):
        watched.settle(Settlement())
    with pytest.raises(StorageUnavailable, match="full"):
        watched.require_writing()
    store.end = Conflict("assertion")
    with pytest.raises(Conflict):
        watched.settle(Settlement())
    watched.require_writing()
    store.end = StorageUnavailable("full")
    with pytest.raises(StorageUnavailable):
        watched.settle(Settlement())
    store.now += LATELY
    watched.require_writing()
    assert seconds == [1.0, 1.0]


def test_what_nobody_waits_for_says_nothing():
    """A settlement that need not be on disk is neither timed nor a sign that the disk is well."""
    store, seconds = Scripted(), []
    watched = WatchedStore(store, seconds.append, ticks=lambda: store.now)
    watched.settle(Settlement(), durable=False)
    assert seconds == []
