"""ASGI: a middleware for Starlette, FastAPI, Quart and the like; it imports none of them."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote

from tillit.verifier.refusals import Refused
from tillit.verifier.verifier import Verifier

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
SendMessage = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, SendMessage], Awaitable[None]]

ACCESS = "tillit.access"
"""Where the application finds its `Access` in the scope."""

_PATH_SAFE = "/-._~!$&'()*+,;=:@"
_POLICY_VIOLATION = 1008


def public_url(scope: Scope, base_url: str) -> str:
    """Give the address a client must have signed: the configured base and the path as it was sent."""
    raw = scope.get("raw_path")
    path = raw.split(b"?", 1)[0].decode("latin-1") if raw else quote(scope["path"], safe=_PATH_SAFE)
    return base_url.rstrip("/") + path


class VerifiedASGI:
    """Puts a verified `Access` into ``scope["tillit.access"]``, or answers the refusal.

    Every HTTP request behind it is protected; WebSocket connections are refused, since a proof is for one
    request. `base_url` is the public scheme and authority of this API, from configuration. `patient` finds
    the patient's number in the scope. Verifying happens in a thread, because it may fetch keys.
    """

    def __init__(
        self,
        app: Application,
        verifier: Verifier,
        *,
        base_url: str,
        patient: Callable[[Scope], str | None] | None = None,
    ) -> None:
        self._app = app
        self._verifier = verifier
        self._base_url = base_url
        self._patient = patient

    async def __call__(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        """Answer one request."""
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "websocket":
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            case _:
                await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        try:
            scope[ACCESS] = await asyncio.to_thread(
                self._verifier.verify,
                scope["method"],
                public_url(scope, self._base_url),
                headers,
                self._patient(scope) if self._patient else None,
            )
        except Refused as refused:
            answer = [(name.lower().encode(), value.encode("latin-1")) for name, value in refused.headers]
            await send({"type": "http.response.start", "status": refused.status, "headers": answer})
            await send({"type": "http.response.body", "body": refused.body})
            return
        await self._app(scope, receive, send)
