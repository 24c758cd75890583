"""X4, X5, X7 behind the proxy that we ship: what it takes upon itself, and what nobody can tell the service through it."""

import http.client
import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr, eventually
from support.ehr import Ehr
from support.front import Front
from support.managed import ManagedService, managed
from support.octets import AMBIGUOUS, FORWARDED, FRAMED, answers_to, request_of
from support.service import http_json
from support.wire import FORM, exchange, post
from tillit.protocol.gate import read_jws
from tillit_server.web.translate import MAX_BODY

METADATA = "/.well-known/openid-configuration"
SETTINGS = {"address_limits": ["authorize=3/hour"], "trusted_proxies": ["127.0.0.1"]}
SLOW_SENDERS = 100


@dataclass(frozen=True)
class Behind:
    """A service as it is seen through the proxy: its issuer at the proxy's address and port."""

    service: ManagedService
    front: Front

    @property
    def address(self) -> str:
        """Where the proxy is."""
        return self.front.address

    @property
    def port(self) -> int:
        """Its port without TLS."""
        return self.front.port

    @property
    def origin(self) -> str:
        """Where requests go."""
        return f"http://{self.address}:{self.port}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.service, name)


class ThroughTheProxy(SwiftEhr):
    """A client that sends to the proxy what it addresses to the issuer."""

    def send(self, form: Any, proof: str | None, **more: Any) -> Any:
        """Send to the proxy."""
        return super().send(form, proof, **{**more, "url": self.service.origin + "/connect/token"})


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """A service with one worker that trusts the proxy in front of it."""
    home = tmp_path_factory.mktemp("behind")
    with ExitStack() as stack:
        front = Front(home / "front", ["127.0.0.1:1"])
        service = stack.enter_context(managed(home / "data", workers=1, settings=SETTINGS))
        front.hosts = {f"127.0.0.1:{service.port}": True}
        yield Behind(service, stack.enter_context(front))


@pytest.fixture(scope="module")
def client(behind: Behind) -> Iterator[ThroughTheProxy]:
    """A client on the other side of the proxy."""
    with closing(Backstage(behind.service)) as backstage:
        ehr = backstage.client()
        yield ThroughTheProxy(behind, ehr.client_id, ehr.key)


def statuses(
    behind: Behind, address: str, headers: Sequence[tuple[str, str]] = (), *, count: int
) -> list[int]:
    """What somebody at an address is told who asks so often."""
    found = []
    for _ in range(count):
        with closing(
            http.client.HTTPConnection(behind.address, behind.port, timeout=20, source_address=(address, 0))
        ) as connection:
            connection.putrequest("GET", "/connect/authorize")
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders()
            found.append(connection.getresponse().status)
    return found


def test_x7_x5_each_address_behind_the_proxy_has_a_count_of_its_own(behind: Behind):
    """Who asked too often waits, whatever addresses he writes into his request; his neighbour does not."""
    assert 429 not in statuses(behind, "127.0.0.2", count=3)
    assert statuses(behind, "127.0.0.2", count=1) == [429]
    for number, name in enumerate(("X-Forwarded-For", "X-Real-IP", "Forwarded")):
        forged = f"for=203.0.113.{number}" if name == "Forwarded" else f"203.0.113.{number}, 203.0.113.9"
        assert statuses(behind, "127.0.0.2", [(name, forged)], count=1) == [429], name
    assert 429 not in statuses(behind, "127.0.0.3", [("X-Forwarded-For", "127.0.0.2")], count=3)


@pytest.mark.parametrize("name", FORWARDED)
def test_x5_what_a_sender_claims_to_have_forwarded_changes_nothing(
    name: str, behind: Behind, client: ThroughTheProxy
):
    """Through the proxy too, no header of forwarders changes issuer, address or method."""
    answer = exchange(behind, request_of(client, headers=FORWARDED[name], body=_body(client)))
    assert answer is not None
    assert answer.status == 200, answer.body
    assert read_jws(answer.json["access_token"]).claims["iss"] == behind.issuer
    status, _, metadata = http_json("GET", behind.origin + METADATA, headers=dict(FORWARDED[name]))
    assert (status, metadata["issuer"]) == (200, behind.issuer)


def _body(ehr: Ehr) -> bytes:
    from urllib.parse import urlencode

    return urlencode(ehr.form(ehr.assertion(), scope=SELF_SERVICE)).encode("ascii")


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_x5_two_readings_of_a_length_end_at_the_proxy(name: str, behind: Behind):
    """A request that two servers could read differently is refused, and what follows it is answered by nobody."""
    lines = [("Host", "a"), ("Content-Type", FORM), *AMBIGUOUS[name]]
    head = "POST /connect/token HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines)
    smuggled = b"GET /.well-known/openid-configuration HTTP/1.1\r\nHost: a\r\n\r\n"
    answers, received = answers_to(behind, head.encode("ascii") + b"\r\n" + FRAMED + smuggled)
    assert len(answers) <= 1
    assert set(answers) <= {400, 413, 501}
    assert b"issuer" not in received


def test_x4_what_is_too_large_ends_at_the_proxy(behind: Behind):
    """A body of 64 kB comes through, one octet more does not, nor do 9 kB of a header."""
    fits = post(behind, b"a=" + b"b" * (MAX_BODY - 2))
    assert fits is not None
    assert (fits.status, "error" in fits.json) == (401, True) or fits.status == 400
    larger = post(behind, b"a=" + b"b" * (MAX_BODY - 1))
    assert larger is not None
    assert larger.status == 413
    header = post(behind, b"a=b", [("X-Long", "x" * 9_000)])
    assert header is not None
    assert header.status in {400, 431}


def test_x4_packed_and_mixed_bodies_are_not_taken(behind: Behind):
    """The service's own answer to gzip and multipart comes through."""
    packed = post(behind, b"a=b", [("Content-Encoding", "gzip")])
    mixed = post(behind, b"a=b", content_type="multipart/form-data; boundary=a")
    for answer in (packed, mixed):
        assert answer is not None
        assert answer.status in {400, 415}
        assert json.loads(answer.body)["error"] == "invalid_request"


def test_x4_slow_senders_wait_at_the_proxy(behind: Behind, client: ThroughTheProxy):
    """Heads and bodies that come slowly are no connections of the service's, and others get their tokens."""
    beginnings = (b"POST /connect/token HTTP/1.1\r\nHost: a\r\n", _slow_body())
    before = behind.service.total("tillit_open_connections")
    with ExitStack() as stack:
        for number in range(SLOW_SENDERS):
            sender = stack.enter_context(socket.create_connection((behind.address, behind.port), 20))
            sender.sendall(beginnings[number % 2])
        answer = client.send(client.form(client.assertion(), scope=SELF_SERVICE), client.proof())
        assert answer.status == 200, answer.body
        assert behind.service.total("tillit_open_connections") <= before + 2


def _slow_body() -> bytes:
    return f"POST /connect/token HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\nContent-Length: 900\r\n\r\na=".encode()


def logged(behind: Behind, path: str) -> list[dict[str, Any]]:
    """The whole lines of the proxy's log about a path."""
    whole, _, _ = (behind.front.home / "tillit.log").read_text(encoding="utf-8").rpartition("\n")
    return [line for line in map(json.loads, whole.splitlines()) if line["path"] == path]


def test_the_proxy_speaks_tls_and_tells_the_log_no_query(behind: Behind):
    """Over TLS the same metadata; the log has a line of JSON with the path, the host that answered, and no query."""
    import ssl

    before = len(logged(behind, METADATA))
    context = ssl.create_default_context(cafile=str(behind.front.home / "localhost.pem"))
    with closing(
        http.client.HTTPSConnection("localhost", behind.front.tls_port, timeout=20, context=context)
    ) as connection:
        connection.request("GET", METADATA + "?code=canary")
        assert json.loads(connection.getresponse().read())["issuer"] == behind.issuer
    # nginx answers first and writes its line then; what others asked for may be written in between.
    lines = eventually(lambda: logged(behind, METADATA)[before:])
    assert lines
    assert {line["host"] for line in lines} == {f"127.0.0.1:{behind.service.port}"}
    assert "canary" not in (behind.front.home / "tillit.log").read_text(encoding="utf-8")
