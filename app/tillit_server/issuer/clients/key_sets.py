"""The keys that a client publishes at its ``jwks_uri``, as last fetched, and when to ask for them again.

One record of kind ``client_keys`` for each client, which all workers and hosts share: whoever fetches, all
know; and whoever wants to ask says so in the record first, so that one of them does.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from tillit.protocol.jose import PublicKey, load_public_jwks
from tillit_server.storage.ports import Record

KIND: Final = "client_keys"
DEFAULT_AGE: Final = 300.0
"""Seconds for which a set is fresh whose answer names no max-age."""
MIN_AGE: Final = 60.0
MAX_AGE: Final = 3600.0
MAX_STALE: Final = 86_400.0
"""Seconds since it was fetched for which the last good set serves; after that its client is refused."""
UNKNOWN_REST: Final = 300.0
"""Seconds between two fetches that unknown key ids cause (threat J5)."""
RETRY: Final = 30.0
"""Seconds from one failed fetch to the next."""
LEASE: Final = 10.0
"""Seconds after which whoever was to ask is taken for dead."""
_SKEW: Final = 60.0  # hosts may differ: what another has just fetched may seem to come from the future


@dataclass(frozen=True, slots=True)
class KeySet:
    """What is known about the keys at ``uri``. Times are Unix seconds.

    ``asked_at``: when somebody last set out to fetch them, and ``answered`` whether that has come to an end;
    ``failure``: how, if not well. ``unknown_at``: when an unknown key id last was the reason.
    """

    uri: str
    version: int = 0
    keys: tuple[PublicKey, ...] = ()
    fetched_at: float | None = None
    fresh_until: float = 0.0
    asked_at: float | None = None
    answered: bool = True
    unknown_at: float | None = None
    failure: str | None = None

    @classmethod
    def of(cls, uri: str, record: Record | None, algorithms: Collection[str]) -> Self:
        """The set in ``record``; nothing is known of ``uri`` if that is about another address."""
        if record is None:
            return cls(uri)
        value: Mapping[str, Any] = record.value
        if value["uri"] != uri:
            return cls(uri, record.version)
        keys = load_public_jwks({"keys": value["keys"]}, algorithms=algorithms, skip_unusable=True)
        return cls(uri, record.version, keys, **{name: value[name] for name in _MEMBERS})

    def to_record(self) -> dict[str, Any]:
        """The JSON form that is stored."""
        members = {name: getattr(self, name) for name in _MEMBERS}
        return {"uri": self.uri, "keys": [key.jwk for key in self.keys], **members}

    def usable(self, now: float) -> bool:
        """Whether the keys may sign at ``now``."""
        return _within(self.fetched_at, MAX_STALE, now)

    def fresh(self, now: float) -> bool:
        """Whether the keys need not be asked for."""
        return self.usable(now) and now < self.fresh_until

    def has(self, kid: str | None) -> bool:
        """Whether a key of this name is among the keys; a token without a name may be by any of them."""
        return kid is None or any(key.kid == kid for key in self.keys)

    def will_do(self, kid: str | None, now: float) -> bool:
        """Whether a token that names ``kid`` can be judged without asking."""
        return self.fresh(now) and self.has(kid)

    def underway(self, now: float) -> bool:
        """Whether somebody is fetching."""
        return not self.answered and _within(self.asked_at, LEASE, now)

    def may_be_asked_for(self, now: float) -> bool:
        """Whether a token for which the keys will not do is reason enough to fetch them."""
        if self.underway(now) or (self.failure and _within(self.asked_at, RETRY, now)):
            return False
        return not self.fresh(now) or not _within(self.unknown_at, UNKNOWN_REST, now)

    def asking(self, kid: str | None, now: float) -> Self:
        """Somebody sets out, for a token that names ``kid``."""
        unknown_at = now if self.keys and not self.has(kid) else self.unknown_at
        return replace(self, asked_at=now, answered=False, unknown_at=unknown_at)

    def failed(self, reason: str) -> Self:
        """Nothing usable came back: the last good keys stay."""
        return replace(self, answered=True, failure=reason)

    def answered_with(self, keys: tuple[PublicKey, ...], fresh_seconds: float) -> Self:
        """The keys came."""
        asked_at = self.asked_at or 0.0
        until = asked_at + min(max(fresh_seconds, MIN_AGE), MAX_AGE)
        return replace(self, keys=keys, fetched_at=asked_at, fresh_until=until, answered=True, failure=None)

    def retry_after(self, now: float) -> int:
        """Whole seconds after which it is worth asking us again."""
        if self.asked_at is None or not self.failure or self.underway(now):
            return 2
        return max(1, round(self.asked_at + RETRY - now))


_MEMBERS: Final = ("fetched_at", "fresh_until", "asked_at", "answered", "unknown_at", "failure")


def _within(then: float | None, seconds: float, now: float) -> bool:
    return then is not None and -_SKEW <= now - then < seconds
