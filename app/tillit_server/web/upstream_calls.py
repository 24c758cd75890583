"""Calls to a provider: so many at once, each within its time, with our own limits on what comes back."""

import io
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

import requests
from requests.adapters import BaseAdapter

from tillit.outbound.transport import Outbound, Request, TransportError
from tillit_server.web.upstream_state import ProviderAway

AT_ONCE: Final = 32
"""Logins for which one worker asks one provider at the same time."""
SECONDS: Final = 6.0
"""For all that one request of a browser asks of a provider; a connection is closed after eight."""
_ONE_CALL: Final = 5.0
_TOLD: Final = ("Accept", "Authorization", "Content-Type")

T = TypeVar("T")


class Calls:
    """What one worker asks of the provider called ``idp``."""

    def __init__(self, idp: str) -> None:
        self._idp = idp
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self.send = Outbound(read_seconds=_ONE_CALL, total_seconds=_ONE_CALL)

    def within(self, act: Callable[[], T]) -> T:
        """What ``act`` gives or raises, in its time. Raises ``ProviderAway``.

        It has a thread of its own, since no limit on reading holds for names that are looked up, documents
        that others fetch, and bytes that drip. The place is free when the thread has ended.
        """
        if not self._places.acquire(blocking=False):
            raise ProviderAway(self._idp, "many wait for it already")
        outcome: Future[T] = Future()

        def run() -> None:
            try:
                outcome.set_result(act())
            except Exception as error:  # noqa: BLE001 (raised where the outcome is waited for)
                outcome.set_exception(error)
            finally:
                self._places.release()

        threading.Thread(target=run, name=f"provider {self._idp}", daemon=True).start()
        try:
            return outcome.result(SECONDS)
        except TimeoutError as error:
            raise ProviderAway(self._idp, "no answer in time") from error

    def fit(self, session: requests.Session) -> None:
        """Have a session of Authlib's go our own way out."""
        for scheme in ("https://", "http://"):
            session.mount(scheme, _WayOut(self.send))


class _WayOut(BaseAdapter):
    """Our own way out where the library ``requests`` expects one: no redirect, cookie, or endless answer."""

    def __init__(self, send: Outbound) -> None:
        super().__init__()
        self._send = send

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Send and read the whole answer. Raises ``requests.ConnectionError``."""
        sent = request.body.encode() if isinstance(request.body, str) else request.body
        body = sent if isinstance(sent, bytes) else None
        headers = tuple((name, str(value)) for name in _TOLD if (value := request.headers.get(name)))
        try:
            told = self._send(Request(request.method or "", request.url or "", headers, body))
        except TransportError as error:
            raise requests.ConnectionError(str(error), request=request) from error
        answer = requests.Response()
        answer.status_code = told.status
        answer.headers.update(told.headers)
        answer.url, answer.request, answer.raw = request.url or "", request, io.BytesIO(told.body)
        return answer

    def close(self) -> None:
        """Nothing is kept open."""
