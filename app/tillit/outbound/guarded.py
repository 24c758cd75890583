"""One request to an address that somebody else has named: judged, pinned, and over in its time (threat K6).

The name is resolved once; every address it has is judged, and the connection goes to one of those judged,
so that a second answer of the resolver changes nothing. No proxy is asked, for it would resolve anew.
"""

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import httpcore
import httpx

from tillit.outbound.addresses import Reach
from tillit.outbound.transport import Request, Response, TransportError, read_body, refuse_encoded

Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a host, at least one. Raises ``OSError``."""

CONNECT_SECONDS: Final = 2.0
"""For each address of a host, so that one that is silent leaves time for the next."""


def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of ``host`` as the system knows them. Raises ``OSError``."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label too long for the encoding of names
        raise OSError("not a host name") from error
    return [str(place[0]) for *_, place in found]


class Guarded:
    """A ``Send`` that goes as far as ``reach`` and takes ``total_seconds`` at most, from name to last octet.

    Only the resolver of the system keeps its own time. ``tls``: None trusts what the system or
    ``SSL_CERT_FILE`` names. Cookies, redirects, proxies and packed bodies do not exist here.
    """

    def __init__(
        self,
        reach: Reach,
        *,
        total_seconds: float = 5.0,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reach = reach
        self._total_seconds = total_seconds
        self._resolve = resolve
        self._tls = tls
        self._elapsed = elapsed

    def __call__(self, request: Request) -> Response:
        """Send one request and read the whole answer. Raises ``TransportError``."""
        if fault := self._reach.fault_of(request.url):
            raise TransportError(TransportError.INSECURE_URL, fault)
        deadline = self._elapsed() + self._total_seconds
        if self._tls is None:
            self._tls = httpx.create_ssl_context()
        backend = _Backend(self._addresses, lambda: deadline - self._elapsed())
        headers = [("Accept-Encoding", "identity"), ("User-Agent", "tillit"), *request.headers]
        try:
            with (
                httpcore.ConnectionPool(self._tls, network_backend=backend) as pool,
                pool.stream(request.method, request.url, headers=headers, content=request.body) as answer,
            ):
                pairs = tuple(
                    (key.decode("latin-1"), value.decode("latin-1")) for key, value in answer.headers
                )
                response = Response(answer.status, pairs)
                refuse_encoded(response.header("Content-Encoding"))
                body = read_body(answer.iter_stream(), request.max_bytes)
                return Response(answer.status, pairs, body)
        except (httpcore.TimeoutException, TimeoutError) as error:
            raise TransportError(TransportError.TIMED_OUT, type(error).__name__) from error
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
            OSError,
            ValueError,
        ) as error:
            raise TransportError(TransportError.UNREACHABLE, type(error).__name__) from error

    def _addresses(self, host: str, port: int) -> Sequence[str]:
        """What ``host`` resolves to, all of it in reach. Raises ``TransportError``, ``OSError``."""
        found = tuple(dict.fromkeys(self._resolve(host, port)))
        if not found or not all(map(self._reach.admits, found)):
            raise TransportError(TransportError.FORBIDDEN_ADDRESS, "not public, and in no network listed")
        return found


class _Backend(httpcore.NetworkBackend):
    """Connects to judged addresses only. ``left``: seconds until the request must be over."""

    def __init__(self, addresses: Callable[[str, int], Sequence[str]], left: Callable[[], float]) -> None:
        self._addresses = addresses
        self._left = left
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Resolve, judge and connect: the one moment at which a name counts."""
        del timeout
        failure: Exception = httpcore.ConnectError("no address")
        for address in self._addresses(host, port):
            seconds = min(CONNECT_SECONDS, _positive(self._left()))
            try:
                stream = self._network.connect_tcp(address, port, seconds, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _Stream(stream, self._left)
        raise failure


class _Stream(httpcore.NetworkStream):
    """A connection whose every step gets what is left of the time: drips end with it, in any phase."""

    def __init__(self, stream: httpcore.NetworkStream, left: Callable[[], float]) -> None:
        self._stream = stream
        self._left = left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """As the connection."""
        del timeout
        return self._stream.read(max_bytes, _positive(self._left()))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """As the connection."""
        del timeout
        self._stream.write(buffer, _positive(self._left()))

    def close(self) -> None:
        """As the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """The certificate must be the host's, whatever the address."""
        del timeout
        stream = self._stream.start_tls(ssl_context, server_hostname, _positive(self._left()))
        return _Stream(stream, self._left)

    def get_extra_info(self, info: str) -> object:
        """As the connection."""
        return self._stream.get_extra_info(info)


def _positive(seconds: float) -> float:
    # Zero would mean "do not wait", and a socket that does not wait is no timeout to its readers.
    if seconds <= 0:
        raise httpcore.ReadTimeout
    return seconds
