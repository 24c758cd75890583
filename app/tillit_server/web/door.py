"""The door towards the production server: a request comes in whole before it takes up a place.

The server has a thread for every open connection, because a sender may take its time and a thread that waits
costs little (threat X4). Only so many requests are judged at once. What is published takes no place, so the
key set is served while all others wait for a store that does not answer; nor does a page, whatever the method
or the headers, since it may wait for an identity provider and strangers may ask for it.
"""

import io
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from queue import SimpleQueue
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from tillit_server.issuer.answers import ERROR_ID_HEADER, NO_STORE, new_error_id
from tillit_server.metrics import OTHER, Meters
from tillit_server.web.answering import CODE
from tillit_server.web.translate import MAX_BODY

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger("tillit.web")

Write = Callable[[bytes], object]


class Ended(Protocol):
    """A trace that waits for the answer."""

    def end(self, status: int, code: str | None, error_id: str | None) -> None:
        """The answer is known."""


class Traced(Protocol):
    """Whoever keeps traces."""

    def request(self, environ: "WSGIEnvironment", endpoint: str) -> AbstractContextManager[Ended]:
        """The trace of a request, this thread's as long as the block lasts."""


class Door:
    """A WSGI application around another one, of which at most ``places`` requests are judged at once.

    ``judged``: the paths at which a request is judged. ``names``: what paths are called in the ``meters``,
    which hear of every answer. ``traces`` are kept where somebody wants them.
    """

    def __init__(
        self,
        app: "WSGIApplication",
        *,
        places: int,
        judged: Collection[str],
        names: Mapping[str, str] = MappingProxyType({}),
        meters: Meters | None = None,
        traces: Traced | None = None,
    ) -> None:
        self._app = app
        self._names = names
        self._meters = meters or Meters()
        self._traces = traces
        self._judged = frozenset(judged)
        # Written in C, unlike a semaphore, of which every request would pay for the lock and the condition.
        self._places: SimpleQueue[None] = SimpleQueue()
        for _ in range(places):
            self._places.put(None)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer, and leave a trace where traces are kept."""
        if self._traces is None:
            return self._answer(environ, start_response)
        told: list[tuple[int, str | None]] = []

        def answering(status: str, headers: list[tuple[str, str]], *rest: Any) -> Write:
            told[:] = [(int(status[:3]), dict(headers).get(ERROR_ID_HEADER))]
            return start_response(status, headers, *rest)

        endpoint = self._names.get(environ.get("PATH_INFO", ""), OTHER)
        with self._traces.request(environ, endpoint) as trace:
            body = self._answer(environ, answering)
            status, error_id = told[-1]
            trace.end(status, environ.get(CODE), error_id)
            return body

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer; what nobody caught becomes a 500 that holds an id only (threat X6)."""
        path, begun, statuses = environ.get("PATH_INFO", ""), 0.0, ["500"]

        def answering(status: str, headers: list[tuple[str, str]], *rest: Any) -> Write:
            statuses[0] = status[:3]
            return start_response(status, headers, *rest)

        try:
            environ["wsgi.input"] = io.BytesIO(_body(environ))
            begun = time.perf_counter()
            if path not in self._judged:
                return self._app(environ, answering)
            self._places.get()
            try:
                return self._app(environ, answering)
            finally:
                self._places.put(None)
        except Exception as error:  # noqa: BLE001 (the server would answer without a word)
            error_id = new_error_id()
            _log.error("fault at the door", exc_info=error, extra={"event": {"error_id": error_id}})
            body = orjson.dumps({"error": "server_error", "error_id": error_id})
            headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *NO_STORE]
            answering("500 Internal Server Error", headers)
            return (body,)
        finally:
            seconds = time.perf_counter() - begun if begun else 0.0
            endpoint = self._names.get(path, OTHER)
            self._meters.answered(endpoint, int(statuses[0]), environ.get(CODE), seconds)


def _body(environ: dict[str, Any]) -> bytes:
    """The body, or nothing where ``translate`` refuses the request whatever its body holds."""
    length = environ.get("CONTENT_LENGTH", "")
    if "HTTP_TRANSFER_ENCODING" in environ or len(length) > len(str(MAX_BODY)) or not length.isdigit():
        return b""
    wanted = int(length) if length.isascii() else 0
    read: bytes = environ["wsgi.input"].read(wanted) if 0 < wanted <= MAX_BODY else b""
    return read
