"""The life of one signing key: the instants it carries, and the policy that sets them. Pure."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

DAY = 86_400


class State(StrEnum):
    """Where a key stands in its life, in this order."""

    ANNOUNCED = "announced"
    ACTIVE = "active"
    RETIRING = "retiring"
    GONE = "gone"


LIFE = tuple(State)


class NoNewKey(Exception):
    """No key can be made now."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made: its RFC 7638 ``kid``, its public JWK and its store's text for the private half."""

    kid: str
    public: Mapping[str, Any]
    private: str


MakeKey = Callable[[str], NewKey]
"""Makes a key for one algorithm. Raises ``NoNewKey``."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How keys are renewed. All durations in whole seconds.

    ``longest_token`` is the longest life a signed token can have; with ``skew`` it decides how long a key
    that stopped signing stays published. Raises ``ValueError`` for a policy that would lose tokens.
    """

    rotate_after: int = 90 * DAY
    announce: int = DAY
    jwks_max_age: int = 600
    longest_token: int = 3600
    skew: int = 60

    def __post_init__(self) -> None:
        if min(self.announce, self.jwks_max_age, self.longest_token, self.skew) < 0:
            raise ValueError("key policy: durations cannot be negative")
        if self.announce < self.jwks_max_age:
            raise ValueError("key policy: a key must be announced for longer than a key set is cached")
        if self.rotate_after < max(1, self.announce):
            raise ValueError("key policy: rotation must take longer than the announcement")

    @property
    def retire(self) -> int:
        """Seconds a key stays published after its last signature."""
        return self.longest_token + self.skew


@dataclass(frozen=True, slots=True)
class Entry:
    """One key and the instants (Unix seconds) at which it changes.

    ``retire_from`` and ``gone_at`` are unknown (``None``) for the last key of a chain. ``private`` is the
    text of the store that keeps it (``sealed:…``, ``pkcs11:…``), ``None`` once destroyed; the public half
    stays as an archive. ``noted`` is the last state that was handed to the audit.
    """

    kid: str
    alg: str
    public: Mapping[str, Any]
    private: str | None
    announced_at: int
    active_from: int
    retire_from: int | None = None
    gone_at: int | None = None
    revoked_at: int | None = None
    noted: State | None = None

    @property
    def custody(self) -> str:
        """Where its private half is: ``software``, ``pkcs11``, or ``destroyed``."""
        scheme = "destroyed" if self.private is None else self.private.partition(":")[0]
        return "software" if scheme == "sealed" else scheme

    @property
    def ended_at_once(self) -> bool:
        """Revoked in an emergency: gone on every host, also on one whose clock is behind."""
        return self.revoked_at is not None and self.private is None

    @property
    def signs_between(self) -> tuple[float, float]:
        """The instants from which and until which (exclusive) this key signs.

        A key of the very first start was never only announced: a clock set back to before it must not leave
        the service without a key.
        """
        ends = [math.inf if at is None else at for at in (self.retire_from, self.revoked_at, self.gone_at)]
        if self.ended_at_once:
            ends.append(-math.inf)
        return (-math.inf if self.active_from == self.announced_at else self.active_from, min(ends))

    def state(self, now: float) -> State:
        """The state at ``now``."""
        gone = [at for at in (self.revoked_at, self.gone_at) if at is not None]
        if self.ended_at_once or (gone and now >= min(gone)):
            return State.GONE
        first, end = self.signs_between
        if now >= end:
            return State.RETIRING
        return State.ACTIVE if now >= first else State.ANNOUNCED

    def since(self, state: State) -> int | None:
        """The instant at which this key enters ``state``, if it is known."""
        if state is State.GONE and self.revoked_at is not None:
            return self.revoked_at
        return {
            State.ANNOUNCED: self.announced_at,
            State.ACTIVE: self.active_from,
            State.RETIRING: self.retire_from,
            State.GONE: self.gone_at,
        }[state]
