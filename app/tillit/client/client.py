"""An EHR's client: tokens for one attested access context at a time, and API calls that prove possession."""

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from tillit.attestation.model import Attestation
from tillit.client.attesting import Attest, Details, to_details
from tillit.client.context import Context
from tillit.client.discovery import Discovery
from tillit.client.errors import NotSent, Unreachable
from tillit.client.token_request import Token, client_credentials_request, read_token_response, wants_nonce
from tillit.outbound.transport import (
    Outbound,
    Request,
    Response,
    Send,
    TransportError,
    require_safe_url,
    sender,
)
from tillit.protocol.client_assertion import make_assertion
from tillit.protocol.dpop import make_proof
from tillit.protocol.jose import SigningKey, generate_key

if TYPE_CHECKING:
    import httpx

ANSWER_BYTES = 64 * 1024 * 1024
"""The largest answer of an API that is read."""


class Client:
    """One registered client of one issuer. Threads may share it; contexts belong to one practitioner each.

    `key` signs client assertions, `dpop_key` proofs; without `dpop_key` a new ES256 key is made, which lives
    as long as this object and is never written down. `http` is a `Send` or an `httpx.Client`. `margin`
    seconds before its expiry a token is no longer used. `renew_after` is the age in seconds at which a
    context attests anew.

    It does not check access tokens, which are opaque to clients, and does not decide who may see which
    patient: that decision is what the owner attests.
    """

    def __init__(
        self,
        issuer: str,
        client_id: str,
        key: SigningKey,
        dpop_key: SigningKey | None = None,
        *,
        http: "Send | httpx.Client | None" = None,
        clock: Callable[[], float] = lambda: time.time(),  # noqa: PLW0108, a frozen clock must be seen
        new_id: Callable[[], str] = lambda: secrets.token_urlsafe(16),
        synthetic_identifiers: bool = False,
        margin: float = 10.0,
        renew_after: float = 3000.0,
    ) -> None:
        self.issuer = issuer
        self.client_id = client_id
        self.clock = clock
        self.synthetic_identifiers = synthetic_identifiers
        self.margin = margin
        self.renew_after = renew_after
        self._key = key
        self._dpop_key = dpop_key or generate_key("ES256")
        self._send = sender(http, pooled=True)
        self._new_id = new_id
        self._discovery = Discovery(issuer, send=self._send, clock=clock)
        self._nonces: dict[str, str] = {}
        self._nonce_lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that this client opened; a later request opens new ones."""
        if isinstance(self._send, Outbound):
            self._send.close()

    def patient_context(
        self,
        attestation: Attest,
        *,
        scope: str | None = None,
        resource: str | None = None,
        details: Details = (),
    ) -> Context:
        """Open an access context for one attestation. Use it in a `with` block: leaving forgets all of it.

        `details` are further typed objects to send beside it, such as a multi-tenant client's organisation
        numbers (``helseid_authorization``).
        """
        return Context(self, attestation, scope=scope, resource=resource, details=details)

    def context(
        self, *, scope: str | None = None, resource: str | None = None, details: Details = ()
    ) -> Context:
        """Open a context without an attestation, for APIs that demand none."""
        return Context(self, None, scope=scope, resource=resource, details=details)

    def fetch_token(
        self,
        attestation: Attestation | None = None,
        *,
        scope: str | None = None,
        resource: str | None = None,
        details: Details = (),
    ) -> Token:
        """Ask for one token by client credentials.

        Contexts call this; nothing is kept here but the server's nonce.

        The attestation is sent as it is: `Context` has judged it. A demand for a nonce is answered once, with
        a new assertion and a new proof. Raises `ServerRefused`, `BadAnswer` or `Unreachable`.
        """
        endpoint = self._discovery.token_endpoint()
        assertion_details = to_details(attestation, details)

        def request(nonce: str | None) -> Request:
            now = self.clock()
            return client_credentials_request(
                endpoint,
                client_id=self.client_id,
                assertion=make_assertion(
                    self._key,
                    self.client_id,
                    self.issuer,
                    now=now,
                    jti=self._new_id(),
                    assertion_details=assertion_details,
                ),
                proof=make_proof(self._dpop_key, "POST", endpoint, now=now, nonce=nonce, jti=self._new_id()),
                scope=scope,
                resource=resource,
            )

        asked_at = self.clock()
        return read_token_response(self._exchange(endpoint, request), scope=scope, now=asked_at)

    def request(
        self,
        method: str,
        url: str,
        token: Token,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
    ) -> Response:
        """Call an API with a token and a fresh proof, and give its answer whatever the status.

        Raises `NotSent` for a URL a token must not travel to, and `Unreachable`.
        """

        def build(nonce: str | None) -> Request:
            proof = make_proof(
                self._dpop_key,
                method,
                url,
                now=self.clock(),
                nonce=nonce,
                access_token=token.value,
                jti=self._new_id(),
            )
            credentials = (("Authorization", f"DPoP {token.value}"), ("DPoP", proof))
            return Request(method, url, (*credentials, *headers), body, ANSWER_BYTES)

        try:
            require_safe_url(url)
        except TransportError as error:
            raise NotSent(NotSent.INSECURE_URL, str(error)) from error
        return self._exchange(url, build)

    def _exchange(self, url: str, build: Callable[[str | None], Request]) -> Response:
        """Send, and once more if all that is missing is a nonce (RFC 9449 §8: exactly one retry)."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}".lower()
        try:
            response = self._remember(origin, self._send(build(self._nonces.get(origin))))
            if wants_nonce(response):
                response = self._remember(origin, self._send(build(self._nonces.get(origin))))
        except TransportError as error:
            raise Unreachable(error.code, str(error)) from error
        return response

    def _remember(self, origin: str, response: Response) -> Response:
        """Keep the newest nonce of a server, also from a successful answer (RFC 9449 §8.2)."""
        nonce = response.header("DPoP-Nonce")
        if nonce:
            with self._nonce_lock:
                self._nonces[origin] = nonce
        return response
