"""The door towards the production server: a request comes in whole before a thread sees it.

The server speaks RSGI. Headers and body are awaited on its event loop, the body with a limit in bytes and in
seconds, so that five hundred senders of one byte a second cost five hundred waiting coroutines and not every
thread there is (threat X4). What is published (GET) has threads of its own: the key set is served while all
others wait for a store that does not answer.
"""

import asyncio
import io
import logging
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from tillit_server.issuer.answers import NO_STORE, new_error_id
from tillit_server.web.translate import MAX_BODY

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_log = logging.getLogger("tillit.web")

BODY_SECONDS = 5.0
"""How long a body may take to come in, all of it."""

PUBLISHING_THREADS = 2
_PUBLISHED = frozenset({"GET", "HEAD"})

Reply = tuple[int, list[tuple[str, str]], bytes]


class Headers(Protocol):
    """The header fields of a request, names in lower case, each field as it was sent."""

    def items(self) -> list[tuple[str, str]]:
        """Every field, repeated ones too."""


class Scope(Protocol):
    """What RSGI tells about a request."""

    method: str
    path: str
    query_string: str
    client: str
    server: str
    http_version: str
    headers: Headers


class Exchange(Protocol):
    """What RSGI lets us do: take the body, answer."""

    async def __call__(self) -> bytes:
        """The whole body. Raises when the sender goes away before its end."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Send the answer."""


class Door:
    """An RSGI application around a WSGI one; ``close`` is called when its worker stops in good order."""

    def __init__(
        self, app: "WSGIApplication", *, threads: int, close: Callable[[], None] = lambda: None
    ) -> None:
        """``threads``: how many requests may be judged at once in this worker."""
        self._app = app
        self._close = close
        self._judging = ThreadPoolExecutor(threads, thread_name_prefix="judging")
        self._publishing = ThreadPoolExecutor(PUBLISHING_THREADS, thread_name_prefix="publishing")

    def __rsgi_del__(self, _loop: asyncio.AbstractEventLoop) -> None:
        """Finish what is being answered, then let go of the installation."""
        self._judging.shutdown()
        self._publishing.shutdown()
        self._close()

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        """Take one request in, have it answered in a thread, send the answer."""
        environ = environ_of(scope)
        body = b""
        if length := _length_to_read(environ):
            body = await _body(exchange, length)
        environ["wsgi.input"] = io.BytesIO(body)
        threads = self._publishing if scope.method in _PUBLISHED else self._judging
        reply = await asyncio.get_running_loop().run_in_executor(threads, self._answer, environ)
        exchange.response_bytes(*reply)

    def _answer(self, environ: dict[str, Any]) -> Reply:
        started: list[tuple[int, list[tuple[str, str]]]] = []
        late: list[bytes] = []  # PEP 3333 wants a write function; nobody here uses it

        def start_response(
            status: str, headers: list[tuple[str, str]], *_: object
        ) -> Callable[[bytes], object]:
            started.append((int(status[:3]), headers))
            return late.append

        try:
            parts = self._app(environ, start_response)
            try:
                body = b"".join((*late, *parts))
            finally:
                if hasattr(parts, "close"):
                    parts.close()
            status, headers = started[-1]
        except Exception as error:  # noqa: BLE001 (the server would write a traceback with our values)
            return _fault(error)
        return status, headers, body


async def _body(exchange: Exchange, length: int) -> bytes:
    """The body, or less of it when it does not come in time; ``translate`` refuses what is too short."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await exchange()
    except Exception:  # noqa: BLE001 (late, or the sender has gone: the server's own kinds of errors)
        return b""
    return body[:length]


def environ_of(scope: Scope) -> dict[str, Any]:
    """The WSGI environment (PEP 3333), without ``wsgi.input``; a repeated header is joined with a comma.

    A header with an underscore in its name is left out: it could pass for the one with a hyphen.
    """
    server, _, port = scope.server.rpartition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode("utf-8", "replace").decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": server,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1" if scope.http_version == "1.1" else "HTTP/1.0",
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        if "_" in name:
            continue
        key = _variable(name)
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


@lru_cache(512)
def _variable(header: str) -> str:
    variable = header.upper().replace("-", "_")
    return variable if variable in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{variable}"


def _length_to_read(environ: Mapping[str, Any]) -> int:
    """How long the body is, or 0 where ``translate`` refuses the request whatever its body holds."""
    length = environ.get("CONTENT_LENGTH", "")
    if "HTTP_TRANSFER_ENCODING" in environ or len(length) > len(str(MAX_BODY)) or not length.isdigit():
        return 0
    return int(length) if length.isascii() and int(length) <= MAX_BODY else 0


def _fault(error: Exception) -> Reply:
    error_id = new_error_id()
    _log.error("fault at the door", exc_info=error, extra={"event": {"error_id": error_id}})
    headers = [("Content-Type", "application/json"), *NO_STORE]
    return 500, headers, orjson.dumps({"error": "server_error", "error_id": error_id})
