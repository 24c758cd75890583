"""Bodies: forms only, 64 kilobytes at most, whole or not at all (X4)."""

import socket
from contextlib import closing

import pytest

from support.ehr import Ehr
from support.octets import form_of, refused, request_of
from support.service import Service
from support.wire import FORM, exchange, post


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("multipart/form-data; boundary=x", None),
        ("application/json", None),
        ("text/plain", None),
        ("", None),
        (FORM + "; charset=utf-16", None),
        (FORM + ", application/json", None),
        (FORM, "gzip"),
        (FORM, "deflate, gzip"),
        (FORM, "x"),
    ],
)
def test_x4_only_a_plain_form_is_taken(content_type: str, encoding: str | None, service: Service, ehr: Ehr):
    """Another content type, another character set or any encoding is 415."""
    headers = [("DPoP", ehr.proof()), *([("Content-Encoding", encoding)] if encoding else [])]
    assert refused(post(service, form_of(ehr), headers, content_type=content_type), 415)


@pytest.mark.parametrize("length", [65_537, 1_000_000, 30_000_000])
def test_x4_a_body_has_64_kilobytes_at_most(length: int, service: Service):
    """A larger body is 413, told from its length alone, before it is read."""
    head = (
        f"POST /connect/token HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\nContent-Length: {length}\r\n\r\n"
    )
    assert refused(exchange(service, head.encode()), 413)


def test_x4_a_body_of_exactly_64_kilobytes_is_read(service: Service):
    """The last byte that fits is taken: such a form fails for its content, not for its size."""
    assert refused(
        post(service, b"grant_type=bogus&x=" + b"a" * (65_536 - 19)), 400, error="unsupported_grant_type"
    )


def test_x4_a_body_cut_short_is_not_judged(service: Service, ehr: Ehr):
    """A body of which a part is missing is refused, though what came would make a request."""
    whole = request_of(ehr)
    with closing(socket.create_connection(("127.0.0.1", service.port), 10)) as connection:
        connection.sendall(whole[:-20])
        connection.shutdown(socket.SHUT_WR)
        received = connection.recv(65_536)
    assert b"access_token" not in received
    assert not received or received.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("body", [b"&".join(b"a%d=1" % n for n in range(1001)), b"a=1&" * 1001, b"&" * 5000])
def test_x4_a_form_has_few_fields(body: bytes, service: Service):
    """A thousand and one fields are refused before one of them is looked at."""
    assert refused(post(service, body), 400)
