"""A soak of two hosts: senders at work, and what workers and servers take up meanwhile."""

import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from support.processes import open_files, rss_mib
from support.sender import Order, Sender
from support.stores import PROCESSES
from support.two_hosts import TwoHosts
from tillit.protocol.jose import generate_key, private_jwk

SETTLED = 200_000
"""Requests after which heaps and caches have come to rest; of a shorter run, a fifth of it."""
LOOKS = 200


@dataclass(frozen=True, slots=True)
class Look:
    """After so many requests: memory in MiB and open files of each worker, and octets of the store."""

    requests: int
    tokens: int
    workers: dict[int, tuple[float, int]]
    sizes: dict[str, int]


@dataclass
class Soak:
    """What came back, by what was expected, and how everything grew."""

    found: Counter[str] = field(default_factory=Counter)
    looks: list[Look] = field(default_factory=list)
    seconds: float = 0.0
    client_ids: list[str] = field(default_factory=list)

    @property
    def settled(self) -> Look:
        """The first look after everything has come to rest."""
        mark = min(SETTLED, self.found.total() // 5)
        return next(look for look in self.looks if look.requests >= mark)

    @property
    def growth(self) -> tuple[float, int]:
        """By how much the worker that grew most has grown since, in MiB and in open files."""
        before, after = self.settled.workers, self.looks[-1].workers
        assert before.keys() == after.keys(), "a worker was replaced"
        return (
            max(after[pid][0] - before[pid][0] for pid in before),
            max(after[pid][1] - before[pid][1] for pid in before),
        )

    def counts(self) -> dict[str, Any]:
        """For the ledger."""
        first, last = self.settled, self.looks[-1]
        memory, files = self.growth
        tokens = max(1, last.tokens - first.tokens)
        grew = {
            f"octets of {name} a token": (last.sizes[name] - first.sizes[name]) / tokens
            for name in last.sizes
        }
        return {
            "requests": self.found.total(),
            **self.found,
            "compared from": first.requests,
            "growth MiB of a worker": round(memory, 1),
            "growth in open files": files,
            "MiB of the largest worker": round(max(mib for mib, _ in last.workers.values()), 1),
            **{name: round(value) for name, value in grew.items()},
            **{f"MiB of {name}": round(size / 2**20, 1) for name, size in last.sizes.items()},
        }


def soak(hosts: TwoHosts, requests: int, *, senders: int, seconds: float = float("inf")) -> Soak:
    """Send so many requests, or as many as there is time for; a keyboard interrupt ends it early and in order."""
    run, begun = Soak(), time.monotonic()
    over = PROCESSES.Event()
    pipes = []
    for _ in range(senders):
        key = generate_key("ES256")
        ehr = hosts.backstage.client(key)
        run.client_ids.append(ehr.client_id)
        order = Order(
            hosts.issuer, hosts.hosts[0].clock_file, tuple(hosts.ports), ehr.client_id, private_jwk(key)
        )
        ours, theirs = PROCESSES.Pipe(duplex=False)
        PROCESSES.Process(target=send, args=(order, requests // senders, over, theirs), daemon=True).start()
        theirs.close()
        pipes.append(ours)
    look(run, hosts)
    while pipes:
        try:
            _listen(run, hosts, pipes, requests // LOOKS)
        except KeyboardInterrupt:
            over.set()
        if time.monotonic() - begun > seconds:
            over.set()
    look(run, hosts)
    run.seconds = time.monotonic() - begun
    return run


def _listen(run: Soak, hosts: TwoHosts, pipes: list[Connection], every: int) -> None:
    for pipe in wait(pipes, 1.0):
        assert isinstance(pipe, Connection)
        try:
            run.found += pipe.recv()
        except EOFError:
            pipes.remove(pipe)
    if run.found.total() - run.looks[-1].requests >= every:
        look(run, hosts)


def look(run: Soak, hosts: TwoHosts) -> None:
    """Look at everything that could grow."""
    workers = {pid: (rss_mib(pid), open_files(pid)) for pid in hosts.worker_pids()}
    run.looks.append(Look(run.found.total(), run.found["good"], workers, hosts.sizes()))


def send(order: Order, requests: int, over: Any, pipe: Connection) -> None:
    """In a process of its own: send, and tell what came back."""
    Sender(order).run(requests, over.is_set, pipe.send)
