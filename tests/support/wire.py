"""HTTP as octets on a socket, for requests that no client library would send."""

import http.client
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from typing import Self
from urllib.parse import urlencode, urlsplit

from werkzeug.datastructures import Headers

from support.ehr import Answer
from support.service import Service

FORM = "application/x-www-form-urlencoded"
PATIENCE = 60.0
IDLE_SECONDS = 3.0
"""Less than the service lets a connection lie idle."""
BROKEN = Answer(0, {}, b'{"error": "broken connection"}')


def exchange(service: Service, request: bytes, *, timeout: float = 10) -> Answer | None:
    """Send octets as they are and give the first answer; None when the service just hangs up."""
    with closing(socket.create_connection((service.address, service.port), timeout)) as connection:
        # A service that refuses by size answers before it has read everything.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        try:
            response.begin()
            return Answer(response.status, response.headers, response.read())
        except (http.client.BadStatusLine, ConnectionResetError):
            return None
        finally:
            response.close()


def post(
    service: Service,
    body: bytes,
    headers: Sequence[tuple[str, str]] = (),
    *,
    path: str | None = None,
    content_type: str = FORM,
) -> Answer | None:
    """Post a body to the token endpoint; every header is sent as often as it is given."""
    path = path or urlsplit(service.issuer).path + "/connect/token"
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{service.port}", "Connection: close"]
    lines += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return exchange(service, "\r\n".join(lines).encode() + b"\r\n\r\n" + body)


class Lane:
    """One connection that stays open, and hence stays with one worker process."""

    def __init__(self, service: Service, path: str = "/connect/token") -> None:
        self._address = (service.address, service.port)
        self._head = (
            f"POST {urlsplit(service.issuer).path}{path} HTTP/1.1\r\nHost: {service.address}:{service.port}"
        )
        self.open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """A new connection."""
        self._socket = socket.create_connection(self._address, PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._used = time.monotonic()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def reopen(self) -> None:
        """A new connection instead of this one."""
        self.close()
        self.open()

    def renew(self) -> None:
        """The same, when this one may have lain idle, since what it was sent last, until it is closed."""
        if time.monotonic() - self._used > IDLE_SECONDS:
            self.reopen()

    def send(self, form: Mapping[str, str] | bytes, proof: str | None) -> Answer:
        """Send one request, and give its answer."""
        self.begin(form, proof)
        return self.answer()

    def begin(self, form: Mapping[str, str] | bytes, proof: str | None) -> None:
        """Send one request."""
        self.write(self.octets(form, proof))

    def octets(self, form: Mapping[str, str] | bytes, proof: str | None) -> bytes:
        """One request as it goes over the wire."""
        body = form if isinstance(form, bytes) else urlencode(form).encode()
        lines = [self._head, f"Content-Type: {FORM}", f"Content-Length: {len(body)}"]
        lines += [] if proof is None else [f"DPoP: {proof}"]
        return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body

    def write(self, octets: bytes) -> None:
        """Send octets as they are."""
        self._used = time.monotonic()
        self._socket.sendall(octets)

    def answer(self) -> Answer:
        """Wait for the answer. Raises `OSError` when the connection broke."""
        said = b""
        while b"\r\n\r\n" not in said:
            said += self._more()
        head, _, body = said.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = Headers([line.split(": ", 1) for line in lines])
        while len(body) < int(headers["Content-Length"]):
            body += self._more()
        if headers.get("Connection") == "close":
            self.reopen()
        return Answer(int(status.split()[1]), headers, body)

    def _more(self) -> bytes:
        octets = self._socket.recv(65_536)
        if not octets:
            raise ConnectionResetError("the service has closed the connection")
        return octets


class Race:
    """Runners, each on a connection of its own, at one service or at several in turn.

    ``spans``: the seconds from the first to the last start of each round.
    """

    def __init__(
        self, services: Service | Sequence[Service], runners: int, path: str = "/connect/token"
    ) -> None:
        services = [services] if isinstance(services, Service) else services
        self._lanes = [Lane(services[number % len(services)], path) for number in range(runners)]
        self._under_way = False
        self.spans: list[float] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for lane in self._lanes:
            lane.close()

    def run(self, requests: Sequence[tuple[bytes, str | None]]) -> list[Answer]:
        """Send one request from every runner before any can be answered, and give the answers in that order."""
        self.begin(requests)
        return self.answers() or []

    def begin(self, requests: Sequence[tuple[bytes, str | None]]) -> None:
        """Send all but the last octet of every request, so that all are there and none can be judged; then that."""
        sent = [lane.octets(*request) for lane, request in zip(self._lanes, requests, strict=True)]
        for lane, octets in zip(self._lanes, sent, strict=True):
            lane.renew()
            lane.write(octets[:-1])
        begun = time.monotonic()
        for lane, octets in zip(self._lanes, sent, strict=True):
            with suppress(ConnectionError):  # its answer will tell
                lane.write(octets[-1:])
        self.spans.append(time.monotonic() - begun)
        self._under_way = True

    def answers(self) -> list[Answer] | None:
        """The answers of the round that is under way, status 0 where a connection broke; None when there is none."""
        if not self._under_way:
            return None
        self._under_way = False
        return [self._answer(lane) for lane in self._lanes]

    def _answer(self, lane: Lane) -> Answer:
        try:
            return lane.answer()
        except OSError:
            lane.reopen()
            return BROKEN
