"""What everybody saw: tokens and their keys, and the gaps in which nobody got any. Shared by all threads."""

import math
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field

REMEMBERED = 400


@dataclass(slots=True)
class SeenKey:
    """When a key was seen: instants of the service's time, Unix seconds."""

    published: float | None = None
    signed: float | None = None
    last_signed: float | None = None
    signatures: int = 0


@dataclass(frozen=True, slots=True)
class SeenToken:
    """A token that a client was given."""

    text: str
    kid: str
    expires_at: float


@dataclass(slots=True)
class Witness:
    """The ledger of a drill."""

    counts: Counter[str] = field(default_factory=Counter)
    keys: dict[str, SeenKey] = field(default_factory=dict)
    gaps: dict[str, float] = field(default_factory=dict)
    tokens: deque[SeenToken] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    ended: dict[str, float] = field(default_factory=dict)
    """Revoked keys, and when (monotonic) they had to be at their end: from then on nobody may see them."""
    stolen: tuple[SeenToken, ...] = ()
    """A few tokens of the revoked key, to be shown to every verifier until it refuses them."""
    faults: list[str] = field(default_factory=list)
    _act: str = "quiet"
    _last: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def signed(self) -> set[str]:
        """The keys that a token was signed with."""
        with self._lock:
            return {kid for kid, key in self.keys.items() if key.signatures}

    def act(self, name: str) -> None:
        """Say what is going on, so that a gap can be laid to it."""
        with self._lock:
            self._act = name

    def count(self, name: str, number: int = 1) -> None:
        """Count something."""
        with self._lock:
            self.counts[name] += number

    def fault(self, text: str) -> None:
        """Something that must not happen; the first hundred are kept."""
        with self._lock:
            self.counts["faults"] += 1
            if len(self.faults) < 100:  # noqa: PLR2004  (enough for anybody)
                self.faults.append(text)

    def robbed(self, kid: str) -> None:
        """A key is about to be revoked: from now on a verifier may refuse its tokens, and later it must."""
        with self._lock:
            self.stolen = tuple(token for token in self.tokens if token.kid == kid)[-3:]
            self.ended[kid] = math.inf

    def token(self, token: SeenToken, *, began: float, now: float) -> None:
        """A token was given to a client that asked at ``began`` (monotonic); ``now``: service time."""
        ended = self.ended.get(token.kid)
        if ended is not None and began > ended:
            self.fault(f"{token.kid} signed {began - ended:.1f} s after it had ended")
        ticks = time.monotonic()
        with self._lock:
            self.counts["tokens"] += 1
            key = self.keys.setdefault(token.kid, SeenKey())
            key.signed = now if key.signed is None else min(key.signed, now)
            key.last_signed = max(key.last_signed or now, now)
            key.signatures += 1
            self.tokens.append(token)
            if self._last is not None:
                self.gaps[self._act] = max(self.gaps.get(self._act, 0.0), ticks - self._last)
            self._last = ticks

    def published(self, kids: set[str], *, began: float, now: float) -> None:
        """A key set was fetched, asked for at ``began`` (monotonic)."""
        for kid in kids & set(self.ended):
            if began > self.ended[kid]:
                self.fault(f"{kid} was published {began - self.ended[kid]:.1f} s after it had ended")
        with self._lock:
            for kid in kids:
                key = self.keys.setdefault(kid, SeenKey())
                key.published = now if key.published is None else min(key.published, now)
