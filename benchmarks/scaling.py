"""`python -m benchmarks.scaling`: every table of the page on scaling, to be pasted there. Twelve minutes at most.

CPU seconds of service, Redis and PostgreSQL are counted apart; figures that are compared were taken in turn, so
that others who use the machine cost all of them the same. A core's crypto floor was taken around each.
"""

import argparse
import io
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from benchmarks.growth import LARGEST, STEPS, print_growth
from benchmarks.paths import PATHS
from benchmarks.processes import counting_fsyncs, written
from benchmarks.rounds import PARTS, Bench, Round, opened_bench
from benchmarks.stores import EMBEDDED, REPLICATED, SERVERS, Stored

STORES = (EMBEDDED, SERVERS)
WITH_REPLICA = (*STORES, REPLICATED)
HOSTS = (1, 2, 3)
WORKERS = (1, 2, 4)
MEASURED, END = "<!-- measured -->", "<!-- /measured -->"
PER_HOST = 8
"""Requests under way at each host (or worker), so that more of them have more to do."""


def main(given: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--requests", type=int, default=1200, help="in a round; for each host as many")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--largest", type=int, default=LARGEST, help="tokens in the fullest store")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--only", choices=sorted(TABLES), nargs="+", default=list(TABLES))
    parser.add_argument("--into", type=Path, help="the page, whose measured part is replaced at the end")
    arguments = parser.parse_args(given)
    told = Told(sys.stdout)
    begun = time.monotonic()
    with redirect_stdout(told):
        command = " ".join(("python -m benchmarks.scaling", *(sys.argv[1:] if given is None else given)))
        print(f"`{command}`", end=": ")
        print(f"{_machine()}, {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC,", end=" ")
        print(f"with {os.getloadavg()[0]:.1f} processes running or waiting at the start.")
        for name in arguments.only:
            title, table = TABLES[name]
            print(f"\n### {title}\n", flush=True)
            table(arguments)
        print(f"\nAll of it took {time.monotonic() - begun:.0f} s.")
    if arguments.into:
        page = arguments.into.read_text("utf-8")
        before, _, rest = page.partition(MEASURED)
        _, _, after = rest.partition(END)
        arguments.into.write_text(f"{before}{MEASURED}\n{told.text}{END}{after}", "utf-8")


class Told(io.TextIOBase):
    """Passes on what is printed, and keeps it."""

    def __init__(self, out: TextIO) -> None:
        self.text = ""
        self._out = out

    def write(self, text: str) -> int:
        """Print and keep."""
        self.text += text
        self._out.flush()
        return self._out.write(text)


def _ratios(arguments: argparse.Namespace) -> None:
    """Every store, one worker on one core and two on two, durable and not."""
    print(
        "| Store | Durability | Workers | Tokens/s | of the floor | Tokens/CPU s of the service, of the floor",
        end="",
    )
    print(" | Tokens/CPU s of all | of the floor | p50 ms | p99 ms |")
    print("|---|---|" + "---:|" * 8)
    for workers, durable in ((1, True), (2, True), (1, False)):
        cores = sorted(os.sched_getaffinity(0))[:workers]
        stores = WITH_REPLICA if durable else STORES
        with _opened(stores, workers=workers, durable=durable, cores=cores) as benches:
            for store, rounds in _in_turn(
                benches, arguments.rounds, arguments.requests, 2 * PER_HOST
            ).items():
                mid = _median_of(rounds)
                print(
                    f"| {store} | {'on' if durable else 'off'} | {workers} | {mid('per_second'):.0f} | {mid('ratio'):.3f}"
                    f" | {mid('cpu_ratio'):.3f} | {mid('per_cpu_second'):.0f} | {mid('whole_ratio'):.3f}"
                    f" | {mid('p50'):.1f} | {mid('p99'):.1f} |",
                    flush=True,
                )


def _cost(arguments: argparse.Namespace) -> None:
    """What one token costs, part by part."""
    print("| One token | " + " | ".join(WITH_REPLICA) + " |\n|---|" + "---:|" * len(WITH_REPLICA))
    found: dict[str, dict[str, float]] = {}
    with _opened(WITH_REPLICA) as benches:
        for store, bench in benches.items():
            bench.round(arguments.requests // 4, concurrency=2 * PER_HOST)
            found[store] = _cost_of(bench, arguments.requests)
    for line in dict.fromkeys(name for costs in found.values() for name in costs):
        cells = (f"{found[store][line]:,.2f}" if line in found[store] else "–" for store in WITH_REPLICA)
        print(f"| {line} | " + " | ".join(cell.removesuffix(".00") for cell in cells) + " |")


def _cost_of(bench: Bench, count: int) -> dict[str, float]:
    service, store = bench.service, bench.store
    commits, stored, out = service.commits(), store.stored(service.data), written(service.pid)
    taken = bench.round(count, concurrency=2 * PER_HOST)
    commits, out = service.commits() - commits, written(service.pid) - out
    each = store.stored(service.data).since(stored, count)
    if not each.log:
        each = replace(each, log=out // count)
    few = max(count // 5, 2 * PER_HOST)
    with counting_fsyncs([service.pid, *store.pids()]) as fsyncs:
        bench.replay(few, concurrency=2 * PER_HOST)
    synced = {"calls of fsync": fsyncs[0] / few} if fsyncs else {}
    return {
        **{f"CPU of the {part}, µs": round(taken.micros(part)) for part in PARTS if part in taken.cpu},
        "commits": commits / count,
        **synced,
        "lasting, bytes": each.database,
        "written to the log and the file, bytes": each.log,
        **_in_memory(each),
    }


def _in_memory(each: Stored) -> dict[str, float]:
    if not each.memory:
        return {}
    return {"ids in Redis, bytes": each.memory, "ids in Redis, for seconds": round(each.seconds)}


def _hosts(arguments: argparse.Namespace) -> None:
    """One to three hosts of one worker each, on the same servers."""
    with opened_bench(SERVERS, PATHS["token"], hosts=max(HOSTS)) as bench:
        benches = {hosts: replace(bench, service=bench.service.first(hosts)) for hosts in HOSTS}
        _print_curve("Hosts", _in_turn(benches, arguments.rounds, arguments.requests, PER_HOST, times=True))


def _workers(arguments: argparse.Namespace) -> None:
    """One to several workers of one host."""
    for store in STORES:
        print(f"On {store}:\n")
        with ExitStack() as stack:
            benches = {
                workers: stack.enter_context(opened_bench(store, PATHS["token"], workers=workers))
                for workers in WORKERS
            }
            _print_curve(
                "Workers", _in_turn(benches, arguments.rounds, arguments.requests, PER_HOST, times=True)
            )
        print()


def _growth(arguments: argparse.Namespace) -> None:
    print_growth(STORES, arguments.largest, arguments.steps, min(300, arguments.requests))


TABLES: Mapping[str, tuple[str, Callable[[argparse.Namespace], None]]] = {
    "ratios": ("Against the crypto floor", _ratios),
    "cost": ("One token", _cost),
    "workers": ("One to four workers", _workers),
    "hosts": ("One to three hosts", _hosts),
    "growth": ("Growth", _growth),
}


@contextmanager
def _opened(stores: Sequence[str], **options: object) -> Iterator[dict[str, Bench]]:
    with ExitStack() as stack:
        yield {store: stack.enter_context(opened_bench(store, PATHS["token"], **options)) for store in stores}


def _in_turn(
    benches: Mapping[object, Bench], rounds: int, count: int, concurrency: int, *, times: bool = False
) -> Mapping[object, list[Round]]:
    """Rounds of each, the first of which warms up; with ``times`` as much more as the name of the bench says."""
    taken: dict[object, list[Round]] = {name: [] for name in benches}
    for number in range(rounds + 1):
        for name, bench in benches.items():
            factor = int(name) if times else 1
            some = count if number else max(count // 4, concurrency)
            result = bench.round(some * factor, concurrency=concurrency * factor)
            if number:
                taken[name].append(result)
    return taken


def _print_curve(name: str, rounds: Mapping[object, list[Round]]) -> None:
    print(f"| {name} | Tokens/s | Service µs | Redis µs | PostgreSQL µs | Tokens/CPU s of all | of one |")
    print("|---:|" + "---:|" * 6)
    alone = next(iter(rounds.values()))
    curve: dict[object, float] = {}
    for number, taken in rounds.items():
        mid = _median_of(taken)
        curve[number] = statistics.median(
            r.per_cpu_second / one.per_cpu_second for r, one in zip(taken, alone, strict=True)
        )
        cpu = " | ".join(f"{statistics.median(r.micros(part) for r in taken):.0f}" for part in PARTS)
        print(
            f"| {number} | {mid('per_second'):.0f} | {cpu} | {mid('per_cpu_second'):.0f} | {curve[number]:.2f} |",
            flush=True,
        )
    _draw(name, curve)


def _draw(name: str, curve: Mapping[object, float]) -> None:
    """The last column as a chart, which the page shows where Mermaid is understood."""
    print("\n```mermaid\nxychart-beta")
    print('    title "Tokens per CPU second of all, of one"')
    print(f'    x-axis "{name}" [{", ".join(map(str, curve))}]')
    print(f"    y-axis 0 --> {max(1.5, *curve.values()):.1f}")
    print(f"    line [{', '.join(f'{value:.2f}' for value in curve.values())}]\n```", flush=True)


def _median_of(rounds: Sequence[Round]) -> Callable[[str], float]:
    def value(taken: Round, name: str) -> float:
        if name == "per_second":
            return taken.result.per_second
        if name in {"p50", "p99"}:
            return taken.result.percentile(int(name[1:]) / 100)
        return float(getattr(taken, name))

    return lambda name: statistics.median(value(taken, name) for taken in rounds)


def _machine() -> str:
    found = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = found[0].partition(":")[2].strip() if found else platform.machine()
    return (
        f"{len(os.sched_getaffinity(0))} cores of {processor}, Linux {platform.release().partition('-')[0]}"
    )


if __name__ == "__main__":
    main()
