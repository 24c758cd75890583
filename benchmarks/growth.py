"""`python -m benchmarks.growth`: what a token costs while the store fills up with tokens, logins and clients.

A service runs on each store. Between measurements the store is filled by the same ports that the service writes
with, hundreds of things in each settlement: for each token an audit entry with its labels (short ones, so that it
is not the disk that is measured), for every tenth the family of a login. Then tokens are asked for, one after
the other, by clients that were picked at random and are unknown to the worker; and each look-up by itself.
"""

import argparse
import os
import random
import secrets
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from benchmarks.load import replay
from benchmarks.paths import PATHS, TOKEN
from benchmarks.requests import ATTESTATION, SCOPE
from benchmarks.rounds import PARTS, Bench, opened_bench
from benchmarks.stores import EMBEDDED, SERVERS
from tillit_server.issuer.clients.client import KIND as CLIENT
from tillit_server.issuer.families import FAMILY
from tillit_server.storage.ports import Claim, Entry, Put, Settlement
from tillit_server.wiring import build

LARGEST = 1_000_000
STEPS = 4
BATCH = 500
TOKENS_PER_LOGIN = 10
TOKENS_PER_CLIENT = 10
LOOKS = 200
PERIOD = "2026-11"
LOOK_UPS = ("client", "family", "label", "head of chain", "two ids")


@dataclass(frozen=True, slots=True)
class Row:
    """Microseconds of CPU by part and milliseconds (median) for a token; microseconds (median) for each look-up."""

    tokens: int
    clients: int
    cpu: dict[str, float]
    p50: float
    looks: tuple[float, ...]


class Filler:
    """Fills the store of a service, through an installation of its own."""

    def __init__(self, bench: Bench) -> None:
        self._installation = build(replace(bench.service.settings(), storage_timeout=10.0))
        self._store = self._installation.services.store
        self._tokens = self._clients = 0
        self._client = self._store.records.get(CLIENT, "dev-ehr").value
        self._until = time.time() + 28_800

    def close(self) -> None:
        """Let go of the installation."""
        self._installation.close()

    def fill(self, tokens: int, clients: int) -> None:
        """Until there are so many."""
        for number in range(self._tokens, tokens, BATCH):
            some = range(number, min(number + BATCH, tokens))
            self._store.settle(
                Settlement(puts=[_family(n, self._until) for n in some if n % TOKENS_PER_LOGIN == 0])
            )
            self._store.settle(Settlement(entries=[_entry(n) for n in some]))
        for number in range(self._clients, clients, BATCH):
            some = range(number, min(number + BATCH, clients))
            puts = [Put(CLIENT, named(n), {**self._client, "id": named(n)}, expect=0) for n in some]
            self._store.settle(Settlement(puts=puts))
        self._tokens, self._clients = tokens, clients

    def looks(self, count: int) -> tuple[float, ...]:
        """The median of each look-up, in microseconds, in the order of ``LOOK_UPS``."""
        store, chance = self._store, random.Random(1)

        def token() -> int:
            return chance.randrange(self._tokens // TOKENS_PER_LOGIN) * TOKENS_PER_LOGIN

        return tuple(
            _median(look, count)
            for look in (
                lambda: store.records.get(CLIENT, named(chance.randrange(self._clients))),
                lambda: store.records.get(FAMILY, f"f{token()}"),
                lambda: store.journal.find(PERIOD, _label(token())),
                store.journal.heads,
                lambda: store.first_seen([Claim("assertion", secrets.token_hex(8), self._until)] * 2),
            )
        )


def named(number: int) -> str:
    """The id of a client."""
    return f"bench-{number:07}"


def measured(bench: Bench, filler: Filler, tokens: int, clients: int, count: int) -> Row:
    """Fill, then ask for ``count`` tokens."""
    filler.fill(tokens, clients)
    first = bench.service.sender("dev-ehr")
    chosen = random.sample(range(clients), min(count, clients))
    senders = [replace(first, client_id=named(number)) for number in chosen]
    form = {"grant_type": "client_credentials", "scope": SCOPE}
    requests = [
        senders[n % len(senders)].request(TOKEN, form, proof=True, details=ATTESTATION) for n in range(count)
    ]
    before = _cpu(bench)
    result = replay(bench.service.ports, requests, concurrency=1, expect=bench.path.answer)
    spent = {part: 1e6 * (seconds - before[part]) / count for part, seconds in _cpu(bench).items()}
    return Row(tokens, clients, spent, result.percentile(0.5), filler.looks(LOOKS if count >= LOOKS else 5))


def growth(stores: Sequence[str], largest: int, steps: int, count: int) -> Iterator[tuple[str, Row]]:
    """A row for each store and size, ten times as large each time, as it comes."""
    with ExitStack() as stack:
        opened = []
        for store in stores:
            bench = stack.enter_context(opened_bench(store, PATHS["token"]))
            filler = Filler(bench)
            stack.callback(filler.close)
            opened.append((store, bench, filler))
        for step in range(steps):
            tokens = largest // 10 ** (steps - 1 - step)
            for store, bench, filler in opened:
                yield store, measured(bench, filler, tokens, tokens // TOKENS_PER_CLIENT, count)


def print_growth(stores: Sequence[str], largest: int, steps: int, count: int) -> None:
    """As a table of the page."""
    print("| Store | Tokens | Clients | Service µs | Redis µs | PostgreSQL µs | p50 ms |", end="")
    print(*(f" {name} µs |" for name in LOOK_UPS), sep="")
    print("|---|" + "---:|" * (6 + len(LOOK_UPS)))
    for store, row in growth(stores, largest, steps, count):
        cpu = " | ".join(f"{row.cpu[part]:.0f}" if part in row.cpu else "" for part in PARTS)
        looks = " | ".join(f"{look:.0f}" for look in row.looks)
        print(f"| {store} | {row.tokens:,} | {row.clients:,} | {cpu} | {row.p50:.1f} | {looks} |", flush=True)


def _family(number: int, until: float) -> Put:
    value = {"key": secrets.token_hex(32), "expires_at": int(until), "jkt": "x" * 43, "authorized": "y" * 500}
    return Put(FAMILY, f"f{number}", value, until=until)


def _entry(number: int) -> Entry:
    return Entry(b'{"event":"%d"}' % number, os.urandom(400), PERIOD, (_label(number), os.urandom(16)))


def _label(number: int) -> bytes:
    return random.Random(number).randbytes(16)


def _median(look: Callable[[], object], count: int) -> float:
    took = []
    for _ in range(count):
        begun = time.perf_counter()
        look()
        took.append(time.perf_counter() - begun)
    return 1e6 * statistics.median(took)


def _cpu(bench: Bench) -> dict[str, float]:
    return {"service": bench.service.cpu_seconds(), **bench.store.cpu()}


def main(given: Sequence[str] | None = None) -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--store", choices=(EMBEDDED, SERVERS), nargs="+", default=[EMBEDDED, SERVERS])
    parser.add_argument("--largest", type=int, default=LARGEST, help="tokens at the end")
    parser.add_argument("--steps", type=int, default=STEPS, help="sizes, each a tenth of the next")
    parser.add_argument("--requests", type=int, default=300)
    arguments = parser.parse_args(given)
    print_growth(arguments.store, arguments.largest, arguments.steps, arguments.requests)


if __name__ == "__main__":
    main()
