"""A light closed-loop load generator: requests built beforehand, raw sockets, every answer checked."""

import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field


class WrongAnswer(Exception):
    """The service answered something else than it should; the run is worth nothing."""


@dataclass(slots=True)
class Result:
    """Latencies in seconds, in order of completion, and how long the run took."""

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    own_cpu: float = 0.0

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """The latency, in milliseconds, that ``share`` of the answers did not exceed."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class _Connection:
    __slots__ = ("buffer", "sent_at", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.sent_at = 0.0

    def send(self, request: bytes) -> None:
        self.buffer = b""
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def complete(self) -> bool:
        """Take what has come; whether the answer is whole."""
        received = self.socket.recv(65536)
        if not received:
            raise WrongAnswer("the connection was closed")
        self.buffer += received
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return False
        lowered = head.lower()
        at = lowered.index(b"content-length:") + 15
        end = lowered.find(b"\r\n", at)
        return len(body) >= int(lowered[at:] if end < 0 else lowered[at:end])


def exchange(port: int, request: bytes) -> bytes:
    """The body of the answer to one request."""
    connection = _Connection(port)
    connection.send(request)
    while not connection.complete():
        pass
    connection.socket.close()
    return connection.buffer.partition(b"\r\n\r\n")[2]


def replay(
    ports: Sequence[int], requests: Sequence[bytes], *, concurrency: int, expect: bytes, status: int = 200
) -> Result:
    """Send every request once over ``concurrency`` connections, to the ports in turn; each answer must hold ``expect``."""
    start = f"HTTP/1.1 {status} ".encode()
    waiting = iter(requests)
    result = Result()
    with selectors.DefaultSelector() as selector:
        begun, cpu = time.perf_counter(), time.process_time()
        open_connections = 0
        for number, request in zip(range(concurrency), waiting, strict=False):
            connection = _Connection(ports[number % len(ports)])
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send(request)
            open_connections += 1
        while open_connections:
            for key, _ in selector.select():
                connection = key.data
                if not connection.complete():
                    continue
                result.latencies.append(time.perf_counter() - connection.sent_at)
                if not connection.buffer.startswith(start) or expect not in connection.buffer:
                    raise WrongAnswer(connection.buffer[:600].decode("utf-8", "replace"))
                following = next(waiting, None)
                if following is None:
                    selector.unregister(connection.socket)
                    connection.socket.close()
                    open_connections -= 1
                else:
                    connection.send(following)
        result.seconds = time.perf_counter() - begun
        result.own_cpu = time.process_time() - cpu
    return result
