"""Fetching what clients publish at their ``jwks_uri`` (RFC 7591 §2, threats K6, J5, J16).

A fetch has a thread of its own, and a request waits for it a little while or not at all: a client whose
server is slow is refused with 503, and costs the other clients nothing.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from tillit.outbound.documents import fetch_json
from tillit.outbound.published import Fetched
from tillit.outbound.transport import Send, TransportError
from tillit.protocol.errors import OAuthError, Rejected, redacted, temporarily_unavailable
from tillit.protocol.gate import UnverifiedJWS
from tillit.protocol.jose import Keys, PublicKey, load_public_jwks
from tillit.protocol.key_quality import PRIVATE_MEMBERS
from tillit_server.audit.events import ClientKeysPublished, Event, PrivateKeyExposed
from tillit_server.audit.log import AuditLog
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.clients.key_sets import DEFAULT_AGE, KIND, LEASE, KeySet
from tillit_server.storage.ports import Conflict, Put, Settlement, StorageUnavailable, Store

MAX_BYTES: Final = 64 * 1024
MAX_KEYS: Final = 20
"""Keys in a set, also those that are not for signatures."""
MEDIA_TYPES: Final = ("application/jwk-set+json", "application/json")
WAIT_SECONDS: Final = 3.0
"""How long a request waits at most for keys without which it is refused."""
AT_ONCE: Final = 16
"""Fetches that one worker makes at the same time, one for each client."""
FETCHED: Final = "fetched"
_FRESH_LOOK: Final = 0.5
_LOOK_AGAIN: Final = 0.05
_CAPACITY: Final = 1000
_EXPOSED: Final = frozenset(f"jwk.{name}" for name in PRIVATE_MEMBERS)
_PRIVATE: Final = "private_key"

_log = logging.getLogger("tillit.client_keys")


@dataclass(slots=True)
class _Looked:
    at: float
    held: KeySet


class ClientKeySets:
    """The keys of clients as one worker sees them. ``send`` must judge where it goes.

    ``waiting``: how many requests of this worker may wait at the same time. ``on_fetch`` is told how each
    fetch has ended: ``fetched``, ``private_key`` or the code of a ``TransportError``.
    """

    def __init__(
        self,
        store: Store,
        audit: AuditLog,
        clock: Callable[[], float],
        *,
        send: Send,
        waiting: int,
        on_fetch: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._audit = audit
        self._send = send
        self._on_fetch = on_fetch
        self._clock = clock
        self._monotonic = monotonic
        self._waiting = threading.BoundedSemaphore(max(1, waiting))
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._flights: dict[str, threading.Event] = {}
        self._looked: dict[str, _Looked] = {}

    def keys_of(self, client: Client, now: float) -> Keys:
        """The keys that may sign for ``client``: the registered ones, or a function that finds the published.

        The function raises ``OAuthError`` 503 while there are none, and ``StorageUnavailable``.
        """
        if client.jwks_uri is None:
            return client.keys_at(now)
        return lambda unverified: self._published(client, unverified, now)

    def known_of(self, client: Client) -> KeySet | None:
        """What is known without fetching; None of a client that publishes nothing. Raises as ``keys_of``."""
        if client.jwks_uri is None:
            return None
        record = self._store.records.get(KIND, client.id)
        return KeySet.of(client.jwks_uri, record, client.algorithms)

    def _published(self, client: Client, unverified: UnverifiedJWS, now: float) -> tuple[PublicKey, ...]:
        held = self._look(client)
        if not held.will_do(unverified.kid, now) and (held.underway(now) or held.may_be_asked_for(now)):
            # What was seen a moment ago is no reason to ask: another worker may just have been answered.
            held = self._look(client, anew=True)
            if not held.will_do(unverified.kid, now):
                held = self._asked(client, held, unverified.kid, now)
        if not held.usable(now):
            raise _away(held, now)
        return held.keys

    def _asked(self, client: Client, held: KeySet, kid: str | None, now: float) -> KeySet:
        """What there is after asking, if it is time to. Of those who have keys that will do, one waits."""
        flight, leading = self._board(client, held, kid, now)
        if flight is None or not (leading or not held.usable(now) or not held.has(kid)):
            return held
        if not self._waiting.acquire(blocking=False):
            return held
        try:
            flight.wait(WAIT_SECONDS)
        finally:
            self._waiting.release()
        return self._look(client, anew=True)

    def _board(
        self, client: Client, held: KeySet, kid: str | None, now: float
    ) -> tuple[threading.Event | None, bool]:
        with self._lock:
            flight = self._flights.get(client.id)
            if flight is not None:
                return flight, False
            wanted = held.underway(now) or held.may_be_asked_for(now)
            if not wanted or not self._places.acquire(blocking=False):
                return None, False
            flight = self._flights[client.id] = threading.Event()
        thread = threading.Thread(target=self._fly, args=(client, held, kid, flight), daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no further thread can be had; nobody may wait for this one
            self._land(client, flight)
        return flight, True

    def _fly(self, client: Client, held: KeySet, kid: str | None, flight: threading.Event) -> None:
        try:
            self._fetch_or_follow(client, held, kid)
        except StorageUnavailable as error:
            _log.warning(
                "client keys not stored", extra={"event": {"client_id": client.id, "reason": str(error)}}
            )
        finally:
            self._land(client, flight)

    def _land(self, client: Client, flight: threading.Event) -> None:
        with self._lock:
            del self._flights[client.id]
        self._places.release()
        flight.set()

    def _fetch_or_follow(self, client: Client, held: KeySet, kid: str | None) -> None:
        """Fetch, unless somebody on another process does: then wait until that is over."""
        now = self._clock()
        if not held.underway(now):
            asking = held.asking(kid, now)
            try:
                version = self._store.records.put(KIND, client.id, asking.to_record(), expect=held.version)
            except Conflict:
                pass
            else:
                self._fetch(client, asking, version)
                return
        deadline, pause = self._monotonic() + LEASE, threading.Event()
        while self._monotonic() < deadline and self._look(client, anew=True).underway(self._clock()):
            pause.wait(_LOOK_AGAIN)

    def _fetch(self, client: Client, asking: KeySet, version: int) -> None:
        event: Event | None = None
        try:
            found = fetch_keys(self._send, asking.uri, client)
        except TransportError as error:
            held = asking.failed(redacted(str(error)))
            if error.code == _PRIVATE and asking.failure != held.failure:
                event = PrivateKeyExposed(where="jwks", client_id=client.id, jkt=None)
            self._count(client, error.code, reason=held.failure)
        else:
            held = asking.answered_with(found.value, found.fresh_seconds)
            if {key.thumbprint for key in held.keys} != {key.thumbprint for key in asking.keys}:
                kids = tuple(key.kid for key in held.keys)
                event = ClientKeysPublished(
                    client_id=client.id, operator="service", reason="jwks_uri", kids=kids
                )
            self._count(client, FETCHED, keys=len(held.keys))
        put = Put(KIND, client.id, held.to_record(), expect=version)
        entries = (self._audit.entry(event),) if event else ()
        try:
            self._store.settle(Settlement(puts=(put,), entries=entries))
        except Conflict:  # we took longer than the lease, and somebody else has asked since
            _log.warning("client keys came too late", extra={"event": {"client_id": client.id}})

    def _look(self, client: Client, *, anew: bool = False) -> KeySet:
        looked, now = self._looked.get(client.id), self._monotonic()
        uri = client.jwks_uri or ""
        if looked and not anew and now - looked.at < _FRESH_LOOK and looked.held.uri == uri:
            return looked.held
        record = self._store.records.get(KIND, client.id)
        # Loading keys is dear, so an unchanged version is not loaded again.
        if looked and record and looked.held.version == record.version and looked.held.uri == uri:
            held = looked.held
        else:
            held = KeySet.of(uri, record, client.algorithms)
        if len(self._looked) >= _CAPACITY:
            self._looked.clear()
        self._looked[client.id] = _Looked(now, held)
        return held

    def _count(self, client: Client, outcome: str, **members: object) -> None:
        self._on_fetch(outcome)
        # The host and no more: a path or query could hold what only the client should know.
        event = {"client_id": client.id, "host": urlsplit(client.jwks_uri or "").hostname, **members}
        level = logging.INFO if outcome == FETCHED else logging.WARNING
        _log.log(level, "client keys", extra={"event": {"outcome": outcome, **event}})


def fetch_keys(send: Send, uri: str, client: Client) -> Fetched[tuple[PublicKey, ...]]:
    """The keys at ``uri`` that ``client`` may sign with. Raises ``TransportError``.

    A private or symmetric key spoils the set, and so do two keys with one id; a key that is weak, or not for
    signatures, is left out, and the log says why (threat J16).
    """

    def left_out(rejected: Rejected) -> None:
        event = {"client_id": client.id, "reason": str(rejected)}
        _log.warning("a client key is left out", extra={"event": event})

    document = fetch_json(send, uri, default_age=DEFAULT_AGE, max_bytes=MAX_BYTES, media_types=MEDIA_TYPES)
    try:
        keys = load_public_jwks(
            document.value,
            algorithms=client.algorithms,
            skip_unusable=True,
            max_keys=MAX_KEYS,
            on_skipped=left_out,
        )
    except Rejected as rejected:
        code = _PRIVATE if rejected.pointer in _EXPOSED else TransportError.BAD_DOCUMENT
        raise TransportError(code, str(rejected)) from rejected
    if not keys:
        raise TransportError(TransportError.BAD_DOCUMENT, "no usable key")
    return Fetched(keys, document.fresh_seconds)


def _away(held: KeySet, now: float) -> OAuthError:
    return temporarily_unavailable(
        "jwks_uri: there are no keys of this client just now, try again",
        detail=f"client keys: {held.failure or 'not fetched yet'}",
        retry_after=held.retry_after(now),
    )
