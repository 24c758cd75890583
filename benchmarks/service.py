"""The service under measurement: its own processes, pinned, on one host or several that share a store."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from copy import copy
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.processes import children, cpu_seconds, rss_mib
from benchmarks.requests import Sender
from benchmarks.stores import ROOT, Store
from tillit.protocol.client_assertion import ASSERTION_TYPE, make_assertion
from tillit.protocol.dpop import make_proof
from tillit.protocol.jose import SigningKey, generate_key, load_private_jwk
from tillit_server.clock import make_clock
from tillit_server.config import Settings, load_settings

TILLIT = [str(Path(sys.executable).with_name("tillit"))]
UNDURABLE = [sys.executable, "-m", "benchmarks.undurable"]
START_SECONDS = 60
PATIENCE = 8
"""Seconds a request waits for the store: on a busy machine too, a benchmark must not end with a 503."""


def free_port() -> int:
    """A port nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class BenchService:
    """`tillit serve --dev` on given cores; with a ``clock`` file, its time is what that says.

    A further host of the same installation has the ``issuer`` of the first.
    """

    def __init__(
        self,
        data: Path,
        *,
        workers: int,
        cores: Sequence[int],
        threads: int = 16,
        clock: Path | None = None,
        store: Store | None = None,
        issuer: str = "",
    ) -> None:
        self.port = free_port()
        self.ports = [self.port]
        self.workers = workers
        self.store = store or Store()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.issuer = issuer or self.origin
        self.data = data
        self._management = free_port()
        command = [*(TILLIT if self.store.durable else UNDURABLE), "serve", "--dev", "--issuer", self.issuer]
        command += ["--data", str(data), "--port", str(self.port), "--management-port", str(self._management)]
        command += ["--workers", str(workers), "--threads", str(threads)]
        command += [] if clock is None else ["--clock", str(clock)]
        given = {**self.store.settings, "storage_timeout": str(PATIENCE)}
        self._environment = os.environ | {f"TILLIT_{name.upper()}": value for name, value in given.items()}
        self.now = make_clock(clock)
        self._command = command
        self._cores = set(cores)

    def settings(self) -> Settings:
        """Those of the installation, to build it in this process too."""
        flags = {"dev": True, "data": self.data, "issuer": self.issuer, **self.store.settings}
        return load_settings(flags=flags)

    def __enter__(self) -> "BenchService":
        self.data.mkdir(parents=True, exist_ok=True)
        with (self.data / "log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self._environment,
                cwd=ROOT,
                preexec_fn=lambda: os.sched_setaffinity(0, self._cores),  # noqa: PLW1509 (no threads here)
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.origin}/.well-known/openid-configuration", timeout=1):
                    return self
            except OSError:
                time.sleep(0.05)
        raise AssertionError((self.data / "log").read_text())

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(15)

    def sender(self, client_id: str) -> Sender:
        """One of the clients that development mode registers, with a fresh nonce."""
        key = load_private_jwk(json.loads((self.data / "clients" / f"{client_id}.jwk").read_text()))
        return Sender(self.issuer, client_id, key, self._nonce(client_id, key), self.now)

    def _nonce(self, client_id: str, key: SigningKey) -> str:
        """A nonce, by provoking a challenge."""
        endpoint = f"{self.issuer}/connect/token"
        now = self.now()
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": make_assertion(key, client_id, self.issuer, now=now),
        }
        request = urllib.request.Request(
            endpoint,
            data=urlencode(form).encode(),
            headers={"DPoP": make_proof(generate_key("ES256"), "POST", endpoint, now=now)},
        )
        try:
            with urllib.request.urlopen(request):
                raise AssertionError("a challenge was expected")
        except urllib.error.HTTPError as error:
            return error.headers["DPoP-Nonce"]

    @property
    def pid(self) -> int:
        """Of the supervisor."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """User and system time of all workers and their supervisor so far."""
        return cpu_seconds(self.pid)

    def rss_mib(self) -> float:
        """Resident memory of a worker, on average."""
        return sum(map(rss_mib, children(self.pid))) / self.workers

    def commits(self) -> int:
        """Transactions in which something lasting was written, so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._management}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        counts = re.findall(r"^tillit_commit_seconds_count\S* (\S+)", text, re.MULTILINE)
        return int(sum(map(float, counts)))


class Hosts(BenchService):
    """The first of several hosts, speaking for all of them."""

    others: Sequence[BenchService] = ()

    def first(self, count: int) -> "Hosts":
        """The first so many of these, as if there were no others."""
        few = copy(self)
        few.others = self.others[: count - 1]
        few.ports = self.ports[:count]
        return few

    def cpu_seconds(self) -> float:
        """Of all hosts."""
        return super().cpu_seconds() + sum(other.cpu_seconds() for other in self.others)


@contextmanager
def opened_hosts(
    home: Path, count: int, store: Store, *, workers: int, cores: Sequence[int], threads: int = 16
) -> Iterator[Hosts]:
    """So many hosts on one store, with keys directories of their own that hold the same master key."""
    with ExitStack() as stack:
        first = Hosts(home / "1", workers=workers, cores=cores, threads=threads, store=store)
        stack.enter_context(first)
        others = []
        for number in range(2, count + 1):
            data = home / str(number)
            shutil.copytree(first.data / "keys", data / "keys")
            other = BenchService(
                data, workers=workers, cores=cores, threads=threads, store=store, issuer=first.issuer
            )
            others.append(stack.enter_context(other))
        first.others = others
        first.ports = [host.port for host in (first, *others)]
        yield first
