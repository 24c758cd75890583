"""An EHR's client: tokens for one attested access context at a time, and API calls that prove possession."""

import secrets
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

from tillit.attestation.model import Attestation
from tillit.attestation.rulebook import Circumstances
from tillit.client.attesting import Attest, Details, attest, to_details
from tillit.client.context import Context
from tillit.client.token_request import (
    CLIENT_CREDENTIALS,
    TOKEN_EXCHANGE,
    Fields,
    Token,
    read_empty_answer,
    read_token_response,
    target_fields,
)
from tillit.client.wire import Wire
from tillit.outbound.transport import Outbound, Response, Send, sender
from tillit.protocol.jose import SigningKey, generate_key

if TYPE_CHECKING:
    import httpx

ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105, a name (RFC 8693 §3)


class Client:
    """One registered client of one issuer. Threads may share it; contexts belong to one practitioner each.

    `key` signs client assertions, `dpop_key` proofs; without `dpop_key` a new ES256 key is made, which lives
    as long as this object and is never written down. `http` is a `Send` or an `httpx.Client`. `margin`
    seconds before its expiry a token is no longer used. `renew_after` is the age in seconds at which a
    context attests anew.

    It does not check access tokens, which are opaque to clients, and does not decide who may see which
    patient: that decision is what the owner attests. For practitioners who log in at the issuer there is
    `Login`, which is made of a client and sends by its `wire`.
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
        self.wire = Wire(
            issuer,
            client_id,
            key,
            dpop_key or generate_key("ES256"),
            send=sender(http, pooled=True),
            clock=clock,
            new_id=new_id,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def use_key(self, key: SigningKey) -> None:
        """Sign client assertions with another key from now on; tokens got with the old one live on."""
        self.wire.key = key

    def close(self) -> None:
        """Close the connections that this client opened; a later request opens new ones."""
        if isinstance(self.wire.send, Outbound):
            self.wire.send.close()

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

    def attest(self, source: Attest) -> Attestation:
        """Make an attestation for this moment and judge it as the consumer. Raises `NotSent`.

        Nobody logs in at the issuer: the enterprise says who its practitioner is.
        """
        now = self.clock()
        circumstances = Circumstances(
            now=now,
            carrier_iat=int(now),
            established_by="legal_entity",
            synthetic_identifiers=self.synthetic_identifiers,
        )
        return attest(source, circumstances)

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
        fields = [("grant_type", CLIENT_CREDENTIALS), *target_fields(scope, resource)]
        return self._token(fields, scope, to_details(attestation, details))

    def exchange_token(
        self,
        subject_token: str,
        *,
        scope: str | None = None,
        resource: str | None = None,
        details: Details = (),
    ) -> Token:
        """Exchange an access token this client was called with for one of its own (RFC 8693 §2.1).

        The new token speaks of the same user and, while it is fresh, of the same attestation; it is bound to
        this client's proof key. Raises as `fetch_token` does.
        """
        fields = [
            ("grant_type", TOKEN_EXCHANGE),
            ("subject_token", subject_token),
            ("subject_token_type", ACCESS_TOKEN_TYPE),
            *target_fields(scope, resource),
        ]
        return self._token(fields, scope, to_details(None, details))

    def revoke(self, token: str, *, hint: str = "refresh_token") -> None:
        """Have a token of this client revoked, a refresh token with all that came from it (RFC 7009 §2).

        Raises `ServerRefused`, `BadAnswer` or `Unreachable`; then it may still be good.
        """
        fields = [("token", token), ("token_type_hint", hint)]
        read_empty_answer(self.wire.post("revocation_endpoint", fields, prove=False))

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
        return self.wire.call(method, url, token.value, headers=headers, body=body)

    def _token(self, fields: Fields, scope: str | None, details: Details | None) -> Token:
        asked_at = self.clock()
        answer = self.wire.post("token_endpoint", fields, details=details)
        return read_token_response(answer, scope=scope, now=asked_at)
