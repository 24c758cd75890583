"""One round of a benchmark: requests through the service, the crypto floor around them, CPU by process."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.floor import floor_per_second
from benchmarks.load import Result, replay
from benchmarks.paths import Path as Measured
from benchmarks.service import Hosts, opened_hosts
from benchmarks.stores import Store, opened_store

FLOOR_SECONDS = 0.5
PARTS = ("service", "redis", "postgresql")


@dataclass(frozen=True, slots=True)
class Round:
    """One run and what was measured around it. CPU in seconds, memory in MiB per worker.

    ``floor``: how often per CPU second a core makes the signatures of one request. ``cpu``: by part.
    """

    result: Result
    floor: float
    cpu: Mapping[str, float]
    rss: float

    @property
    def tokens(self) -> int:
        """Answers, all of them good."""
        return len(self.result.latencies)

    @property
    def ratio(self) -> float:
        """Answers per second over the crypto floor."""
        return self.result.per_second / self.floor

    @property
    def cpu_ratio(self) -> float:
        """Answers per second of service CPU over the crypto floor: what a core fully ours would give."""
        return self.tokens / self.cpu["service"] / self.floor

    @property
    def per_cpu_second(self) -> float:
        """Answers per CPU second of service, Redis and PostgreSQL together."""
        return self.tokens / sum(self.cpu.values())

    @property
    def whole_ratio(self) -> float:
        """The same over the crypto floor."""
        return self.per_cpu_second / self.floor

    def micros(self, part: str) -> float:
        """Microseconds of CPU for one answer."""
        return 1e6 * self.cpu.get(part, 0.0) / self.tokens


@dataclass(frozen=True, slots=True)
class Bench:
    """A service on a store, ready to be measured."""

    service: Hosts
    store: Store
    path: Measured
    load_core: int
    floor_core: int

    def round(self, count: int, *, concurrency: int) -> Round:
        """So many requests, prepared beforehand. Raises ``WrongAnswer``."""
        os.sched_setaffinity(0, {self.load_core})
        requests = self.path.prepare(self.service, count)
        before = self._floor()
        os.sched_setaffinity(0, {self.load_core})
        cpu = self._cpu()
        result = self._replay(requests, concurrency)
        spent = {part: seconds - cpu[part] for part, seconds in self._cpu().items()}
        floor = (before + self._floor()) / 2
        return Round(result, floor, spent, self.service.rss_mib())

    def replay(self, count: int, *, concurrency: int) -> Result:
        """The requests alone. Raises ``WrongAnswer``."""
        return self._replay(self.path.prepare(self.service, count), concurrency)

    def _replay(self, requests: Sequence[bytes], concurrency: int) -> Result:
        path = self.path
        return replay(
            self.service.ports, requests, concurrency=concurrency, expect=path.answer, status=path.status
        )

    def _floor(self) -> float:
        os.sched_setaffinity(0, {self.floor_core})
        path = self.path
        return floor_per_second(FLOOR_SECONDS, verifications=path.verifications, signatures=path.signatures)

    def _cpu(self) -> dict[str, float]:
        return {"service": self.service.cpu_seconds(), **self.store.cpu()}


@contextmanager
def opened_bench(
    store: str | Store,
    path: Measured,
    *,
    hosts: int = 1,
    workers: int = 1,
    threads: int = 16,
    durable: bool = True,
    cores: Sequence[int] = (),
    load_core: int | None = None,
) -> Iterator[Bench]:
    """Everything started, on a new store or a given one; the service's workers share ``cores``."""
    available = sorted(os.sched_getaffinity(0))
    pinned = cores or available
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory()))
        opened = store
        if isinstance(opened, str):
            opened = stack.enter_context(opened_store(opened, durable=durable))
        service = stack.enter_context(
            opened_hosts(home, hosts, opened, workers=workers, cores=pinned, threads=threads)
        )
        stack.callback(os.sched_setaffinity, 0, set(available))
        yield Bench(service, opened, path, available[-1] if load_core is None else load_core, pinned[0])
