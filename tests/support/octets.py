"""A good token request as octets, and every answer that a connection gives to octets."""

import errno
import re
import socket
from collections.abc import Sequence
from contextlib import closing
from urllib.parse import urlencode

from support.ehr import ATTESTATION, Answer, Ehr
from support.service import Service
from support.wire import FORM

HUNG_UP = {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN}
BEGINS_ANSWER = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")

Lines = Sequence[tuple[str, str]]


def form_of(ehr: Ehr, **fields: str) -> bytes:
    """The encoded form of a good token request."""
    return urlencode(ehr.form(ehr.assertion(details=ATTESTATION), **fields)).encode("ascii")


def request_of(
    ehr: Ehr,
    *,
    line: str = "POST /connect/token HTTP/1.1",
    host: str | None = None,
    headers: Lines = (),
    body: bytes | None = None,
    end: str = "\r\n",
    **proof: object,
) -> bytes:
    """A good token request as octets, with one thing changed."""
    body = form_of(ehr) if body is None else body
    host = f"127.0.0.1:{ehr.service.port}" if host is None else host
    lines = [
        line,
        f"Host: {host}",
        "Connection: close",
        f"Content-Type: {FORM}",
        f"DPoP: {ehr.proof(**proof)}",
    ]
    lines += [f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers)]
    return (end.join(lines) + end + end).encode("latin-1") + body


def answers_to(service: Service, octets: bytes, *, goes_on: bool = False) -> tuple[list[int], bytes]:
    """Every status on a connection until the service closes it, and all that was received."""
    received = b""
    with closing(socket.create_connection(("127.0.0.1", service.port), 10)) as connection:
        try:
            connection.sendall(octets)
            if not goes_on:
                connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(65_536):
                received += data
        except OSError as error:
            if error.errno not in HUNG_UP:
                raise
    return [int(status) for status in BEGINS_ANSWER.findall(received)], received


def refused(answer: Answer | None, status: int, *, error: str = "invalid_request") -> bool:
    """Whether an answer is that refusal, in JSON, with named members only."""
    assert answer is not None
    assert answer.headers["Content-Type"] == "application/json", answer
    assert set(answer.json) <= {"error", "error_description", "error_id"}
    assert (answer.status, answer.error) == (status, error), answer.body
    return True
