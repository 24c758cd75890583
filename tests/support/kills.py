"""Two hosts whose processes are killed under load, the servers of their store included."""

import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from support.backstage import SwiftEhr, eventually
from support.granted import grant, login_client, revoke, uses
from support.load import Ledger, again, load, reconcile
from support.processes import listeners
from support.two_hosts import TwoHosts
from tillit_server.storage.ports import StorageUnavailable

CLIENTS, PAUSE = 4, 0.02
"""At most 200 requests a second, so that what starts again is not starved by those who ask."""
BROKEN = 0
RETURN_SECONDS = 60.0
LAST = 10
"""So many of the latest requests of each kind are sent once more in the end."""


Starts = Sequence[Callable[[], object]]
"""What starts again, after a kill, that nobody else starts."""


def kill_workers(hosts: TwoHosts, chance: random.Random) -> Starts:
    """All of both hosts; each supervisor replaces its own."""
    del chance
    for pid in hosts.worker_pids():
        with suppress(ProcessLookupError):  # died with the last one of the same host
            os.kill(pid, signal.SIGKILL)
    return ()


def kill_a_worker(hosts: TwoHosts, chance: random.Random) -> Starts:
    """One of four."""
    with suppress(ProcessLookupError):
        os.kill(chance.choice(hosts.worker_pids()), signal.SIGKILL)
    return ()


def kill_a_host(hosts: TwoHosts, chance: random.Random) -> Starts:
    """Supervisor and workers of one host, which is started again."""
    host = chance.choice(hosts.hosts)
    host.kill()
    return (host.start,)


def kill_both_hosts(hosts: TwoHosts, chance: random.Random) -> Starts:
    """Every process of the service."""
    del chance
    for host in hosts.hosts:
        host.kill()
    return [host.start for host in hosts.hosts]


def kill_redis(hosts: TwoHosts, chance: random.Random) -> Starts:
    """Redis comes back with its append-only file, or with nothing."""
    assert hosts.redis is not None
    hosts.redis.kill()
    if chance.random() < 0.5:
        for file in hosts.redis.directory.rglob("appendonly*.*"):  # one file up to Redis 6, a directory since
            file.unlink()
    return (hosts.redis.start,)


def kill_postgres(hosts: TwoHosts, chance: random.Random) -> Starts:
    """The postmaster and its children; crash recovery follows."""
    del chance
    assert hosts.postgres is not None
    hosts.postgres.stop(signal.SIGKILL)
    return (hosts.postgres.start,)


def kill_everything(hosts: TwoHosts, chance: random.Random) -> Starts:
    """Workers and servers at once."""
    return [start for kill in (kill_workers, kill_postgres, kill_redis) for start in kill(hosts, chance)]


Kill = Callable[[TwoHosts, random.Random], Starts]
OF_SERVICES: dict[str, tuple[Kill, int]] = {
    "all workers": (kill_workers, 5),
    "one worker": (kill_a_worker, 2),
    "one host": (kill_a_host, 1),
    "both hosts": (kill_both_hosts, 1),
}
OF_SERVERS: dict[str, tuple[Kill, int]] = {
    "Redis": (kill_redis, 2),
    "PostgreSQL": (kill_postgres, 2),
    "workers, Redis and PostgreSQL": (kill_everything, 1),
}
LOSE_MEMORY = frozenset({"Redis", "workers, Redis and PostgreSQL"})
"""After these a replay fence stands; the clock is moved past it, for nobody wants to wait so long."""


@dataclass
class Killing:
    """What was killed, and how long the first token after it took, in seconds, by what was killed.

    `ours` is the part of it after whoever was started again said that it answers: a server's own recovery,
    or a host's start, is over by then.
    """

    hosts: TwoHosts
    ehr: SwiftEhr
    chance: random.Random
    ledger: Ledger = field(default_factory=Ledger)
    returns: dict[str, list[float]] = field(default_factory=dict)
    ours: dict[str, list[float]] = field(default_factory=dict)
    remembered: float = 0.0
    problems: Counter[str] = field(default_factory=Counter)

    def strike(self, name: str) -> None:
        """Kill, start again what nobody else starts, and wait until all is as before.

        The time to the first token begins when the last of what is killed is dead.
        """
        hosts, ledger = self.hosts, self.ledger
        fence = self._fence()
        kill, _ = {**OF_SERVICES, **OF_SERVERS}[name]
        starts = kill(hosts, self.chance)
        asked, killed = len(ledger.told), time.monotonic()
        with ThreadPoolExecutor() as together:
            list(together.map(lambda start: start(), starts))
        back = time.monotonic()
        if name in LOSE_MEMORY:
            assert eventually(lambda: self._fence() not in {fence, None}, seconds=RETURN_SECONDS), "no fence"
            hosts.pass_the_fence()
            self.remembered = time.monotonic()

        def first() -> float:
            told = ledger.told[asked:]
            return next((one.ended for one in told if one.began > killed and one.status == 200), 0.0)

        assert eventually(first, seconds=RETURN_SECONDS), f"no token after {name}"
        self.returns.setdefault(name, []).append(first() - killed)
        self.ours.setdefault(name, []).append(max(0.0, first() - back))
        assert eventually(self._all_there, seconds=RETURN_SECONDS), f"not all there after {name}"

    def _fence(self) -> int | None:
        with suppress(StorageUnavailable):
            found = self.hosts.backstage.services.store.records.get("fence", "redis")
            return found.version if found else 0
        return None

    def _all_there(self) -> bool:
        return all(listeners(host.port) == host.workers for host in self.hosts.hosts)

    def judge(self) -> None:
        """What was acknowledged is in the audit and is refused from now on; what was not is whole or nothing."""
        refused = {400, 401} if self.hosts.redis else set()
        assert set(self.ledger.counts) <= {200, BROKEN, 503} | refused, self.ledger.counts
        self._reconcile()
        acknowledged = [told for told in self.ledger.told if told.status == 200][-LAST:]
        assert {again(self.ehr, told) for told in acknowledged} <= {401}
        for told in [told for told in self.ledger.told if told.status == BROKEN][-LAST:]:
            assert again(self.ehr, told) in {200, 401}
            assert again(self.ehr, told) == 401
        self._reconcile()
        assert self.hosts.audit_is_intact()

    def counts(self) -> dict[str, Any]:
        """For the ledger; the milliseconds leave out how long a fence stands."""
        answers = {str(status or "broken"): times for status, times in sorted(self.ledger.counts.items())}
        waits = {
            f"ms from the last death to the first token, {name}, median and longest": [
                round(1000 * sorted(found)[len(found) // 2]),
                round(1000 * max(found)),
            ]
            for name, found in self.returns.items()
        }
        kills = {f"kills of {name}": len(found) for name, found in self.returns.items()}
        tried = {"revoked tokens tried": 3 * sum(kills.values()), "of these good": 0}
        return {"kills": sum(kills.values()), **kills, **tried, **answers, **self.problems, **waits}

    def _reconcile(self) -> None:
        behind = self.hosts.backstage
        found = reconcile(self.ledger, behind, self.ehr.client_id, remembered=self.remembered)
        if self.hosts.redis:
            # Redis spends first: whoever dies before PostgreSQL has written has burnt the ids, and told nobody.
            self.problems["burnt without a token"] = found.pop("spent but not in the audit")
        self.problems |= Counter(found)
        assert not any(found.values()), found


def any_of(hosts: TwoHosts, kills: int, seed: int) -> Iterator[str]:
    """What to kill in so many kills: one of each kind, then what chance says."""
    kinds = OF_SERVICES if hosts.redis is None else {**OF_SERVICES, **OF_SERVERS}
    weights = [weight for _, weight in kinds.values()]
    chosen = random.Random(seed).choices(list(kinds), weights, k=kills)
    return itertools.islice(itertools.chain(kinds, chosen), kills)


def kill_again_and_again(
    hosts: TwoHosts, names: Iterable[str], *, seed: int, seconds: float = float("inf")
) -> Killing:
    """Kill these at random moments under load, or as many as there is time for.

    Just before each of them a login is revoked; afterwards nothing of it
    may be good.
    """
    ehr, people = hosts.backstage.client(), login_client(hosts.backstage)
    run = Killing(hosts, ehr, random.Random(seed))
    over = time.monotonic() + seconds
    with load(ehr, clients=CLIENTS, pause=PAUSE, ports=hosts.ports) as run.ledger:
        for name in names:
            if time.monotonic() > over:
                break
            moment = time.monotonic() + run.chance.uniform(0, 0.2)
            assert eventually(lambda moment=moment: time.monotonic() > moment)
            granted = grant(hosts.backstage, people)
            access, refresh = [granted.access_token() for _ in range(2)], granted.refresh_token()
            assert [revoke(people, token).status for token in (access[0], refresh)] == [200, 200]
            run.strike(name)
            opened = uses(granted, refresh, *access)
            assert not opened, f"good again after {name}: {opened}"
    return run
