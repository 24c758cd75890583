"""HTTP as octets: what two servers could read differently, what is too large, and what forwarders claim (X4, X5)."""

import errno
import json
import re
import socket
from collections.abc import Callable, Sequence
from contextlib import closing
from urllib.parse import urlencode

import pytest

from support.ehr import ATTESTATION, Answer, Ehr
from support.service import PHR, Service, http
from support.wire import FORM, exchange, post
from tillit.protocol.gate import read_jws

METADATA = "/.well-known/openid-configuration"
SMUGGLED = b"GET /.well-known/openid-configuration HTTP/1.1\r\nHost: a\r\n\r\n"
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


FRAMINGS: dict[str, Callable[[int], Lines]] = {
    "chunked": lambda _: [("Transfer-Encoding", "chunked")],
    "length, then chunked": lambda n: [("Content-Length", str(n)), ("Transfer-Encoding", "chunked")],
    "chunked, then length": lambda n: [("Transfer-Encoding", "chunked"), ("Content-Length", str(n))],
    "chunked twice": lambda _: [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")],
    "gzip, chunked": lambda _: [("Transfer-Encoding", "gzip, chunked")],
    "chunked in capitals": lambda _: [("Transfer-Encoding", "CHUNKED")],
    "chunked with a tab": lambda _: [("Transfer-Encoding", "\tchunked")],
    "chunked with an underscore": lambda n: [("Transfer_Encoding", "chunked"), ("Content-Length", str(n))],
    "xchunked": lambda _: [("Transfer-Encoding", "xchunked")],
    "identity": lambda n: [("Transfer-Encoding", "identity"), ("Content-Length", str(n))],
    "two lengths": lambda n: [("Content-Length", str(n)), ("Content-Length", "4")],
    "a list of lengths": lambda n: [("Content-Length", f"{n}, 4")],
    "a length with a sign": lambda n: [("Content-Length", f"+{n}")],
    "a length below zero": lambda _: [("Content-Length", "-1")],
    "a length in hexadecimal": lambda n: [("Content-Length", hex(n))],
    "a length of 30 digits": lambda _: [("Content-Length", "1" * 30)],
    "no length": lambda _: [],
}


@pytest.mark.parametrize("name", FRAMINGS)
def test_x5_a_body_has_one_length(name: str, service: Service):
    """A body whose end could be read in two ways is refused, and what follows is not taken for a request."""
    body = b"5\r\na=b&c\r\n0\r\n\r\n"
    headers = [("Host", "a"), ("Content-Type", FORM), *FRAMINGS[name](len(body))]
    head = "POST /connect/token HTTP/1.1\r\n" + "".join(f"{key}: {value}\r\n" for key, value in headers)
    statuses, received = answers_to(service, head.encode() + b"\r\n" + body + SMUGGLED)
    assert statuses[:1] in ([400], [413]), received[:200]
    if name != "no length":  # then the body is none, and what follows is a request of its own
        assert statuses[1:] in ([], [400]) or name in {"chunked", "chunked twice", "gzip, chunked"} | {
            "chunked in capitals",
            "chunked with a tab",
            "chunked with an underscore",
        }
    assert received.count(b'"issuer"') <= 1


def test_x5_a_smuggled_request_is_never_the_next_ones(service: Service):
    """With a length and chunks at once, the connection is closed after the refusal."""
    octets = (
        b"POST /connect/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED
    )
    statuses, received = answers_to(service, octets)
    assert statuses == [400]
    assert b'"error":"invalid_request"' in received
    assert b"connection: close" in received.lower()


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a bare CR in a value", b"X: a\rb\r\n"),
        ("a NUL in a value", b"X: a\0b\r\n"),
        ("a folded line", b"X: a\r\n b\r\n"),
        ("a blank before the colon", b"X : a\r\n"),
        ("a name with a blank", b"X y: a\r\n"),
        ("no colon", b"X\r\n"),
        ("no name", b": a\r\n"),
        ("two lengths", b"Content-Length: 3\r\nContent-Length: 4\r\n"),
    ],
)
def test_x5_a_head_that_is_no_head_is_refused(name: str, head: bytes, service: Service):
    """What is not a header field by RFC 9112 §5 ends the connection with 400, whatever its address."""
    statuses, _ = answers_to(
        service, b"GET " + METADATA.encode() + b" HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n"
    )
    assert statuses == [400], name


def test_x5_large_heads_are_turned_away(service: Service):
    """A header of 9 kB, a target of 9 kB and 120 header fields are 431."""
    line = f"GET {METADATA} HTTP/1.1\r\nHost: a\r\n"
    many = "".join(f"X{number}: a\r\n" for number in range(120))
    for head in (
        f"{line}X: {'a' * 9000}\r\n\r\n",
        f"GET /{'a' * 9000} HTTP/1.1\r\nHost: a\r\n\r\n",
        f"{line}{many}\r\n",
    ):
        assert answers_to(service, head.encode())[0] == [431]


def test_x5_one_host_and_one_proof(service: Service, ehr: Ehr):
    """Two Host headers or none are 400; two proofs, also hidden behind a bare LF, are no proof."""
    assert refused(exchange(service, request_of(ehr, headers=[("Host", "a")])), 400)
    without = request_of(ehr).replace(f"Host: 127.0.0.1:{service.port}\r\n".encode(), b"")
    assert refused(exchange(service, without), 400)
    for second in (("DPoP", ehr.proof()), ("X", f"a\nDPoP: {ehr.proof()}"), ("dpop", "x")):
        answer = exchange(service, request_of(ehr, headers=[second]))
        assert refused(answer, 400, error="invalid_dpop_proof")


def test_x5_bare_line_feeds_change_nothing(service: Service, ehr: Ehr):
    """Lines may end in a bare LF (RFC 9112 §2.2): the request is read as the same request, no more and no less."""
    answer = exchange(service, request_of(ehr, end="\n"))
    assert answer is not None
    assert answer.status == 200
    octets = request_of(ehr, end="\n") + SMUGGLED.replace(b"\r\n", b"\n")
    assert answers_to(service, octets)[0] == [200]  # it asked for the connection to be closed


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


@pytest.mark.parametrize("name", FORWARDED)
def test_x5_what_a_forwarder_claims_changes_nothing(name: str, service: Service, ehr: Ehr):
    """Headers of forwarders change neither issuer nor address nor method: the token is the same as without."""
    answer = exchange(service, request_of(ehr, headers=FORWARDED[name]))
    assert answer is not None
    assert answer.status == 200, answer.body
    assert read_jws(answer.json["access_token"]).claims["iss"] == service.issuer
    status, _, metadata = http("GET", service.issuer + METADATA, headers=dict(FORWARDED[name]))
    assert (status, json.loads(metadata)["issuer"]) == (200, service.issuer)


@pytest.mark.parametrize(
    ("line", "host"),
    [
        ("POST /connect/token HTTP/1.1", "evil.example"),
        ("POST http://evil.example/connect/token HTTP/1.1", "evil.example"),
        ("POST http://evil.example:99/connect/token HTTP/1.1", None),
    ],
)
def test_x5_a_host_named_in_the_request_changes_nothing(
    line: str, host: str | None, service: Service, ehr: Ehr
):
    """Host and absolute targets are not where we learn our address: our own htu is right, theirs is wrong."""
    answer = exchange(service, request_of(ehr, line=line, host=host))
    assert answer is not None
    assert answer.status == 200, answer.body
    assert read_jws(answer.json["access_token"]).claims["iss"] == service.issuer
    forged = request_of(ehr, line=line, host=host, htu="http://evil.example/connect/token")
    assert refused(exchange(service, forged), 400, error="invalid_dpop_proof")


def test_x5_a_method_is_what_the_request_line_says(service: Service, ehr: Ehr):
    """GET with an override is GET, and GET of the token endpoint is 405 with the one method that is allowed."""
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"):
        line = f"{method} /connect/token HTTP/1.1"
        answer = exchange(service, request_of(ehr, line=line, headers=[("X-HTTP-Method-Override", "POST")]))
        assert refused(answer, 405)
        assert answer is not None
        assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    "path",
    ["//connect/token", "/connect/token/", "/connect/./token", "/connect/x/../token", "/CONNECT/token", "/"],
)
def test_x5_a_path_has_one_spelling(path: str, service: Service, ehr: Ehr):
    """Other spellings of the token endpoint's path are no token endpoint."""
    assert refused(exchange(service, request_of(ehr, line=f"POST {path} HTTP/1.1")), 404)


def test_x5_requests_in_a_row_are_answered_in_a_row(service: Service, ehr: Ehr):
    """Two requests sent at once over one connection get two answers, each its own."""
    first = request_of(ehr).replace(b"Connection: close\r\n", b"")
    statuses, received = answers_to(service, first + request_of(ehr, body=b"grant_type=bogus"), goes_on=True)
    assert statuses == [200, 400]
    assert received.index(b"access_token") < received.index(b"unsupported_grant_type")


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


def test_errors_are_json_whatever_the_address(service: Service):
    """Unknown addresses and methods are answered as the token endpoint answers: JSON, an id, nothing of the input."""
    for method, path, status in (
        ("GET", "/nowhere/canary", 404),
        ("POST", METADATA, 405),
        ("GET", "/explain", 405),
        ("DELETE", "/.well-known/oauth-authorization-server", 405),
    ):
        answer = Answer(*http(method, service.issuer + path))
        assert refused(answer, status)
        assert len(answer.json["error_id"]) == 16
        assert b"canary" not in answer.body
        assert answer.headers["Cache-Control"] == "no-store"


def test_the_scope_of_this_file_reaches_the_api(ehr: Ehr):
    """The request that all the others are changes of is a good one."""
    answer = ehr.token()
    assert (answer.status, answer.json["scope"]) == (200, PHR)
