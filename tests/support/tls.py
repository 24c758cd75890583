"""TLS before a running service, as in front of a real one, with a certificate that only the tests trust."""

import datetime as dt
import ipaddress
import os
import select
import socket
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.service import free_port

TRUST = "SSL_CERT_FILE"
_CHUNK = 65_536


def make_certificate(directory: Path) -> Path:
    """A certificate for localhost and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    today = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    file = directory / "localhost.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


class _Listener(ABC):
    """Takes connections, and passes each on in a thread of its own."""

    def __init__(self, certificate: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self.port = free_port()
        self._socket = socket.create_server(("127.0.0.1", self.port))

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._pass_on, args=(connection,), daemon=True).start()

    @abstractmethod
    def _pass_on(self, connection: socket.socket) -> None:
        """Serve a connection to its end."""


class Terminator(_Listener):
    """Takes TLS connections on ``port``, passes their octets on in clear; in a `with` block clients trust it.

    What goes where is told by the first octets of a connection: ``elsewhere`` maps a path to a port.
    """

    def __init__(self, certificate: Path, backend: int, elsewhere: dict[str, int] | None = None) -> None:
        super().__init__(certificate)
        self.certificate = certificate
        self._backend = backend
        self._elsewhere = elsewhere or {}
        self._trusted_before: str | None = None

    def __enter__(self) -> Self:
        self._trusted_before = os.environ.get(TRUST)
        os.environ[TRUST] = str(self.certificate)
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if self._trusted_before is None:
            os.environ.pop(TRUST, None)
        else:
            os.environ[TRUST] = self._trusted_before

    def _pass_on(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(20)
            with self._context.wrap_socket(connection, server_side=True) as tls:
                first = tls.recv(_CHUNK)
                path = first.split(b" ", 2)[1].decode("latin-1").partition("?")[0] if first else ""
                port = self._elsewhere.get(path, self._backend)
                with socket.create_connection(("127.0.0.1", port), 20) as backend:
                    backend.sendall(first)
                    _relay(tls, backend)


class TlsServer(_Listener):
    """TLS in front of a server that has none of its own, for Redis or, with its own greeting, PostgreSQL.

    ``connect`` opens a connection to the server behind.
    """

    _WANTED = bytes.fromhex("0000000804d2162f")  # SSLRequest of PostgreSQL's protocol

    def __init__(
        self, certificate: Path, connect: Callable[[], socket.socket], *, postgres: bool = False
    ) -> None:
        super().__init__(certificate)
        self._connect = connect
        self._postgres = postgres
        self.taken = 0

    def _pass_on(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if self._postgres:
                if connection.recv(8) != self._WANTED:
                    return  # in clear: not here
                connection.sendall(b"S")
            with self._context.wrap_socket(connection, server_side=True) as tls, self._connect() as backend:
                self.taken += 1
                _relay(tls, backend, patience=None)


def _relay(tls: ssl.SSLSocket, backend: socket.socket, *, patience: float | None = 20) -> None:
    """Both ways, by one thread: a TLS connection is not for two at once."""
    while True:
        ready = [tls] if tls.pending() else select.select([tls, backend], [], [], patience)[0]
        for source in ready:
            octets = source.recv(_CHUNK)
            if not octets:
                return
            (backend if source is tls else tls).sendall(octets)
        if not ready:
            return
