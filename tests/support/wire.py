"""HTTP as octets on a socket, for requests that no client library would send."""

import http.client
import socket
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from typing import Self
from urllib.parse import urlencode, urlsplit

from support.ehr import Answer
from support.service import Service

FORM = "application/x-www-form-urlencoded"


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
        self._path = urlsplit(service.issuer).path + path
        self._connection = http.client.HTTPConnection(service.address, service.port, timeout=20)
        self._connection.connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def send(self, form: Mapping[str, str] | bytes, proof: str | None) -> Answer:
        """Send one request, and give its answer."""
        self.begin(form, proof)
        return self.answer()

    def begin(self, form: Mapping[str, str] | bytes, proof: str | None) -> None:
        """Send one request."""
        body = form if isinstance(form, bytes) else urlencode(form).encode()
        headers = {"Content-Type": FORM} | ({} if proof is None else {"DPoP": proof})
        self._connection.request("POST", self._path, body, headers)

    def answer(self) -> Answer:
        """Wait for the answer to it."""
        response = self._connection.getresponse()
        return Answer(response.status, response.headers, response.read())


class Race:
    """Runners, each on a connection of its own, at one service or at several in turn."""

    def __init__(
        self, services: Service | Sequence[Service], runners: int, path: str = "/connect/token"
    ) -> None:
        services = [services] if isinstance(services, Service) else services
        self._lanes = [Lane(services[number % len(services)], path) for number in range(runners)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for lane in self._lanes:
            lane.close()

    def run(self, requests: Sequence[tuple[bytes, str | None]]) -> list[Answer]:
        """Send one request from every runner before any answer is read, and give the answers in that order."""
        for lane, request in zip(self._lanes, requests, strict=True):
            lane.begin(*request)
        return [lane.answer() for lane in self._lanes]
