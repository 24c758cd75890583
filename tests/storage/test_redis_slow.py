"""S2: a Redis server that is far away gives what its distance allows within `storage_timeout`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.link import cable
from support.redis_server import redis_server
from support.redis_stores import open_spending
from support.stores import START, Halves, open_store
from tillit_server.storage.ports import Claim, Conflict, StorageUnavailable

TIMEOUT = 2.5
ONE_WAY = 0.4
"""A settlement takes four of these: there, to the replica, and back. The machine has the rest."""


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[Any]:
    store = open_store(tmp_path / "lasting.sqlite")
    yield store
    store.close()


def proof(name: object) -> Claim:
    return Claim("proof", str(name), START + 120, made=START)


def test_s2_a_far_server_and_a_far_replica_still_settle(lasting: Any, tmp_path: Path) -> None:
    """Each settlement is acknowledged and spends for good; looks, which only spare work, make room for it meanwhile."""
    with (
        redis_server() as master,
        redis_server() as replica,
        cable(master.port) as ours,
        cable(master.port) as its,
    ):
        replica.follow(master, through=its.port)
        place = Halves(f"redis://127.0.0.1:{ours.port}", tmp_path)
        spending = open_spending(place, lasting.records, timeout=TIMEOUT)
        spending.spend([proof("near")])
        ours.delay = its.delay = ONE_WAY
        for number in range(4):
            spending.spend([proof(number)])
        assert spending.first_seen([proof(0)]) is None
        with pytest.raises(Conflict, match="spent"):
            spending.spend([proof(0)])
        ours.delay = its.delay = 0.0
        spending.spend([proof("near again")])
        assert spending.first_seen([proof(0)]) == proof(0)
        spending.close()


def test_s2_a_connection_that_took_long_is_kept(lasting: Any, tmp_path: Path) -> None:
    """Who had to connect is answered in time that it was too late; the next one settles."""
    with redis_server(requirepass="word") as server, cable(server.port) as ours:
        place = Halves(f"redis://:word@127.0.0.1:{ours.port}", tmp_path)
        spending = open_spending(place, lasting.records, timeout=TIMEOUT)
        spending.spend([proof("near")])
        ours.delay = ONE_WAY
        spending.moved()  # lets go of its connections
        with pytest.raises(StorageUnavailable, match="connected, for the next"):
            spending.spend([proof("a")])
        spending.spend([proof("a")])
        spending.close()
