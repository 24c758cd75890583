"""`make bench`: requests per second on one core, and the ratio to the crypto floor of the same minute.

The service runs pinned to one core (or two, with two workers), the load generator to another, durability on, on
each store in turn. Absolute figures say what this machine was doing; the ratios are what may be compared. CPU is
counted by process: `service`, `redis`, `postgresql`, and `tokens/CPU s` is for all of them together.
"""

import argparse
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from benchmarks import signing
from benchmarks.paths import PATHS
from benchmarks.rounds import PARTS, Round, opened_bench
from benchmarks.stores import EMBEDDED, SERVERS


def main(given: Sequence[str] | None = None) -> None:
    """Run, print, and leave with 1 when an answer was wrong."""
    arguments = _arguments(given)
    if arguments.path == "signing":
        signing.main(arguments.rounds)
        return
    print(
        f"machine: {os.cpu_count()} cores; service on core(s) {arguments.cores[: arguments.workers]}, load on"
        f" {arguments.load_core}; path {arguments.path}, durability {arguments.durability}"
    )
    one = _measured(arguments, workers=1)
    if arguments.workers > 1:
        several = _measured(arguments, workers=arguments.workers)
        for store, rounds in several.items():
            _compare_workers(
                f"{store}: {arguments.workers} workers / 1 worker", rounds, one[store], arguments.workers
            )


def _measured(arguments: argparse.Namespace, *, workers: int) -> Mapping[str, list[Round]]:
    """Rounds by store, taken in turn so that a busy minute is everybody's."""
    rounds: dict[str, list[Round]] = {store: [] for store in arguments.store}
    with ExitStack() as stack:
        benches = {
            store: stack.enter_context(
                opened_bench(
                    store,
                    PATHS[arguments.path],
                    workers=workers,
                    threads=arguments.threads,
                    durable=arguments.durability == "on",
                    cores=arguments.cores[:workers],
                    load_core=arguments.load_core,
                )
            )
            for store in arguments.store
        }
        for number in range(arguments.rounds + 1):
            count = arguments.requests if number else max(arguments.requests // 4, arguments.concurrency)
            for store, bench in benches.items():
                taken = bench.round(count, concurrency=arguments.concurrency)
                if number:  # the first one warms up
                    rounds[store].append(taken)
    for store, of_store in rounds.items():
        _print(f"{store}, {workers} worker(s)", of_store)
    if {EMBEDDED, SERVERS} <= rounds.keys():
        for name, of in (("service CPU", "cpu_ratio"), ("all CPU", "whole_ratio")):
            pairs = zip(rounds[SERVERS], rounds[EMBEDDED], strict=True)
            ratio = statistics.median(
                getattr(servers, of) / getattr(embedded, of) for servers, embedded in pairs
            )
            print(f"{SERVERS} / {EMBEDDED}, tokens per second of {name}: {ratio:.2f}")
    return rounds


def _compare_workers(title: str, several: list[Round], one: list[Round], workers: int) -> None:
    faster = statistics.median(r.result.per_second for r in several)
    freed = statistics.median(r.tokens / (r.result.seconds - r.result.own_cpu / workers) for r in several)
    single = statistics.median(r.result.per_second for r in one)
    print(f"{title}: {faster / single:.2f}, with the load generator's CPU subtracted {freed / single:.2f}")


def _print(title: str, rounds: list[Round]) -> None:
    print(f"\n{title}")
    print(
        "answers/s  floor/s  ratio  cpu-ratio  p50 ms  p95 ms  p99 ms  RSS MiB/worker"
        "  µs/answer: service  redis  postgresql  tokens/CPU s"
    )
    for r in rounds:
        service, redis, postgresql = (r.micros(part) for part in PARTS)
        print(
            f"{r.result.per_second:9.0f} {r.floor:8.0f}  {r.ratio:.3f}      {r.cpu_ratio:.3f}"
            f" {r.result.percentile(0.5):7.1f} {r.result.percentile(0.95):7.1f} {r.result.percentile(0.99):7.1f}"
            f" {r.rss:15.0f} {service:19.0f} {redis:6.0f} {postgresql:11.0f} {r.per_cpu_second:13.0f}"
        )
    for name, of in (
        ("answers per second", "ratio"),
        ("answers per second of service CPU", "cpu_ratio"),
        ("answers per second of all CPU", "whole_ratio"),
    ):
        print(
            f"median ratio to the crypto floor, {name}: {statistics.median(getattr(r, of) for r in rounds):.3f}"
        )


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--path", choices=sorted([*PATHS, "signing"]), default="token")
    parser.add_argument("--store", choices=(EMBEDDED, SERVERS), nargs="+", default=[EMBEDDED, SERVERS])
    parser.add_argument("--durability", choices=("on", "off"), default="on")
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2, help="second run with so many; 1 leaves it out")
    parser.add_argument("--threads", type=int, default=16)
    available = sorted(os.sched_getaffinity(0))
    parser.add_argument("--cores", type=int, nargs="+", default=available)
    parser.add_argument("--load-core", type=int, default=available[-1])
    return parser.parse_args(given)


if __name__ == "__main__":
    begun = time.monotonic()
    main()
    print(f"\n{time.monotonic() - begun:.0f} s")
