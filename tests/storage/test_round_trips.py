"""What a settlement costs on the way to the servers, counted there: whoever adds a round trip hears of it."""

import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.backstage import SELF_SERVICE, eventually
from support.in_process import House
from support.postgres import Postgres
from support.redis_server import RedisServer
from support.round_trips import Relay, before_postgres, before_redis
from support.stores import START, Servers, note, opening
from tillit_server.storage.ports import Claim, Conflict, Issue, Put, Redemption, Settlement

THREADS = 8
CONNECTIONS = 12
"""To Redis, which are used in turn."""
_numbers = itertools.count()


@dataclass
class Ways:
    """A relay before each server, and the URLs that lead through them."""

    redis: Relay
    postgres: Relay
    redis_url: str
    postgres_url: str

    def during(self, act: Any) -> tuple[int, int]:
        """Round trips to Redis and to PostgreSQL."""
        before = self.redis.trips, self.postgres.trips
        act()
        return self.redis.trips - before[0], self.postgres.trips - before[1]


@pytest.fixture
def ways(postgres: Postgres, redis: RedisServer) -> Iterator[Ways]:
    with (
        before_postgres(postgres, postgres.emptied_database()) as (to_postgres, postgres_url),
        before_redis(redis.emptied().port) as (to_redis, redis_url),
    ):
        yield Ways(to_redis, to_postgres, redis_url, postgres_url)


@pytest.fixture
def counted(ways: Ways) -> Iterator[Any]:
    """A store that has settled some things of every kind, so that connections and statements are ready."""
    with opening(Servers(ways.postgres_url, ways.redis_url), timeout=20.0) as open_one:
        store = open_one()
        for _ in range(CONNECTIONS):
            store.tickets.peek("code", "a")
        store.settle(token())
        store.settle(refresh(store))
        yield store


def ids() -> tuple[Claim, Claim]:
    number = next(_numbers)
    return tuple(
        Claim(space, f"{space} {number}", START + 60, made=START) for space in ("assertion", "proof")
    )


def token() -> Settlement:
    """What a token by client credentials settles."""
    return Settlement(claims=ids(), entries=(note("issued"), note("tolerance used")))


def refresh(store: Any) -> Settlement:
    """What a code or a refresh token settles, with everything that there can be: two records, one of them new."""
    number = next(_numbers)
    store.tickets.issue("code", f"c{number}", {"n": number}, START + 60)
    return Settlement(
        claims=ids(),
        redemptions=(Redemption("code", f"c{number}", {"family": "f"}, START + 60),),
        issues=(Issue("access_token", f"t{number}", {}, START + 60),),
        puts=(Put("family", f"f{number}", {}, expect=0), Put("family", f"gone{number}", None)),
        entries=(note("issued"),),
    )


def test_a_settlement_is_one_script_and_one_commit(counted: Any, ways: Ways) -> None:
    """Ids and entries: one round trip to Redis, and one to PostgreSQL that is the whole transaction."""
    settlements = [token() for _ in range(5)]

    assert [ways.during(lambda s=s: counted.settle(s)) for s in settlements] == [(1, 1)] * 5


def test_records_cost_one_round_trip_more(counted: Any, ways: Ways) -> None:
    """One to lock and read, one to write and commit, however many records, tickets and entries there are."""
    settlements = [refresh(counted) for _ in range(3)]

    assert [ways.during(lambda s=s: counted.settle(s)) for s in settlements] == [(1, 2)] * 3


def test_a_look_is_one_round_trip(counted: Any, ways: Ways) -> None:
    """For all ids of a request together, and none before somebody has sent the same again; a ticket is one, and so is a record."""
    again = token()
    counted.settle(again)
    assert ways.during(lambda: counted.first_seen(again.claims)) == (0, 0)
    with pytest.raises(Conflict):
        counted.settle(again)
    looks = (
        lambda: counted.first_seen(ids()),
        lambda: counted.tickets.peek("code", "c"),
        lambda: counted.records.get("family", "f"),
    )

    assert [ways.during(look) for look in looks] == [(1, 0), (1, 0), (0, 1)]


def test_who_waits_for_a_commit_shares_the_next(counted: Any, ways: Ways) -> None:
    """While one commit is under way, seven more settlements are ready: all seven are the second."""
    ways.postgres.hold()
    crowd = [threading.Thread(target=counted.settle, args=(token(),)) for _ in range(THREADS)]

    def run() -> None:
        for thread in crowd:
            thread.start()
        assert eventually(lambda: len(counted.lasting._group._queue) == THREADS - 1, seconds=10)
        ways.postgres.let_go()
        for thread in crowd:
            thread.join()

    assert ways.during(run) == (THREADS, 2)


def test_a_token_is_a_script_and_a_commit(ways: Ways, tmp_path: Path) -> None:
    """From the request to the answer: one round trip to Redis and one to PostgreSQL, the client being known."""
    house = House(
        tmp_path, storage_url=ways.postgres_url, storage_shared_url=ways.redis_url, storage_timeout=5.0
    )
    guest = house.client("ehr", grants=["client_credentials"])
    form = {"grant_type": "client_credentials", "scope": SELF_SERVICE}

    def ask() -> None:
        answer, _ = guest.send(guest.request(form, key=guest.dpop_key))
        assert answer == "ok"

    # The ring and the client are read again now and then, twice a second at most.
    trips = [ways.during(ask) for _ in range(2 * CONNECTIONS)]
    house.close()

    assert min(trips) == (1, 1)
