"""A relay before a server that counts round trips: how often somebody spoke after the server had answered."""

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from support.postgres import Postgres

_CHUNK = 65_536
_POSTGRES = ".s.PGSQL.5432"

Connect = Callable[[], socket.socket]


class Relay:
    """Passes everything on and counts; while it is held, nothing reaches the server."""

    def __init__(self, listener: socket.socket, connect: Connect) -> None:
        self.trips = 0
        self._listener = listener
        self._connect = connect
        self._open = threading.Event()
        self._open.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self) -> None:
        """Let nothing through to the server."""
        self._open.clear()

    def let_go(self) -> None:
        """Let everything through again."""
        self._open.set()

    def during(self, act: Callable[[], object]) -> int:
        """How many round trips `act` takes."""
        before = self.trips
        act()
        return self.trips - before

    def close(self) -> None:
        """Accept nobody any more; what is open ends with its ends."""
        self._open.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(here, self._connect()), daemon=True).start()

    def _carry(self, here: socket.socket, there: socket.socket) -> None:
        asking = False
        with here, there, suppress(OSError):
            while True:
                for end in select.select((here, there), (), ())[0]:
                    data = end.recv(_CHUNK)
                    if not data:
                        return
                    if end is here:
                        self.trips += not asking
                        self._open.wait()
                    asking = end is here
                    (there if asking else here).sendall(data)


@contextmanager
def before_redis(port: int) -> Iterator[tuple[Relay, str]]:
    """The relay, and the URL that leads through it."""
    listener = socket.create_server(("127.0.0.1", 0))
    relay = Relay(listener, lambda: socket.create_connection(("127.0.0.1", port)))
    yield relay, f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
    relay.close()


@contextmanager
def before_postgres(server: Postgres, url: str) -> Iterator[tuple[Relay, str]]:
    """The relay, and the URL of the same database that leads through it."""

    def connect() -> socket.socket:
        there = socket.socket(socket.AF_UNIX)
        there.connect(str(server.home / _POSTGRES))
        return there

    # A socket's path must be short, so not below pytest's directories.
    with TemporaryDirectory(prefix="relay-") as directory, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(Path(directory) / _POSTGRES))
        listener.listen()
        relay = Relay(listener, connect)
        yield relay, url.replace(str(server.home), directory)
        relay.close()
