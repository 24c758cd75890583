"""Failovers of a Redis pair whose link is cut, and real Sentinels."""

import itertools
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from support.link import cable
from support.redis_server import RedisServer, free_port, redis_server
from support.redis_stores import HalvedStore
from support.stores import START, Halves, Hands, note
from tillit_server.storage.ports import Claim, Conflict, Settlement, StorageUnavailable
from tillit_server.storage.spending import AHEAD

HOSTS = 2
THREADS = 3


class Failover(NamedTuple):
    """What became of the ids: accepted before, refused with 503, accepted a second time, and new ones after."""

    accepted: int
    unavailable: int
    twice: int
    afterwards: int


def settled(store: Any, claim: Claim) -> bool | None:
    """True when accepted, False when refused as a replay, None for 503."""
    try:
        store.settle(Settlement(claims=[claim], entries=[note(claim.key)]))
    except Conflict:
        return False
    except StorageUnavailable:
        return None
    return True


def proof(name: str, made: float) -> Claim:
    """A proof that is good for a minute, tolerances included for two."""
    return Claim("proof", name, made + 120, made=made)


def failover_with_cut_link(directory: Path, seed: int) -> Failover:
    """Two hosts spend at the master, its link to the replica is cut, the replica is promoted.

    Meanwhile one host stays with the old master, which nobody has told; the other moves over and is shown
    every id that was ever accepted.
    """
    chance, clock = random.Random(seed), Hands()
    with redis_server() as old, redis_server() as new, cable(old.port) as link:
        new.follow(old, through=link.port)
        path = directory / f"{seed}.sqlite"
        hosts = [
            HalvedStore(Halves(old.url, path), clock=clock, slot=n + 1, timeout=5.0) for n in range(HOSTS)
        ]
        accepted: list[Claim] = []
        unavailable = itertools.count()
        over = threading.Event()

        def spend(host: int, thread: int) -> None:
            for number in itertools.count():
                if over.is_set():
                    return
                claim = proof(f"{host}.{thread}.{number}", START)
                outcome = settled(hosts[host], claim)
                if outcome:
                    accepted.append(claim)
                elif outcome is None:
                    next(unavailable)

        threads = [
            threading.Thread(target=spend, args=(host, thread))
            for host in range(HOSTS)
            for thread in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 20
        while not accepted and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.05))
        link.cut()
        time.sleep(chance.uniform(0, 0.05))
        new.promote()
        moved = HalvedStore(Halves(new.url, path), clock=clock, slot=HOSTS + 1, timeout=5.0)
        known = list(accepted)
        twice = sum(settled(moved, claim) is True for claim in known)
        # From here on the old master can spend, but nothing that it spends is settled.
        over.set()
        for thread in threads:
            thread.join()
        twice += sum(settled(moved, claim) is True for claim in accepted)
        clock.now += AHEAD + 1
        fresh = [proof(f"new {number}", clock.now) for number in range(5)]
        afterwards = sum(settled(moved, claim) is True for claim in fresh)
        twice += sum(settled(store, claim) is True for claim in fresh for store in (*hosts, moved))
        for store in (*hosts, moved):
            store.close()
    return Failover(len(accepted), next(unavailable), twice, afterwards)


class Watched(NamedTuple):
    """A pair that Sentinels watch."""

    url: str
    servers: tuple[RedisServer, RedisServer]


@contextmanager
def watched_pair(sentinels: int = 1) -> Iterator[Watched]:
    """A master, a replica and Sentinels that promote the replica when the master is away for half a second."""
    with (
        TemporaryDirectory(prefix="sentinel-") as directory,
        redis_server() as master,
        redis_server() as replica,
    ):
        replica.follow(master)
        quorum = sentinels // 2 + 1
        watchers: list[RedisServer] = []
        try:
            for number in range(sentinels):
                home = Path(directory) / str(number)
                watchers.append(RedisServer.sentinel(home, free_port(), master, quorum))
            for watcher in watchers:
                watcher.wait_for(
                    lambda found: (found.get("slaves"), found.get("sentinels")) == (1, sentinels)
                )
            hosts = ",".join(f"127.0.0.1:{watcher.port}" for watcher in watchers)
            yield Watched(f"redis+sentinel://{hosts}/service/0", (master, replica))
        finally:
            for watcher in watchers:
                watcher.kill()
