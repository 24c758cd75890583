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
class Round:
    """The three windows, and how long the change itself took, in seconds."""

    before: Result
    rotating: Result
    after: Result
    change: float

    def ratio(self, share: float) -> float:
        """How much longer ``share`` of the answers took at most, with a rotation among them."""
        quiet = statistics.mean((self.before.percentile(share), self.after.percentile(share)))
        return self.rotating.percentile(share) / quiet

    def noise(self, share: float) -> float:
        """The same between the windows without a rotation."""
        return self.after.percentile(share) / self.before.percentile(share)


class Bench:
    """A service whose clock is moved between windows, and its operator."""

    def __init__(self, service: BenchService, clock: Path, operator: Operator, arguments: argparse.Namespace):
        self.service = service
        self.operator = operator
        self._clock = clock
        self._arguments = arguments
        self._offset = 0

    def window(self, *, rotate: bool = False) -> tuple[Result, float]:
        """One window, and how long the change in it took."""
        self._offset += RENEWED
        write_offset(self._clock, self._offset)
        requests = PATHS["token"].prepare(self.service, self._arguments.requests)
        took: list[float] = []
        timer = threading.Timer(EARLY, lambda: took.append(self._rotated()))
        if rotate:
            timer.start()
        result = replay(
            self.service.port,
            requests,
            concurrency=self._arguments.concurrency,
            expect=PATHS["token"].answer,
        )
        if rotate:
            timer.join()
        return result, sum(took)

    def _rotated(self) -> float:
        begun = time.perf_counter()
        answer = self.operator.ask(do="rotate", at=int(self.service.now()) + TAKES_EFFECT)
        assert "at" in answer, answer
        return time.perf_counter() - begun

    def round(self) -> Round:
        """Three windows."""
        before, _ = self.window()
        rotating, change = self.window(rotate=True)
        after, _ = self.window()
        return Round(before, rotating, after, change)


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
    print("answers/s   p99 ms: before  rotating  after   ratio  noise   change ms")
    for r in rounds:
        print(
            f"{r.rotating.per_second:9.0f} {r.before.percentile(0.99):15.1f} {r.rotating.percentile(0.99):9.1f}"
            f" {r.after.percentile(0.99):6.1f} {r.ratio(0.99):7.2f} {r.noise(0.99):6.2f} {1000 * r.change:11.1f}"
        )
    ratio = statistics.median(r.ratio(0.99) for r in rounds)
    noise = statistics.median(r.noise(0.99) for r in rounds)
    print(
        f"median ratio of p99 with a rotation to p99 without: {ratio:.2f}; between windows without: {noise:.2f}"
    )


def _print_key_set(service: BenchService, concurrency: int) -> None:
    host = service.issuer.partition("://")[2]
    request = f"GET {JWKS} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("ascii")
    cpu = service.cpu_seconds()
    result = replay(service.port, [request] * KEY_SETS, concurrency=concurrency, expect=b'"keys":[')
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
