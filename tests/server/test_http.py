"""HTTP as octets: what two servers could read differently, what is too large, and what forwarders claim (X5)."""

import json

import pytest

from support.backstage import eventually
from support.ehr import Answer, Ehr
from support.octets import AMBIGUOUS, FORWARDED, FRAMED, Lines, answers_to, refused, request_of
from support.service import PHR, Service, http
from support.wire import FORM, exchange
from tillit.protocol.gate import read_jws

METADATA = "/.well-known/openid-configuration"
SMUGGLED = b"GET /.well-known/openid-configuration HTTP/1.1\r\nHost: a\r\n\r\n"
N = str(len(FRAMED))

# One end, told in a way that a form has no need of: refused, and what follows is a request of its own.
CHUNKED: dict[str, Lines] = {
    "chunked": [("Transfer-Encoding", "chunked")],
    "chunked twice": [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")],
    "chunked after gzip": [("Transfer-Encoding", "gzip, chunked")],
    "chunked in capitals": [("Transfer-Encoding", "CHUNKED")],
    "chunked with a tab": [("Transfer-Encoding", "\tchunked")],
    "chunked with an underscore": [("Transfer_Encoding", "chunked"), ("Content-Length", N)],
}


def framed(headers: Lines) -> bytes:
    """A body under these headers, and another request after it."""
    lines = [("Host", "a"), ("Content-Type", FORM), *headers]
    head = "POST /connect/token HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines)
    return head.encode("ascii") + b"\r\n" + FRAMED + SMUGGLED


@pytest.mark.parametrize("name", CHUNKED)
def test_x5_a_form_comes_with_its_length(name: str, service: Service):
    """A body in chunks is refused in JSON."""
    statuses, received = answers_to(service, framed(CHUNKED[name]))
    assert statuses[0] == 400
    assert b'"error":"invalid_request"' in received
    assert set(statuses[1:]) <= {200}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_x5_a_body_has_one_end(name: str, service: Service):
    """A body whose end could be read in two ways is refused, and what follows is not taken for a request."""
    statuses, received = answers_to(service, framed(AMBIGUOUS[name]))
    assert statuses[0] in {400, 413}
    assert set(statuses[1:]) <= {400}
    assert b'"issuer"' not in received


def test_x5_without_a_length_there_is_no_body(service: Service):
    """A form without a length is refused; its body is not taken for one."""
    statuses, received = answers_to(service, framed([]))
    assert statuses[0] == 400
    assert b"Content-Length: a number needed" in received


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
        # Its end was not read, so the connection may be reset before the answer is seen.
        assert eventually(lambda head=head: answers_to(service, head.encode())[0]) == [431]


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
