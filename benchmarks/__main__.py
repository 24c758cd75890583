"""`make bench`: requests per second on one core, and the ratio to the crypto floor of the same minute.

The service runs pinned to one core (or two, with two workers), the load generator to another, durability on.
Absolute figures say what this machine was doing; the ratio is what may be compared.
"""

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import signing
from benchmarks.floor import floor_per_second
from benchmarks.load import Result, replay
from benchmarks.paths import PATHS
from benchmarks.service import BenchService


@dataclass(frozen=True, slots=True)
class Round:
    """One run and what was measured around it. CPU in seconds, memory in MiB per worker."""

    result: Result
    floor: float
    service_cpu: float
    rss: float

    @property
    def ratio(self) -> float:
        """Answers per second over the crypto floor."""
        return self.result.per_second / self.floor

    @property
    def cpu_ratio(self) -> float:
        """Answers per second of service CPU over the crypto floor: what a core fully ours would give."""
        return len(self.result.latencies) / self.service_cpu / self.floor


def main() -> None:
    """Run, print, and leave with 1 when an answer was wrong."""
    arguments = _arguments()
    if arguments.path == "signing":
        signing.main(arguments.rounds)
        return
    print(
        f"machine: {os.cpu_count()} cores; service on core(s) {arguments.cores[: arguments.workers]}, load on {arguments.load_core}"
    )
    with tempfile.TemporaryDirectory() as data:
        one = _measure(Path(data) / "one", arguments, workers=1)
    _print("one worker", one)
    if arguments.workers > 1:
        with tempfile.TemporaryDirectory() as data:
            several = _measure(Path(data) / "several", arguments, workers=arguments.workers)
        _print(f"{arguments.workers} workers (load generator shares their cores)", several)
        faster = statistics.median(r.result.per_second for r in several)
        freed = statistics.median(
            len(r.result.latencies) / (r.result.seconds - r.result.own_cpu / arguments.workers)
            for r in several
        )
        single = statistics.median(r.result.per_second for r in one)
        print(
            f"{arguments.workers} workers / 1 worker: {faster / single:.2f}, "
            f"with the load generator's CPU subtracted {freed / single:.2f}"
        )


def _measure(data: Path, arguments: argparse.Namespace, *, workers: int) -> list[Round]:
    cores, path = arguments.cores[:workers], PATHS[arguments.path]
    crypto = {"verifications": path.verifications, "signatures": path.signatures}
    with BenchService(data, workers=workers, cores=cores, threads=arguments.threads) as service:
        rounds = []
        for number in range(arguments.rounds + 1):
            count = arguments.requests if number else arguments.requests // 4
            os.sched_setaffinity(0, {arguments.load_core})
            requests = path.prepare(service, count)
            os.sched_setaffinity(0, {cores[0]})
            before = floor_per_second(1.0, **crypto)
            os.sched_setaffinity(0, {arguments.load_core})
            cpu = service.cpu_seconds()
            result = replay(
                service.port,
                requests,
                concurrency=arguments.concurrency,
                expect=path.answer,
                status=path.status,
            )
            cpu = service.cpu_seconds() - cpu
            os.sched_setaffinity(0, {cores[0]})
            floor = (before + floor_per_second(1.0, **crypto)) / 2
            if number:  # the first one warms up
                rounds.append(Round(result, floor, cpu, service.rss_mib() / workers))
        return rounds


def _print(title: str, rounds: list[Round]) -> None:
    print(f"\n{title}")
    print("answers/s  floor/s  ratio  cpu-ratio  p50 ms  p95 ms  p99 ms  load CPU s  RSS MiB/worker")
    for r in rounds:
        print(
            f"{r.result.per_second:9.0f} {r.floor:8.0f}  {r.ratio:.3f}      {r.cpu_ratio:.3f}"
            f" {r.result.percentile(0.5):7.1f} {r.result.percentile(0.95):7.1f} {r.result.percentile(0.99):7.1f}"
            f" {r.result.own_cpu:11.2f} {r.rss:15.0f}"
        )
    print(f"median ratio to the crypto floor: {statistics.median(r.ratio for r in rounds):.3f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--path", choices=sorted([*PATHS, "signing"]), default="token")
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2, help="second run with so many; 1 leaves it out")
    parser.add_argument("--threads", type=int, default=16)
    available = sorted(os.sched_getaffinity(0))
    parser.add_argument("--cores", type=int, nargs="+", default=available)
    parser.add_argument("--load-core", type=int, default=available[-1])
    return parser.parse_args()


if __name__ == "__main__":
    begun = time.monotonic()
    main()
    print(f"\n{time.monotonic() - begun:.0f} s")
