"""One HTTP request with limits, against a server that misbehaves on a real socket."""

import contextlib
import gzip
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from support.tls import make_certificate
from tillit.outbound import Outbound, Request, Response, TransportError, require_safe_url, sender
from tillit.outbound.transport import freshness


class _Misbehaving(BaseHTTPRequestHandler):
    """Answers by path."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        getattr(self, self.path.strip("/").partition("?")[0])()

    do_POST = do_GET  # noqa: N815, the name the server looks for

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def ok(self):
        length = int(self.headers.get("Content-Length", 0))
        seen = f"{self.command} {self.headers.get('X-Test')} {self.headers.get('Accept-Encoding')} {self.headers.get('Cookie')} "
        self.answer(200, seen.encode() + self.rfile.read(length), Set_Cookie="a=b", X_One="1")

    def redirect(self):
        self.answer(302, Location="/ok")

    def large(self):
        self.answer(200, b"x" * 100_000)

    def endless(self):
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b"x" * 10_000)
        self.close_connection = True

    def packed(self):
        self.answer(200, gzip.compress(b"x" * 100_000), Content_Encoding="gzip")

    def cut(self):
        self.answer(200, b"x", Content_Length="10")
        self.close_connection = True

    def drip(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.drip_forever(b"x")

    def drip_headers(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        self.drip_forever(b"x")

    def drip_forever(self, data):
        with contextlib.suppress(OSError):
            while not self.server.stopping.wait(0.01):
                self.wfile.write(data)
                self.wfile.flush()
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def origin():
    """The address of a misbehaving server on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Misbehaving)
    server.stopping = threading.Event()
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.stopping.set()
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture(params=[False, True], ids=["single", "pooled"])
def outbound(request):
    """Both ways of sending."""
    out = Outbound(pooled=request.param, read_seconds=2, total_seconds=5)
    yield out
    out.close()


def failure(send, request):
    with pytest.raises(TransportError) as caught:
        send(request)
    return caught.value.code


def test_a_request_goes_out_and_an_answer_comes_back(origin, outbound):
    """Method, headers and body arrive; status, headers and body come back."""
    answer = outbound(Request("POST", f"{origin}/ok", (("X-Test", "1"),), b"body"))

    assert answer.status == 200
    assert answer.body == b"POST 1 identity None body"
    assert answer.header("x-one") == "1"


def test_cookies_are_not_kept(origin, outbound):
    """A cookie of one answer is not sent with the next request: patients' contexts share a connection pool."""
    for _ in range(2):
        assert outbound(Request("GET", f"{origin}/ok")).body == b"GET None identity None "


def test_k6_a_redirect_is_not_followed(origin, outbound):
    """A redirect is given back as it came."""
    assert outbound(Request("GET", f"{origin}/redirect")).status == 302


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("large", TransportError.TOO_LARGE),
        ("endless", TransportError.TOO_LARGE),
        ("packed", TransportError.ENCODED),
        ("cut", TransportError.UNREACHABLE),
    ],
)
def test_k6_an_answer_without_measure(origin, outbound, path, code):
    """Too much, endless, packed and broken answers are refused, each with its code."""
    assert failure(outbound, Request("GET", f"{origin}/{path}", max_bytes=50_000)) == code


@pytest.mark.parametrize("path", ["drip", "drip_headers"])
def test_k6_a_drip_ends_in_time(origin, path):
    """A server that sends a byte now and then holds a fetch no longer than its limit, in body and in headers."""
    out = Outbound(read_seconds=2, total_seconds=0.2)
    begun = time.monotonic()

    assert failure(out, Request("GET", f"{origin}/{path}")) == TransportError.TIMED_OUT
    assert time.monotonic() - begun < 2


def test_k6_a_drip_ends_in_time_on_kept_connections(origin):
    """Kept connections have no watchdog, but a body that drips ends in time there too."""
    out = Outbound(pooled=True, read_seconds=2, total_seconds=0.1)

    assert failure(out, Request("GET", f"{origin}/drip")) == TransportError.TIMED_OUT
    out.close()


def test_k6_a_drip_ends_in_time_after_a_slow_handshake(tmp_path, monkeypatch):
    """A connection that is only made when the time is over is not used, whatever drips from it."""
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    stopping = threading.Event()

    def serve():
        with contextlib.suppress(OSError):
            connection, _ = listening.accept()
            stopping.wait(0.6)
            with context.wrap_socket(connection, server_side=True) as tls:
                tls.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                while not stopping.wait(0.05):
                    tls.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"https://localhost:{listening.getsockname()[1]}/"
        late = ThreadPoolExecutor(1).submit(
            failure, Outbound(read_seconds=5, total_seconds=0.3), Request("GET", url)
        )
        try:
            assert late.result(20) == TransportError.TIMED_OUT
        finally:
            stopping.set()
            thread.join(10)


def test_nobody_listens(outbound):
    """A refused connection is unreachable."""
    with contextlib.closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

    assert failure(outbound, Request("GET", f"http://127.0.0.1:{port}/")) == TransportError.UNREACHABLE


def test_a_server_that_says_nothing_times_out():
    """A connection that is accepted and left alone ends after the read limit."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        out = Outbound(read_seconds=0.1, total_seconds=5)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"

        assert failure(out, Request("GET", url)) == TransportError.TIMED_OUT


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example/",
        "http://127.0.0.1.evil.example/",
        "http://0x7f.1/",
        "http://169.254.169.254/",
        "file:///etc/passwd",
        "data:,x",
        "https://",
        "https:///path",
        "https://user@issuer.example/",
        "https://user:pw@issuer.example/",
        "https://issuer.example/#part",
        "https://issuer.example:99999/",
        "https://[::1",
        "issuer.example",
        "",
    ],
)
def test_k6_an_unsafe_address(url):
    """Secrets and keys travel over https, or on loopback, and nowhere else; the address is not quoted."""
    with pytest.raises(TransportError) as caught:
        require_safe_url(url)

    assert caught.value.code == TransportError.INSECURE_URL
    assert "pw" not in str(caught.value)
    assert failure(Outbound(), Request("GET", url)) == TransportError.INSECURE_URL


@pytest.mark.parametrize(
    "url", ["https://a.example", "https://a.example:8443/x?y", "http://localhost:1", "http://[::1]:8/"]
)
def test_a_safe_address(url):
    """An address that is safe comes back as it is."""
    assert require_safe_url(url) == url


def test_the_owner_may_bring_a_client_or_a_function(origin):
    """An httpx client is used as it is configured, a function is called, nothing gives our own."""
    with httpx.Client(headers={"X-Test": "mine"}) as client:
        theirs = sender(client)
        assert theirs(Request("GET", f"{origin}/ok")).body.startswith(b"GET mine")
        theirs.close()
        assert not client.is_closed
    own = lambda _: Response(204)  # noqa: E731, a function is all it takes
    assert sender(own) is own
    assert isinstance(sender(None), Outbound)


def test_a_header_sent_twice_has_no_value():
    """Two different values of one header are no value."""
    answer = Response(200, (("A", "1"), ("a", "2"), ("B", "1"), ("b", "1")))

    assert (answer.header("a"), answer.header("b"), answer.header("c")) == (None, "1", None)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Cache-Control": "max-age=100", "Age": "40"}, 60),
        ({"Cache-Control": "max-age=100", "Age": "99"}, 30),
        ({"Cache-Control": "max-age=100", "Age": "?"}, 100),
        ({}, 200),
        ({"Cache-Control": "private, max-age=\u0663\u0663\u0663"}, 200),
    ],
)
def test_freshness(headers, seconds):
    """Freshness is max-age less the age the answer had already (RFC 9111 §4.2)."""
    assert freshness(headers, default=200) == seconds
