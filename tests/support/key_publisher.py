"""A client's own server, which publishes its keys at a ``jwks_uri``: well, badly, or with bad intentions."""

import json
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from tillit.protocol.jose import SigningKey

JWK_SET = "application/jwk-set+json"


def jwks(*keys: SigningKey, **members: Any) -> bytes:
    """A key set; ``members`` are written into its first key."""
    published = [dict(key.public.jwk) for key in keys]
    if members:
        published[0] |= members
    return json.dumps({"keys": published}).encode()


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Count, and answer as the publisher says just now."""
        publisher = self.server.publisher
        with publisher.lock:
            publisher.asked.append(self.path)
            publisher.hosts.append(self.headers.get("Host", ""))
        with suppress(OSError):
            publisher.answer(self)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    publisher: "KeyPublisher"

    def handle_error(self, *_: object) -> None:
        """Whoever we treat badly hangs up."""


class KeyPublisher:
    """Use it in a `with` block. ``asked``: the path of every request, in order."""

    def __init__(
        self,
        *keys: SigningKey,
        address: str = "127.0.0.1",
        port: int = 0,
        certificate: Path | None = None,
    ) -> None:
        self.lock = threading.Lock()
        self.asked: list[str] = []
        self.hosts: list[str] = []
        self.released = threading.Event()
        self._server = _Server((address, port), _Handler)
        self._server.publisher = self
        self.port = int(self._server.server_port)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.uri = f"{'https' if certificate else 'http'}://{address}:{self.port}/jwks"
        self.answer: Callable[[_Handler], None] = lambda _: None
        self.publishes(*keys)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def publishes(self, *keys: SigningKey, max_age: int | None = None, **members: Any) -> None:
        """A good set from now on."""
        control = [] if max_age is None else [("Cache-Control", f"max-age={max_age}")]
        self.says(jwks(*keys, **members), headers=control)

    def says(
        self,
        body: bytes,
        *,
        status: int = 200,
        media_type: str = JWK_SET,
        headers: Sequence[tuple[str, str]] = (),
        length: int | None = None,
    ) -> None:
        """These octets from now on; ``length`` is what it claims they are."""

        def answer(handler: _Handler) -> None:
            handler.send_response(status)
            told = (("Content-Type", media_type), ("Content-Length", str(length or len(body))), *headers)
            for name, value in told:
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(body)

        self.answer = answer

    def drips(self, head: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n") -> None:
        """An octet every tenth of a second from now on, after ``head``, until the test is over."""

        def answer(handler: _Handler) -> None:
            handler.wfile.write(head)
            while not self.released.wait(0.1):
                handler.wfile.write(b"x")
                handler.wfile.flush()

        self.answer = answer
