"""A client renews its own key, and whoever pulls the plug in the middle finds a key that works.

The order is everything: the new key is on disk before it is sent, it has got a token before it takes over,
and until then the old one is there.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from tillit.client.client import Client
from tillit.client.errors import BadAnswer, ServerRefused
from tillit.client.key_store import KeyStore, StoredKeys
from tillit.client.token_request import Token
from tillit.outbound.transport import Response
from tillit.protocol.errors import Rejected
from tillit.protocol.gate import read_json
from tillit.protocol.jose import SigningKey, generate_key

SCOPE: Final = "nhn:selvbetjening/client"
PATH: Final = "/v1/client-secret"
AHEAD: Final = 30 * 86_400
_TRIES: Final = 5
_PAUSE: Final = 1.0
_NOT_THE_CLIENT: Final = "invalid_client"
_NO_KEY: Final = "invalid_key"


class KeyRenewal:
    """Keeps the key of one client young. Call `renew_if_due` once a day.

    `store` holds the client's keys. `endpoint` is where keys are sent, by default at the issuer. `make_key`
    makes one; its algorithm must be one that the client may use. The client must be registered with the scope
    for self-service.
    """

    def __init__(
        self,
        client: Client,
        store: KeyStore,
        *,
        endpoint: str | None = None,
        scope: str = SCOPE,
        make_key: Callable[[], SigningKey] = lambda: generate_key("ES256"),
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._store = store
        self._endpoint = endpoint or client.issuer + PATH
        self._scope = scope
        self._make_key = make_key
        self._wait = wait

    def renew_if_due(self, *, ahead: float = AHEAD) -> bool:
        """Renew the key if it expires within `ahead` seconds, or if a renewal was interrupted; say whether.

        A key that another process has renewed is taken into use. Raises as `renew`.
        """
        stored = self._store.load()
        self._client.use_key(stored.current)
        if stored.next is None:
            ends_at = self.expires_at()
            if ends_at is None or ends_at - self._client.clock() > ahead:
                return False
        self.renew()
        return True

    def renew(self) -> SigningKey:
        """Make a new key, or take up the one of an interrupted renewal; register, test, and only then use it.

        Gives the key that is in use from now on. Raises `KeyStoreError`, `ServerRefused`, `BadAnswer` or
        `Unreachable`; then the old key is still in use, and the next call goes on where this one stopped.
        """
        stored = self._store.load()
        new, begun = stored.next, stored.next is not None
        if new is None:
            new = self._make_key()
            self._store.save(StoredKeys(stored.current, new))
        # Whether an interrupted renewal came as far as the server, only the server knows.
        if not (begun and self._works(new)):
            self._register(stored.current, new)
            self._test(new)
        self._store.save(StoredKeys(new))
        self._client.use_key(new)
        return new

    def expires_at(self) -> float | None:
        """When the key in use expires (Unix seconds), as the server has it now; None for never.

        That can be sooner than it was told at registration: a later key ends it. Raises as `renew`.
        """
        own = self._client.wire.key.kid
        for key in self.registered():
            if key.get("kid") == own:
                return _instant(key.get("expiration"))
        raise BadAnswer(BadAnswer.NO_SUCH_KEY, f"{self._endpoint} does not list the key in use")

    def registered(self) -> Sequence[Mapping[str, Any]]:
        """The client's keys as the server lists them: `kid`, `expiration`, `origin`, `publicJwk`."""
        client = self._client
        token = client.fetch_token(scope=self._scope)
        listed = _document(client.request("GET", self._endpoint, token, headers=(("Accept", _JSON),)))
        if not isinstance(listed, list) or not all(isinstance(key, Mapping) for key in listed):
            raise BadAnswer(BadAnswer.NOT_JSON, "a list of keys is needed")
        return listed

    def _register(self, current: SigningKey, new: SigningKey) -> None:
        # The token is bound to the new key, so that the proof beside the key shows that we hold it.
        client = self._signing_with(current, new)
        headers = (("Content-Type", _JSON), ("Accept", _JSON))
        body = json.dumps(new.public.jwk).encode()
        try:
            token = client.fetch_token(scope=self._scope)
            _document(client.request("POST", self._endpoint, token, headers=headers, body=body))
        except ServerRefused as refused:
            if refused.code == _NO_KEY and not self._works(new):
                self._discard(new)
                raise
            if refused.code != _NO_KEY:
                raise

    def _test(self, new: SigningKey) -> None:
        """Get a token with the new key; a server of several machines may need a moment to know it."""
        for _ in range(_TRIES - 1):
            if self._works(new):
                return
            self._wait(_PAUSE)
        self._token(new)

    def _works(self, key: SigningKey) -> bool:
        try:
            self._token(key)
        except ServerRefused as refused:
            if refused.code == _NOT_THE_CLIENT:
                return False
            raise
        return True

    def _token(self, key: SigningKey) -> Token:
        return self._signing_with(key, self._client.wire.dpop_key).fetch_token(scope=self._scope)

    def _discard(self, new: SigningKey) -> None:
        """The server will never have this key: the next renewal begins with another."""
        stored = self._store.load()
        if stored.next is not None and stored.next.kid == new.kid:
            self._store.save(StoredKeys(stored.current))

    def _signing_with(self, key: SigningKey, dpop_key: SigningKey) -> Client:
        client = self._client
        return Client(
            client.issuer,
            client.client_id,
            key,
            dpop_key,
            http=client.wire.send,
            clock=client.clock,
            new_id=client.wire.new_id,
        )


_JSON: Final = "application/json"
_SUCCESS: Final = range(200, 300)


def _document(response: Response) -> Any:
    """The JSON of a success. Raises `ServerRefused` for a problem document (RFC 9457), else `BadAnswer`."""
    try:
        document = read_json(response.body)
    except Rejected as rejected:
        raise BadAnswer(BadAnswer.NOT_JSON, str(rejected), status=response.status) from rejected
    if response.status in _SUCCESS:
        return document
    if not isinstance(document, Mapping):
        raise BadAnswer(BadAnswer.NOT_JSON, f"status {response.status}", status=response.status)
    code = str(document.get("type") or "").rpartition(":")[2]
    raise ServerRefused(code or "server_error", str(document.get("detail") or ""), response.status)


def _instant(expiration: Any) -> float | None:
    """ISO 8601 with an offset as Unix seconds; None stays None. Raises `BadAnswer`."""
    if expiration is None:
        return None
    try:
        found = datetime.fromisoformat(expiration)
    except (TypeError, ValueError) as error:
        raise BadAnswer(BadAnswer.NOT_JSON, "expiration: ISO 8601 is needed") from error
    if found.tzinfo is None:
        raise BadAnswer(BadAnswer.NOT_JSON, "expiration: an offset is needed")
    return found.timestamp()
