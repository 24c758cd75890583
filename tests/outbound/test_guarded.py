"""A request to an address that somebody else has named, against servers that have bad intentions."""

import socket
import ssl
import time
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

import pytest

from support.key_publisher import KeyPublisher
from support.tls import make_certificate
from tillit.outbound.addresses import Reach
from tillit.outbound.guarded import Guarded
from tillit.outbound.transport import Request, TransportError

AT_HOME = Reach(plain_loopback=True)
# Stands for the outside: the machine's own network, with nothing beside it in reach.
OUTSIDE = "127.0.0.2"
ONE_ADDRESS = Reach((ip_network(f"{OUTSIDE}/32"),))


class Names:
    """A resolver that gives one answer after the other, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        """The next answer."""
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def failure(send: Guarded, url: str) -> str:
    """The code with which a request fails."""
    with pytest.raises(TransportError) as caught:
        send(Request("GET", url, max_bytes=10_000))
    return caught.value.code


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of localhost and 127.0.0.1."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


def test_an_answer_comes_back():
    """Status, headers and body, with the host's own name in the request."""
    with KeyPublisher() as publisher:
        publisher.says(b"{}", headers=[("X-One", "1")])
        answer = Guarded(AT_HOME)(Request("GET", f"{publisher.uri}?v=1", (("Accept", "text/x"),)))

    assert (answer.status, answer.body, answer.header("x-one")) == (200, b"{}", "1")
    assert publisher.asked == ["/jwks?v=1"]
    assert publisher.hosts == [f"127.0.0.1:{publisher.port}"]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "169.254.169.254", "10.0.0.1", "[::ffff:7f00:1]"])
def test_k6_an_address_inside_is_never_connected_to(host: str):
    """An address that is written out is judged as any other."""
    assert failure(Guarded(Reach()), f"https://{host}/jwks") == TransportError.FORBIDDEN_ADDRESS


@pytest.mark.parametrize("spelled", ["0x7f.1", "2130706433", "0177.0.0.1", "127.1", "0x7f000001"])
def test_k6_other_spellings_of_an_address(spelled: str):
    """One that has not been turned away by its form is judged by what the system makes of it."""
    assert failure(Guarded(Reach()), f"https://{spelled}/jwks") == TransportError.INSECURE_URL
    with pytest.raises(TransportError) as caught:
        Guarded(Reach())._addresses(spelled, 443)
    assert caught.value.code == TransportError.FORBIDDEN_ADDRESS


def test_k6_a_name_that_leads_inwards():
    """A name is judged by its addresses, and by all of them."""
    for answers in (["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::ffff:8.8.8.8"], ["odd"], []):
        guarded = Guarded(Reach(), resolve=Names(answers))
        assert failure(guarded, "https://keys.example/jwks") == TransportError.FORBIDDEN_ADDRESS


def test_k6_a_name_that_changes_its_mind(certificate: Path):
    """The connection goes to the address that was judged: a second answer of the resolver is never asked for."""
    names = Names([OUTSIDE], ["127.0.0.1"])
    trusting = ssl.create_default_context(cafile=str(certificate))
    with (
        KeyPublisher(address=OUTSIDE, certificate=certificate) as harmless,
        KeyPublisher(port=harmless.port, certificate=certificate) as inside,
    ):
        guarded = Guarded(ONE_ADDRESS, resolve=names, tls=trusting)
        url = f"https://localhost:{harmless.port}/jwks"
        assert guarded(Request("GET", url)).status == 200
        assert names.asked == [("localhost", harmless.port)]
        assert failure(guarded, url) == TransportError.FORBIDDEN_ADDRESS
        assert inside.asked == []


def test_k6_the_certificate_must_be_of_the_host(certificate: Path):
    """Whatever the address, a server that cannot prove the name is not asked."""
    trusting = ssl.create_default_context(cafile=str(certificate))
    with KeyPublisher(address=OUTSIDE, certificate=certificate) as publisher:
        guarded = Guarded(ONE_ADDRESS, resolve=Names([OUTSIDE]), tls=trusting)
        assert failure(guarded, f"https://keys.example:{publisher.port}/") == TransportError.UNREACHABLE
        untrusting = Guarded(ONE_ADDRESS, resolve=Names([OUTSIDE]))
        assert failure(untrusting, f"https://localhost:{publisher.port}/") == TransportError.UNREACHABLE
        assert publisher.asked == []


def test_an_authority_of_the_health_network_can_be_trusted(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
):
    """Certificates that the file of `SSL_CERT_FILE` vouches for are good, as the page for operators says."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with KeyPublisher(address=OUTSIDE, certificate=certificate) as publisher:
        guarded = Guarded(ONE_ADDRESS, resolve=Names([OUTSIDE]))
        assert guarded(Request("GET", f"https://localhost:{publisher.port}/jwks")).status == 200


def test_a_second_address_is_tried():
    """Where one address of a host does not answer, the next one is asked."""
    with KeyPublisher() as publisher:
        guarded = Guarded(AT_HOME, resolve=Names(["127.0.0.9", "127.0.0.1"]))
        assert guarded(Request("GET", f"http://localhost:{publisher.port}/jwks")).status == 200


def test_a_name_that_nobody_knows():
    """A name without an address is unreachable, and so is one that cannot be asked for."""

    def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(-2, "unknown")

    assert failure(Guarded(Reach(), resolve=unknown), "https://a.example/") == TransportError.UNREACHABLE
    assert failure(Guarded(AT_HOME), "http://127.0.0.1:9/") == TransportError.UNREACHABLE


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: ", b""]
)
def test_k6_a_drip_ends_in_time(head: bytes):
    """A server that sends an octet now and then is left at the end of the time, in body, header and first line."""
    with KeyPublisher() as publisher:
        publisher.drips(head)
        begun = time.monotonic()
        assert failure(Guarded(AT_HOME, total_seconds=0.5), publisher.uri) == TransportError.TIMED_OUT
        assert time.monotonic() - begun < 5


def test_k6_a_server_that_says_nothing():
    """A connection that is accepted and left alone ends in time, in TLS before the first octet too."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        guarded, port = Guarded(AT_HOME, total_seconds=0.3), silent.getsockname()[1]
        for scheme in ("http", "https"):
            assert failure(guarded, f"{scheme}://127.0.0.1:{port}/") == TransportError.TIMED_OUT


def test_k6_an_answer_without_measure():
    """Five megabytes, a packed body, a body cut short and a redirect: none is read to its end or followed."""
    guarded = Guarded(AT_HOME)
    with KeyPublisher() as publisher:
        publisher.says(b"x" * 5_000_000)
        assert failure(guarded, publisher.uri) == TransportError.TOO_LARGE
        publisher.says(b"x", headers=[("Content-Encoding", "gzip")])
        assert failure(guarded, publisher.uri) == TransportError.ENCODED
        publisher.says(b'{"keys":[', length=100)
        assert failure(guarded, publisher.uri) == TransportError.UNREACHABLE
        publisher.says(b"", status=302, headers=[("Location", "http://169.254.169.254/")])
        assert guarded(Request("GET", publisher.uri)).status == 302
        publisher.says(b"", headers=[("X", "x" * 200_000)])
        assert failure(guarded, publisher.uri) == TransportError.UNREACHABLE
    assert len(publisher.asked) == 5


def test_k6_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch):
    """A proxy would resolve the name anew, so the one of the environment is not used."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with KeyPublisher() as publisher:
        assert Guarded(AT_HOME)(Request("GET", publisher.uri)).status == 200
