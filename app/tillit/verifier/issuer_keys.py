"""The issuer's signing keys: fetched by discovery, kept as long as they may be, never asked for too often."""

import logging
import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from tillit.outbound.documents import fetch_json, fetch_metadata
from tillit.outbound.published import Fetched, Published
from tillit.outbound.transport import Send, TransportError, require_safe_url
from tillit.protocol.errors import Rejected
from tillit.protocol.gate import UnverifiedJWS
from tillit.protocol.jose import PublicKey, load_public_jwks
from tillit.protocol.metadata import SOURCE_HEADER

_TOKEN = re.compile(r"[!-~]{1,200}", re.ASCII)
log = logging.getLogger("tillit.verifier")

DEFAULT_MAX_AGE = 600.0
"""Freshness in seconds of a key set whose answer names none."""


class IssuerKeys:
    """The published keys of one issuer, as a function for `check_access_token`.

    Metadata and key set are each kept for the max-age of their answer (30 s to a day). When a refresh fails
    the last good set stays in use, for at most `max_stale` seconds; a longer outage is an `Unavailable`. An
    unknown `kid` causes one further fetch, and then none for `cool_down` seconds, however many unknown kids
    come: a key that was announced before it signs is never unknown.

    The issuer named in the metadata must be ours to the letter (RFC 8414 §3.3). Keys that this library would
    not use (encryption, unknown types, too weak) are passed over; two keys with one `kid` spoil the set.
    """

    def __init__(
        self,
        issuer: str,
        *,
        send: Send,
        clock: Callable[[], float],
        algorithms: Collection[str],
        jwks_uri: str | None = None,
        source: str | None = None,
        max_stale: float = 86_400.0,
        cool_down: float = 300.0,
        retry_after: float = 10.0,
    ) -> None:
        """`source`: the name by which the issuer is told who fetches its keys, if it is printable ASCII."""
        self._issuer = issuer
        self._send = send
        self._clock = clock
        self._algorithms = algorithms
        self._jwks_uri = jwks_uri
        named = source is not None and _TOKEN.fullmatch(source)
        self._headers = ((SOURCE_HEADER, source or ""),) if named else ()
        self._cool_down = cool_down
        self._asked_for_unknown_at: float | None = None
        self._lock = threading.Lock()
        self._metadata: Published[Mapping[str, Any]] = Published(
            lambda: fetch_metadata(send, issuer), clock=clock, max_stale=max_stale, retry_after=retry_after
        )
        self._keys: Published[tuple[PublicKey, ...]] = Published(
            self._fetch_keys, clock=clock, max_stale=max_stale, retry_after=retry_after
        )

    def __call__(self, unverified: UnverifiedJWS) -> Sequence[PublicKey]:
        """Give the keys that may have signed this token. Raises `Unavailable` when there are none."""
        keys = self._keys.get()
        kid = unverified.kid
        if kid is None or any(key.kid == kid for key in keys):
            return keys
        if self._may_ask_for_unknown():
            self._keys.refresh()
        else:
            self._keys.settle()
        return self._keys.get()

    def ping(self) -> int:
        """Give the number of keys at hand, fetching them when there is need. Raises `Unavailable`."""
        return len(self._keys.get())

    def _may_ask_for_unknown(self) -> bool:
        now = self._clock()
        with self._lock:
            before = self._asked_for_unknown_at
            if before is not None and 0 <= now - before < self._cool_down:
                return False
            self._asked_for_unknown_at = now
            return True

    def _fetch_keys(self) -> Fetched[tuple[PublicKey, ...]]:
        try:
            uri = self._jwks_uri or require_safe_url(self._metadata.get()["jwks_uri"])
            document = fetch_json(self._send, uri, default_age=DEFAULT_MAX_AGE, headers=self._headers)
            return Fetched(usable_keys(document.value, self._algorithms), document.fresh_seconds)
        except Exception as error:
            log.warning("keys of %s could not be fetched: %s", self._issuer, error)
            raise


def usable_keys(document: Mapping[str, Any], algorithms: Collection[str]) -> tuple[PublicKey, ...]:
    """Read a JWK set and keep the signature keys we can use. Raises `TransportError` when there are none."""
    try:
        keys = load_public_jwks(document, algorithms=algorithms, skip_unusable=True)
    except Rejected as rejected:
        raise TransportError(TransportError.BAD_DOCUMENT, str(rejected)) from rejected
    if not keys:
        raise TransportError(TransportError.BAD_DOCUMENT, "no usable key")
    return keys
