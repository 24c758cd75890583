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
FRAMED = b"5\r\na=b&c\r\n0\r\n\r\n"
_N = str(len(FRAMED))

# Two readings of where the body above ends, or none: refused, and nothing that follows is answered.
AMBIGUOUS: dict[str, Lines] = {
    "length, then chunked": [("Content-Length", _N), ("Transfer-Encoding", "chunked")],
    "chunked, then length": [("Transfer-Encoding", "chunked"), ("Content-Length", _N)],
    "xchunked": [("Transfer-Encoding", "xchunked")],
    "identity": [("Transfer-Encoding", "identity"), ("Content-Length", _N)],
    "two lengths": [("Content-Length", _N), ("Content-Length", "4")],
    "a list of lengths": [("Content-Length", f"{_N}, 4")],
    "a length with a sign": [("Content-Length", f"+{_N}")],
    "a length below zero": [("Content-Length", "-1")],
    "a length in hexadecimal": [("Content-Length", hex(len(FRAMED)))],
    "a length of 30 digits": [("Content-Length", "1" * 30)],
}

FORWARDED: dict[str, Lines] = {
    "X-Forwarded-Host": [("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Port", "666")],
    "X-Forwarded-Proto": [("X-Forwarded-Proto", "https"), ("X-Forwarded-Scheme", "https")],
    "X-Forwarded-For": [("X-Forwarded-For", "203.0.113.9"), ("X-Real-IP", "203.0.113.9")],
    "X-Forwarded-Prefix": [("X-Forwarded-Prefix", "/evil"), ("X-Script-Name", "/evil")],
    "Forwarded": [("Forwarded", "for=203.0.113.9;host=evil.example;proto=https")],
    "underscores": [
        ("X_Forwarded_Host", "evil.example"),
        ("Content_Length", "3"),
        ("Content_Type", "text/plain"),
    ],
    "rewritten": [("X-Original-URL", "/explain"), ("X-Rewrite-URL", "/explain")],
    "another method": [
        ("X-HTTP-Method-Override", "GET"),
        ("X-HTTP-Method", "PUT"),
        ("X-Method-Override", "GET"),
    ],
    "a CGI variable": [("Request-Method", "GET"), ("Path-Info", "/explain"), ("Proxy", "evil.example:80")],
}


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
