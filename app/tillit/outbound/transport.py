"""One HTTP request with limits: no redirects, no cookies, no decompression, a cap on size and on time."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import httpx

DOCUMENT_BYTES = 512 * 1024
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


class TransportError(Exception):
    """No usable answer came back. `code` is one of the constants below; the text never holds a URL or a body.

    Codes: `INSECURE_URL`, `FORBIDDEN_ADDRESS`, `UNREACHABLE`, `TIMED_OUT`, `TOO_LARGE`, `ENCODED`,
    `BAD_STATUS`, `BAD_DOCUMENT`.
    """

    INSECURE_URL = "insecure_url"
    FORBIDDEN_ADDRESS = "forbidden_address"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    TOO_LARGE = "too_large"
    ENCODED = "encoded"
    BAD_STATUS = "bad_status"
    BAD_DOCUMENT = "bad_document"

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Request:
    """One request to send. `max_bytes` caps the body of the answer."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes | None = field(default=None, repr=False)
    max_bytes: int = DOCUMENT_BYTES


@dataclass(frozen=True, slots=True)
class Response:
    """What came back: status, headers as pairs in the order received, and the whole body."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str | None:
        """Give the one value of a header, or None when it is absent or was sent with two values."""
        values = {value for key, value in self.headers if key.lower() == name.lower()}
        return values.pop() if len(values) == 1 else None


Send = Callable[[Request], Response]
"""Sends one request; raises `TransportError` when there is no usable answer. The network, as an argument."""


class Outbound:
    """The ordinary `Send`, on httpx.

    Without a client it opens a new connection for each request and closes it at `total_seconds` whatever
    happens: right for the rare fetch of a key set, where a peer that drips one byte at a time must not hold a
    thread. With `pooled=True`, or with a client of the caller's, connections are kept and each read has its
    own limit.
    """

    def __init__(
        self,
        client: "httpx.Client | None" = None,
        *,
        pooled: bool = False,
        read_seconds: float = 3.0,
        total_seconds: float = 8.0,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._owned = client is None
        self._pooled = pooled
        self._read_seconds = read_seconds
        self._total_seconds = total_seconds
        self._elapsed = elapsed
        self._opening = threading.Lock()

    def __call__(self, request: Request) -> Response:
        """Send one request and read the whole answer. Raises `TransportError`."""
        require_safe_url(request.url)
        # Before the watchdog starts, so that a connection it closed is known to be late.
        deadline = self._elapsed() + self._total_seconds
        if self._pooled and self._client is None:
            with self._opening:
                self._client = self._client or self._open()
        if self._client is not None:
            return self._exchange(self._client, request, deadline)
        client = self._open()
        watchdog = threading.Timer(self._total_seconds, client.close)
        watchdog.daemon = True
        watchdog.start()
        try:
            return self._exchange(client, request, deadline)
        finally:
            watchdog.cancel()
            client.close()

    def close(self) -> None:
        """Close the connections we keep; a client of the caller stays open."""
        if not self._owned:
            return
        with self._opening:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _open(self) -> "httpx.Client":
        import httpx  # noqa: PLC0415, a library that only verifies must not load an HTTP client

        return httpx.Client(
            timeout=self._read_seconds,
            follow_redirects=False,
            # A cookie set in one patient's context must not be sent in another's.
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=())),
            # Loopback never goes through the proxy of the environment.
            mounts={"all://localhost": None, "all://127.0.0.1": None, "all://[::1]": None},
        )

    def _exchange(self, client: "httpx.Client", request: Request, deadline: float) -> Response:
        import httpx  # noqa: PLC0415, see above

        headers = [("Accept-Encoding", "identity"), *request.headers]
        try:
            with client.stream(
                request.method,
                request.url,
                headers=headers,
                content=request.body,
                follow_redirects=False,
                timeout=self._read_seconds,
                extensions={"trace": self._tracing(deadline)},
            ) as answer:
                refuse_encoded(answer.headers.get("Content-Encoding"))
                body = read_body(self._in_time(answer.iter_raw(), deadline), request.max_bytes)
                pairs = tuple(
                    (key.decode("latin-1"), value.decode("latin-1")) for key, value in answer.headers.raw
                )
                return Response(answer.status_code, pairs, body)
        except httpx.TimeoutException as error:
            raise TransportError(TransportError.TIMED_OUT, type(error).__name__) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, RuntimeError) as error:
            late = self._elapsed() >= deadline  # our watchdog closed the connection under the reader
            code = TransportError.TIMED_OUT if late else TransportError.UNREACHABLE
            raise TransportError(code, type(error).__name__) from error

    def _in_time(self, chunks: Iterable[bytes], deadline: float) -> Iterator[bytes]:
        for chunk in chunks:
            self._require_time(deadline)
            yield chunk

    def _tracing(self, deadline: float) -> Callable[[str, object], None]:
        """Ends what the watchdog could not: a connection that was not made yet when it closed all others."""

        def trace(event: str, _: object) -> None:
            if event.startswith("http11.send_request_headers"):  # the first moment at which it can be closed
                self._require_time(deadline)

        return trace

    def _require_time(self, deadline: float) -> None:
        if self._elapsed() > deadline:
            raise TransportError(TransportError.TIMED_OUT, "the answer took too long")


def refuse_encoded(encoding: str | None) -> None:
    """Raise `TransportError` for a body that could unpack to a thousand times its size; we asked for none."""
    if (encoding or "identity").lower() != "identity":
        raise TransportError(TransportError.ENCODED)


def read_body(chunks: Iterable[bytes], max_bytes: int) -> bytes:
    """Read a body of at most `max_bytes`. Raises `TransportError`."""
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > max_bytes:
            raise TransportError(TransportError.TOO_LARGE, f"more than {max_bytes} bytes")
    return bytes(body)


def sender(http: "Send | httpx.Client | None", *, pooled: bool = False) -> Send:
    """Make a `Send`: a callable stays what it is, an `httpx.Client` is wrapped, None gives our own."""
    if http is None:
        return Outbound(pooled=pooled)
    if callable(http):
        return http
    return Outbound(http)


def require_safe_url(url: str) -> str:
    """Give the URL back when a secret or a key may travel over it; raises `TransportError` otherwise.

    That is https to anywhere, or http to loopback (development), without user information or fragment.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise TransportError(TransportError.INSECURE_URL, "not a URL") from error
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        raise TransportError(TransportError.INSECURE_URL, "an https URL without user or fragment is needed")
    if parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK_HOSTS):
        return url
    raise TransportError(TransportError.INSECURE_URL, "https is needed, or http on loopback")


def freshness(
    headers: Mapping[str, str] | Response, *, default: float, floor: float = 30.0, ceiling: float = 86_400.0
) -> float:
    """Read for how many seconds a document may be used without asking again (RFC 9111 §4.2.1).

    `max-age` less `Age`, held between `floor` and `ceiling`: a server that says 0 would otherwise be asked at
    every request, one that says a year would keep a revoked key alive.
    """
    get = headers.header if isinstance(headers, Response) else headers.get
    directives = [part.strip().lower() for part in (get("Cache-Control") or "").split(",")]
    if "no-store" in directives or "no-cache" in directives:
        return floor
    seconds = default
    for directive in directives:
        name, _, value = directive.partition("=")
        digits = value.strip().strip('"')
        if name == "max-age" and digits.isascii() and digits.isdigit():
            seconds = float(digits[:12])
            break
    age = (get("Age") or "").strip()
    if age.isascii() and age.isdigit():
        seconds -= float(age[:12])
    return min(max(seconds, floor), ceiling)
