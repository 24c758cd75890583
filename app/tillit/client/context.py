"""One access context: an attestation, the token got for it, and their end."""

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from tillit.attestation.model import Attestation
from tillit.client.attesting import Attest, Details
from tillit.client.errors import NotSent
from tillit.client.token_request import Token
from tillit.outbound.transport import Response

_UNAUTHORIZED = 401


class Holder(Protocol):
    """Who a context gets its tokens from: a `Client` on its own behalf, or the `Session` of a login."""

    @property
    def margin(self) -> float:
        """Seconds before its expiry at which a token is no longer used."""

    @property
    def renew_after(self) -> float:
        """Age in seconds at which an attestation is made anew."""

    def clock(self) -> float:
        """Give the present moment in Unix seconds."""

    def attest(self, source: Attest) -> Attestation:
        """Make and judge an attestation. Raises `NotSent`."""

    def fetch_token(
        self, attestation: Attestation | None, *, scope: str | None, resource: str | None, details: Details
    ) -> Token:
        """Ask for one token."""

    def request(
        self,
        method: str,
        url: str,
        token: Token,
        *,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
    ) -> Response:
        """Call an API with a token."""


class Context:
    """What one practitioner may do for one patient now.

    Made by `patient_context` and `context` of a `Client` or a `Session`. Use it as a context manager. Leaving
    it, or `forget`, drops the attestation and the token (ATT-58b: an attestation is deleted when the
    practitioner changes patient), and every later use raises `NotSent`. Python gives no way to overwrite the
    memory of a string: what is dropped is every reference this library holds.
    """

    def __init__(
        self,
        holder: Holder,
        source: Attest | None,
        *,
        scope: str | None,
        resource: str | None,
        details: Details,
    ) -> None:
        self._client: Holder | None = holder
        self._source = source
        self._scope = scope
        self._resource = resource
        self._details = details
        self._attestation: Attestation | None = None
        self._token: Token | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.forget()

    def __repr__(self) -> str:
        return f"<Context {'open' if self._client else 'closed'}>"

    def token(self) -> Token:
        """Give the token of this context, asking for a new one when there is none or it is about to expire.

        The attestation is made anew when it has reached the client's `renew_after`. Raises the errors of
        `fetch_token`, and `NotSent` when the attestation breaks a rule or the context is closed.
        """
        with self._lock:
            client = self._open()
            now = client.clock()
            token = self._token
            if token is not None and now < token.expires_at - client.margin:
                return token
            self._token = None
            self._token = client.fetch_token(
                self._current(client, now),
                scope=self._scope,
                resource=self._resource,
                details=self._details,
            )
            return self._token

    def attestation(self) -> Attestation | None:
        """Give the attestation in force, judged by the consumer's rules. Raises `NotSent`."""
        with self._lock:
            client = self._open()
            return self._current(client, client.clock())

    def request(
        self, method: str, url: str, *, headers: Sequence[tuple[str, str]] = (), body: bytes | None = None
    ) -> Response:
        """Call an API within this context: `request` of the client with the context's token.

        A 401 makes the context ask for another token at its next use; the answer is given as it came.
        """
        token = self.token()
        response = self._open().request(method, url, token, headers=headers, body=body)
        if response.status == _UNAUTHORIZED:
            with self._lock:
                if self._token is token:
                    self._token = None
        return response

    def forget(self) -> None:
        """End the context: drop attestation, token, and what they are made from."""
        with self._lock:
            self._client = self._source = self._attestation = self._token = None
            self._details = ()

    def _open(self) -> Holder:
        if self._client is None:
            raise NotSent(NotSent.CONTEXT_CLOSED, "the access context has ended")
        return self._client

    def _current(self, client: Holder, now: float) -> Attestation | None:
        if self._source is None:
            return None
        made = self._attestation
        if made is None or not 0 <= now - made.toa < client.renew_after:
            self._attestation = None
            self._attestation = made = client.attest(self._source)
        return made
