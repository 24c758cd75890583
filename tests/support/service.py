"""A really running service for tests: processes, port, data directory, clock file, and clients of it."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from support.commands import TILLIT, Command, run
from tillit.protocol.jose import SigningKey, generate_key

START_SECONDS = 60
STOP_SECONDS = 15
PATIENCE = 5.0
"""Seconds. The shipped patience is for requests at a hospital, not for the disk of a busy test machine."""
PHR = "nhn:phr/mhd/read-documentreferences"
PHR_DOCUMENT = "nhn:phr/mhd/read-document"


_given: set[int] = set()


def free_port() -> int:
    """A port nobody listens on just now, and that was not given to another test of this process."""
    while True:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port


class Service:
    """`tillit serve --dev` in its own processes. Use it in a `with` block, or `start` and `stop`."""

    address = "127.0.0.1"

    def __init__(
        self,
        data: Path,
        *,
        workers: int = 2,
        frozen: float | None = None,
        arguments: Sequence[str] = (),
        path: str = "",
        patience: float | None = PATIENCE,
        installed: bool = False,
    ) -> None:
        """``patience``: seconds a request waits for the store, None for what is shipped.

        ``installed``: start the installed command itself (`support.commands`).
        """
        self.data = data
        self.workers = workers
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.origins = [self.origin]
        self.issuer = self.origin + path
        self.arguments = [*arguments, *(["--issuer", self.issuer] if path else [])]
        self.clock_file = data / "clock"
        self.log_file = data / "service.log"
        data.mkdir(parents=True, exist_ok=True)
        self.set_clock(frozen)
        self.environment = clean_environment(patience)
        self.process: subprocess.Popen[bytes] | None = None
        self._installed = installed

    def __enter__(self) -> "Service":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def set_clock(self, frozen: float | None = None, *, offset: float | None = None) -> None:
        """Freeze the service's clock at an instant, or shift it; every process sees it at its next look."""
        text = f"{offset:+f}" if offset is not None else "+0" if frozen is None else f"{frozen:f}"
        temporary = self.clock_file.with_suffix(".new")
        temporary.write_text(text, encoding="ascii")
        temporary.replace(self.clock_file)

    def now(self) -> float:
        """The service's time."""
        text = self.clock_file.read_text(encoding="ascii")
        return time.time() + float(text) if text[0] in "+-" else float(text)

    def command(self) -> list[str]:
        """How it is started."""
        command = [TILLIT, "serve", "--dev", "--port", str(self.port), "--data", str(self.data)]
        command += ["--workers", str(self.workers), "--clock", str(self.clock_file), *self.arguments]
        return command

    def start(self) -> None:
        """Start and wait until it answers; the log is in `log_file`."""
        with self.log_file.open("ab") as log:
            self.process = Command(
                self.command(),
                installed=self._installed,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self.environment,
            )
        metadata = self.origin + urlsplit(self.issuer).path + "/.well-known/openid-configuration"
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                status, _, _ = http("GET", metadata, timeout=1)
            except OSError:
                time.sleep(0.05)
                continue
            if status == 200:
                return
        raise AssertionError(f"the service did not start: {self.log()[-2000:]}")

    def stop(self) -> int:
        """Stop in good order and give the exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self.process = None
        return code

    def kill(self) -> None:
        """Kill every process of the service at once (SIGKILL)."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_SECONDS)
            self.process = None

    def worker_pids(self) -> list[int]:
        """The process ids of the workers."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(
            encoding="ascii"
        )
        return [int(pid) for pid in children.split()]

    def log(self) -> str:
        """Everything the service has logged."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def cli(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run a `tillit` command; `check` demands exit code 0."""
        return run_cli(*arguments, check=check)

    def add_client(
        self,
        client_id: str,
        key: SigningKey | None = None,
        *,
        legal_entity: str = "310000019",
        scopes: Sequence[str] = (PHR, PHR_DOCUMENT, "nhn:tillitsrammeverk:parameters"),
        arguments: Sequence[str] = ("--attests-without-login",),
    ) -> SigningKey:
        """Register a client through the command line and give its private key."""
        key = key or generate_key("ES256")
        jwks = self.data / f"{client_id}.jwks.json"
        jwks.write_text(json.dumps({"keys": [dict(key.public.jwk)]}), encoding="utf-8")
        command = ["clients", "add", "--data", str(self.data), "--id", client_id, "--jwks", str(jwks)]
        command += ["--legal-entity", legal_entity, "--grant", "client_credentials"]
        for scope in scopes:
            command += ["--scope", scope]
        self.cli(*command, *arguments)
        return key


def clean_environment(patience: float | None = PATIENCE) -> dict[str, str]:
    """The environment without settings of ours, but for the patience with a disk that others keep busy."""
    ours = {} if patience is None else {"TILLIT_STORAGE_TIMEOUT": str(patience)}
    return {name: value for name, value in os.environ.items() if not name.startswith("TILLIT_")} | ours


def run_cli(*arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run a `tillit` command to its end."""
    done = run([TILLIT, *arguments], capture_output=True, text=True, env=clean_environment())
    if check:
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done


class _Reads(HTTPConnection):
    """A connection on which the server may answer before it has read the body, and hang up."""

    def send(self, data: Any) -> None:
        """Send, and let a server that has heard enough be read."""
        with suppress(BrokenPipeError, ConnectionResetError):
            super().send(data)


class _ReadsHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        """Open plain HTTP by such a connection."""
        return self.do_open(_Reads, req)


_OPENER = urllib.request.build_opener(_ReadsHandler)


def http(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: float = 10,
) -> tuple[int, Mapping[str, str], bytes]:
    """One HTTP request with nothing clever about it: status, headers, body."""
    request = urllib.request.Request(url, data=body, method=method, headers=dict(headers or {}))
    try:
        with _OPENER.open(request, timeout=timeout) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def http_json(method: str, url: str, **arguments: Any) -> tuple[int, Mapping[str, str], Any]:
    """As `http`, with the body parsed."""
    status, headers, body = http(method, url, **arguments)
    return status, headers, json.loads(body)
