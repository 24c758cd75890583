"""What one client signs and sends: assertions, proofs of possession, and the one retry a nonce may cost."""

import threading
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from tillit.client.discovery import Discovery
from tillit.client.errors import NotSent, Unreachable
from tillit.client.token_request import Fields, form_request, wants_nonce
from tillit.outbound.transport import Request, Response, Send, TransportError, require_safe_url
from tillit.protocol.client_assertion import make_assertion
from tillit.protocol.dpop import make_proof
from tillit.protocol.jose import SigningKey

ANSWER_BYTES = 64 * 1024 * 1024
"""The largest answer of an API that is read."""


class Wire:
    """The requests of one registered client of one issuer. Threads may share it.

    `key` signs client assertions and request objects, `dpop_key` proofs. The newest nonce of each server is
    kept, and nothing else of what passes.
    """

    def __init__(
        self,
        issuer: str,
        client_id: str,
        key: SigningKey,
        dpop_key: SigningKey,
        *,
        send: Send,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self.issuer = issuer
        self.client_id = client_id
        self.key = key
        self.dpop_key = dpop_key
        self.send = send
        self.clock = clock
        self.new_id = new_id
        self.discovery = Discovery(issuer, send=send, clock=clock)
        self._nonces: dict[str, str] = {}
        self._nonce_lock = threading.Lock()

    def post(self, endpoint: str, fields: Fields, *, details: Any = None, prove: bool = True) -> Response:
        """Send a form to one of the issuer's endpoints, authenticated and, unless told not to, with a proof.

        `endpoint` is a name of the metadata such as `token_endpoint`, `details` the value of
        `assertion_details`. A demand for a nonce is answered once, with a new assertion and a new proof.
        Raises `Unreachable`, or `BadAnswer` when the issuer publishes no such endpoint.
        """
        url = self.discovery.endpoint(endpoint)

        def build(nonce: str | None) -> Request:
            now = self.clock()
            assertion = make_assertion(
                self.key,
                self.client_id,
                self.issuer,
                now=now,
                jti=self.new_id(),
                assertion_details=details,
            )
            proof = None
            if prove:
                proof = make_proof(self.dpop_key, "POST", url, now=now, nonce=nonce, jti=self.new_id())
            return form_request(url, fields, client_id=self.client_id, assertion=assertion, proof=proof)

        return self._exchange(url, build)

    def call(
        self,
        method: str,
        url: str,
        token: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
    ) -> Response:
        """Call an API with a token and a fresh proof, and give its answer whatever the status.

        Raises `NotSent` for a URL a token must not travel to, and `Unreachable`.
        """

        def build(nonce: str | None) -> Request:
            proof = make_proof(
                self.dpop_key,
                method,
                url,
                now=self.clock(),
                nonce=nonce,
                access_token=token,
                jti=self.new_id(),
            )
            credentials = (("Authorization", f"DPoP {token}"), ("DPoP", proof))
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
            response = self._remember(origin, self.send(build(self._nonces.get(origin))))
            if wants_nonce(response):
                response = self._remember(origin, self.send(build(self._nonces.get(origin))))
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
