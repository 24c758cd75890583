"""A development installation of its own: really running processes, and a clock that the drill moves."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self

from tillit.outbound.transport import Request, Response, TransportError
from tillit_server.clock import FileClock
from tillit_server.rehearsal.lines import Json, Program

START_SECONDS = 60.0
ANSWER_SECONDS = 10.0
DISCOVERY = "/.well-known/openid-configuration"


class CannotRehearse(RuntimeError):
    """The scratch installation did not start; nothing was rehearsed."""


def _exchange(port: int, request: Request) -> Response:
    """Send one request over a connection of its own, so that any worker answers. Raises `TransportError`."""
    connection = HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        path = "/" + request.url.split("/", 3)[3]
        connection.request(request.method, path, request.body, dict(request.headers))
        answer = connection.getresponse()
        return Response(answer.status, tuple(answer.getheaders()), answer.read())
    except (OSError, HTTPException) as error:
        raise TransportError(TransportError.UNREACHABLE, type(error).__name__) from error
    finally:
        connection.close()


class Scratch:
    """``tillit serve --dev`` in ``home``, which is its own. Use it in a ``with`` block.

    Its processes come up while other things are done; ``await_answer`` waits for them.
    Whoever must not see the clock move in the middle of something holds ``still()`` meanwhile.
    """

    def __init__(self, home: Path, *, workers: int = 2) -> None:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.home = home
        self._data = home / "data"
        self._clock_file = home / "clock"
        self._workers = workers
        self._offset = 0.0
        self._stills: list[threading.Lock] = []
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        self._data.mkdir(mode=0o700, parents=True)
        self._write_clock()
        self.clock = FileClock(self._clock_file)
        command = [str(Path(sys.executable).with_name("tillit")), "serve", "--dev"]
        command += ["--data", str(self._data), "--port", str(self.port)]
        command += ["--workers", str(self._workers), "--clock", str(self._clock_file)]
        # Settings of the real installation must not reach this one.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TILLIT_")}
        with (self.home / "service.log").open("wb") as log:
            self._service = subprocess.Popen(  # noqa: S603  (our own program)
                command, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        self._closing.callback(self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def program(self, name: str, command: list[str]) -> Program:
        """A program that lives as long as the installation, unless it is killed before."""
        program = Program(name, command, self.home / f"{name}.log")
        self._closing.callback(program.close)
        return program

    def operator(self) -> "Operator":
        """A process that changes keys; see ``operating``."""
        place = [str(self._data), str(self._clock_file), self.issuer]
        return Operator(
            self.program("operator", [sys.executable, "-m", "tillit_server.rehearsal.operating", *place])
        )

    def send(self, request: Request) -> Response:
        """One HTTP request to the service. Raises `TransportError`."""
        return _exchange(self.port, request)

    def published(self, path: str) -> tuple[Any, Response]:
        """A document of the service, and the answer it came in. Raises `TransportError`, ``ValueError``."""
        answer = self.send(Request("GET", self.issuer + path))
        return json.loads(answer.body), answer

    def still(self) -> threading.Lock:
        """A lock of one's own, without which the clock is not moved."""
        lock = threading.Lock()
        self._stills.append(lock)
        return lock

    def advance(self, seconds: float) -> None:
        """Move the clock of all processes."""
        with ExitStack() as nobody_is_busy:
            for lock in self._stills:
                nobody_is_busy.enter_context(lock)
            self._offset += seconds
            self._write_clock()

    def kill_worker(self, chosen: int) -> None:
        """End one of the workers as kill -9 does (SIGKILL)."""
        pid = self._service.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        if children:
            os.kill(int(children[chosen % len(children)]), signal.SIGKILL)

    def _write_clock(self) -> None:
        beside = self._clock_file.with_suffix(".new")
        beside.write_text(f"{self._offset:+f}", encoding="ascii")
        beside.replace(self._clock_file)

    def await_answer(self) -> None:
        """Until the service answers. Raises ``CannotRehearse``."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._service.poll() is None:
            try:
                if self.published(DISCOVERY)[1].status > 0:
                    return
            except (TransportError, ValueError):
                time.sleep(0.05)
        log = (self.home / "service.log").read_text(encoding="utf-8", errors="replace")
        raise CannotRehearse(f"the scratch installation did not start: {log[-1000:]}")

    def _stop(self) -> None:
        """All of it at once: nothing that it still has to say is of any use."""
        os.killpg(self._service.pid, signal.SIGKILL)
        self._service.wait()


class Operator:
    """Somebody who changes keys, and may be killed in the middle of it."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._pid = 0

    def ask(self, **question: Any) -> Json:
        """Have something done, and hear what came of it. Raises ``ProgramEnded``."""
        self.tell(**question)
        return self.hear()

    def tell(self, **question: Any) -> None:
        """Have something done. Raises ``ProgramEnded``."""
        if not self._pid:
            self._pid = self._program.hear()["operator"]
        self._program.tell(**question)

    def hear(self) -> Json:
        """What came of it. Raises ``ProgramEnded``."""
        return self._program.hear()

    def kill(self) -> None:
        """End this one as kill -9 does (SIGKILL); another takes its place."""
        os.kill(self._pid, signal.SIGKILL)
        # The one who was killed may have answered just before.
        while (said := self._program.hear()).get("operator", self._pid) == self._pid:
            pass
        self._pid = said["operator"]
