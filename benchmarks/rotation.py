"""`python -m benchmarks.rotation`: what a rotation does to the 99th percentile of the token endpoint.

Each round has three windows within half a minute: one without a change, one at whose beginning an operator's
process rotates (seconds later the new key signs), and one without again. The ratio of the second to the
mean of the others is the answer; the ratio of the third to the first says how much of it is the machine.
Then the key set is asked for, over and over.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import Result, replay
from benchmarks.paths import PATHS
from benchmarks.service import BenchService
from tillit_server.rehearsal.lines import Program
from tillit_server.rehearsal.scratch import Operator
from tillit_server.rehearsal.verifying import JWKS

RENEWED = 700
"""Seconds of the service's time between windows: after so many, a standby may sign."""
EARLY = 0.5
"""Seconds into a window at which the rotation is asked for."""
TAKES_EFFECT = 7
"""Seconds later the new key signs."""
KEY_SETS = 20_000


@dataclass(frozen=True, slots=True)
class Window:
    """What was measured; ``cpu`` of the service and the duration of the ``change`` in seconds."""

    result: Result
    cpu: float
    change: float

    @property
    def p99(self) -> float:
        """Milliseconds."""
        return self.result.percentile(0.99)


@dataclass(frozen=True, slots=True)
class Round:
    """Three windows, the second with a rotation."""

    before: Window
    rotating: Window
    after: Window

    @property
    def ratio(self) -> float:
        """How much longer the slowest hundredth took with a rotation in the window."""
        return self.rotating.p99 / statistics.mean((self.before.p99, self.after.p99))

    @property
    def noise(self) -> float:
        """The same between the windows without a rotation."""
        return self.after.p99 / self.before.p99

    @property
    def cpu_ratio(self) -> float:
        """How much more CPU the service took with a rotation in the window."""
        return self.rotating.cpu / statistics.mean((self.before.cpu, self.after.cpu))


class Bench:
    """A service whose clock is moved between windows, and its operator."""

    def __init__(self, service: BenchService, clock: Path, operator: Operator, arguments: argparse.Namespace):
        self.service = service
        self.operator = operator
        self._clock = clock
        self._arguments = arguments
        self._offset = 0

    def window(self, *, rotate: bool = False) -> Window:
        """One window."""
        self._offset += RENEWED
        write_offset(self._clock, self._offset)
        requests = PATHS["token"].prepare(self.service, self._arguments.requests)
        took: list[float] = []
        timer = threading.Timer(EARLY, lambda: took.append(self._rotated()))
        cpu = self.service.cpu_seconds()
        if rotate:
            timer.start()
        result = replay(
            self.service.ports,
            requests,
            concurrency=self._arguments.concurrency,
            expect=PATHS["token"].answer,
        )
        if rotate:
            timer.join()
        return Window(result, self.service.cpu_seconds() - cpu, sum(took))

    def _rotated(self) -> float:
        begun = time.perf_counter()
        answer = self.operator.ask(do="rotate", at=int(self.service.now()) + TAKES_EFFECT)
        assert "at" in answer, answer
        return time.perf_counter() - begun

    def round(self) -> Round:
        """Three windows."""
        return Round(self.window(), self.window(rotate=True), self.window())


def write_offset(clock: Path, offset: int) -> None:
    """Move the clock of the service."""
    beside = clock.with_suffix(".new")
    beside.write_text(f"+{offset}", encoding="ascii")
    beside.replace(clock)


def main() -> None:
    """Run and print; leave with a traceback when an answer was wrong."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        clock, data = home / "clock", home / "data"
        write_offset(clock, 0)
        with BenchService(
            data, workers=arguments.workers, cores=arguments.cores, threads=16, clock=clock
        ) as service:
            command = [sys.executable, "-m", "tillit_server.rehearsal.operating"]
            program = Program("operator", [*command, str(data), str(clock), service.issuer], home / "log")
            bench = Bench(service, clock, Operator(program), arguments)
            try:
                bench.operator.ask(do="ring")  # opens the installation
                bench.window(rotate=True)  # warms up
                rounds = [bench.round() for _ in range(arguments.rounds)]
                _print(rounds)
                _print_key_set(service, arguments.concurrency)
            finally:
                program.close()


def _print(rounds: list[Round]) -> None:
    print("answers/s   p99 ms: before  rotating  after   ratio  noise  cpu-ratio  change ms")
    for r in rounds:
        print(
            f"{r.rotating.result.per_second:9.0f} {r.before.p99:15.1f} {r.rotating.p99:9.1f} {r.after.p99:6.1f}"
            f" {r.ratio:7.2f} {r.noise:6.2f} {r.cpu_ratio:10.3f} {1000 * r.rotating.change:10.1f}"
        )
    ratio, noise, cpu = (
        statistics.median(getattr(r, n) for r in rounds) for n in ("ratio", "noise", "cpu_ratio")
    )
    print(
        f"median ratio of p99 with a rotation to p99 without: {ratio:.2f}; between windows without: {noise:.2f}"
    )
    quiet = [latency for r in rounds for window in (r.before, r.after) for latency in window.result.latencies]
    rotating = [latency for r in rounds for latency in r.rotating.result.latencies]
    pooled = Result(rotating).percentile(0.99) / Result(quiet).percentile(0.99)
    print(f"the same of all windows together: {pooled:.2f}; median ratio of the service's CPU: {cpu:.3f}")


def _print_key_set(service: BenchService, concurrency: int) -> None:
    host = service.issuer.partition("://")[2]
    request = f"GET {JWKS} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("ascii")
    cpu = service.cpu_seconds()
    result = replay(service.ports, [request] * KEY_SETS, concurrency=concurrency, expect=b'"keys":[')
    cpu = service.cpu_seconds() - cpu
    print(
        f"key set: {1e6 * cpu / KEY_SETS:.0f} µs of CPU an answer, {result.per_second:.0f} answers/s,"
        f" p99 {result.percentile(0.99):.1f} ms"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rotation", description=__doc__)
    parser.add_argument(
        "--requests", type=int, default=6000, help="in a window, which must last some seconds"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cores", type=int, nargs="+", default=sorted(os.sched_getaffinity(0)))
    return parser.parse_args()


if __name__ == "__main__":
    main()
