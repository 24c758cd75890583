"""The service under measurement: its own processes, pinned, with one client registered."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.requests import Sender
from tillit.protocol.client_assertion import ASSERTION_TYPE, make_assertion
from tillit.protocol.dpop import make_proof
from tillit.protocol.jose import SigningKey, generate_key, load_private_jwk
from tillit_server.clock import make_clock

TILLIT = str(Path(sys.executable).with_name("tillit"))
START_SECONDS = 20


class BenchService:
    """`tillit serve --dev` on given cores; with a ``clock`` file, its time is what that says."""

    def __init__(
        self, data: Path, *, workers: int, cores: Sequence[int], threads: int, clock: Path | None = None
    ) -> None:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.data = data
        command = [TILLIT, "serve", "--dev", "--data", str(data), "--port", str(self.port)]
        command += ["--workers", str(workers), "--threads", str(threads)]
        command += [] if clock is None else ["--clock", str(clock)]
        self.now = make_clock(clock)
        self._command = command
        self._cores = set(cores)

    def __enter__(self) -> "BenchService":
        self.data.mkdir(parents=True, exist_ok=True)
        with (self.data / "log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, self._cores),  # noqa: PLW1509 (no threads here)
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.issuer}/.well-known/openid-configuration", timeout=1):
                    break
            except OSError:
                time.sleep(0.05)
        return self

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

    def _workers(self) -> list[int]:
        pid = self._process.pid
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def cpu_seconds(self) -> float:
        """User and system time of all workers so far."""
        ticks = 0
        for pid in self._workers():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def rss_mib(self) -> float:
        """Resident memory of all workers."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._workers())
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
