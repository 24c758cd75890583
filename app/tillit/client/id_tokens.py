"""ID tokens as the client takes them: checked with the keys that the issuer publishes."""

from collections.abc import Collection, Sequence

from tillit.client.errors import BadAnswer, Unreachable
from tillit.client.wire import Wire
from tillit.outbound.documents import fetch_json
from tillit.outbound.published import Fetched, Published, Unavailable
from tillit.outbound.transport import TransportError
from tillit.protocol.errors import Rejected
from tillit.protocol.gate import UnverifiedJWS
from tillit.protocol.id_token import IdToken, check_id_token
from tillit.protocol.jose import PublicKey, load_public_jwks

KEYS_MAX_AGE = 600.0
"""Freshness in seconds of a key set whose answer names none."""


class IdTokens:
    """Checks the ID tokens of one issuer for one client, by the algorithms named.

    The key set is kept for the max-age of its answer; an unknown `kid` causes one further fetch. ID tokens
    come from the issuer itself, so that nobody else can make a client ask. Keys that this library would not
    use are passed over.
    """

    def __init__(self, wire: Wire, algorithms: Collection[str]) -> None:
        self._wire = wire
        self._algorithms = algorithms
        self._keys: Published[tuple[PublicKey, ...]] = Published(self._fetch, clock=wire.clock)

    def check(
        self,
        token: str | None,
        *,
        nonce: str | None = None,
        max_age: int | None = None,
        access_token: str | None = None,
    ) -> IdToken:
        """Check an ID token (OpenID Connect Core §3.1.3.7). Raises `BadAnswer` or `Unreachable`."""
        try:
            return check_id_token(
                token or "",
                keys=self._candidates,
                issuer=self._wire.issuer,
                client_id=self._wire.client_id,
                now=self._wire.clock(),
                nonce=nonce,
                max_age=max_age,
                access_token=access_token,
                algorithms=self._algorithms,
            )
        except Rejected as rejected:
            raise BadAnswer(BadAnswer.BAD_ID_TOKEN, str(rejected)) from rejected

    def _candidates(self, unverified: UnverifiedJWS) -> Sequence[PublicKey]:
        try:
            keys = self._keys.get()
            if unverified.kid is not None and all(key.kid != unverified.kid for key in keys):
                self._keys.refresh()
                keys = self._keys.get()
        except Unavailable as error:
            raise Unreachable("keys_unavailable", str(error), retry_after=error.retry_after) from error
        return keys

    def _fetch(self) -> Fetched[tuple[PublicKey, ...]]:
        uri = self._wire.discovery.metadata()["jwks_uri"]
        document = fetch_json(self._wire.send, uri, default_age=KEYS_MAX_AGE)
        try:
            keys = load_public_jwks(document.value, algorithms=self._algorithms, skip_unusable=True)
        except Rejected as rejected:
            raise TransportError(TransportError.BAD_DOCUMENT, str(rejected)) from rejected
        return Fetched(keys, document.fresh_seconds)
