"""People who make trouble for a service without breaking a rule of HTTP: slow senders, and one who asks all the time."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPException

from support.service import Service
from support.wire import FORM

HEAD = f"POST /connect/token HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\nContent-Length: 1000\r\n\r\n".encode()
HALF_A_HEAD = b"POST /connect/token HTTP/1.1\r\nHost: a\r\nX: "


@contextmanager
def senders(service: Service, beginning: bytes, count: int) -> Iterator[list[socket.socket]]:
    """Connections that have sent a beginning and then hesitate."""
    with ExitStack() as opened:
        connections = [
            opened.enter_context(closing(socket.create_connection(("127.0.0.1", service.port), 10)))
            for _ in range(count)
        ]
        for connection in connections:
            connection.sendall(beginning)
        yield connections


@contextmanager
def flood(service: Service, address: str, *, per_second: float, threads: int = 4) -> Iterator[Counter[int]]:
    """Somebody behind a proxy who asks for tokens so often; how often each status was answered."""
    statuses: Counter[int] = Counter()
    over = threading.Event()
    headers = {"X-Forwarded-For": address, "Content-Type": FORM}

    def ask() -> None:
        pause = threads / per_second
        while not over.is_set():
            connection = HTTPConnection("127.0.0.1", service.port, timeout=10)
            try:
                for _ in range(100):
                    begun = time.monotonic()
                    connection.request("POST", "/connect/token", b"grant_type=x", headers)
                    with connection.getresponse() as answer:
                        answer.read()
                        statuses[answer.status] += 1
                    if over.wait(max(0.0, begun + pause - time.monotonic())):
                        return
            except (OSError, HTTPException):
                statuses[0] += 1
            finally:
                connection.close()

    crowd = [threading.Thread(target=ask) for _ in range(threads)]
    for one in crowd:
        one.start()
    try:
        yield statuses
    finally:
        over.set()
        for one in crowd:
            one.join()
