"""The plan of the signing keys: which key signs when, and which keys are published. Pure, no I/O, no clock.

A key carries the instants at which it changes, so its state is a function of ``now`` alone and every process
flips at the same moment without talking. Per algorithm the keys form a chain: each one stops signing at the
instant its successor starts. The last of the chain has no end yet, so that a service that slept through its
rotations still has exactly one signing key when it wakes.

A successor is announced one announcement (24 h) before the key it will follow takes over. So at every
instant there is a standby that has already been published for as long as verifiers cache, also right after
a rotation.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

DAY = 86_400


class State(StrEnum):
    """Where a key stands in its life."""

    ANNOUNCED = "announced"
    ACTIVE = "active"
    RETIRING = "retiring"
    GONE = "gone"


LIFE = tuple(State)


class NoSigningKey(LookupError):  # noqa: N818  (a state of the ring)
    """No key of this algorithm signs at this instant: it is not enabled, or announced and not yet active."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made: its RFC 7638 ``kid``, its public JWK and the custodian's text for the private half."""

    kid: str
    public: Mapping[str, Any]
    private: str


MakeKey = Callable[[str], NewKey]


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
    destroy_after: int = 7 * DAY

    def __post_init__(self) -> None:
        if min(self.announce, self.jwks_max_age, self.longest_token, self.skew, self.destroy_after) < 0:
            raise ValueError("key policy: durations cannot be negative")
        if self.announce < self.jwks_max_age:
            raise ValueError(
                "key policy: a key must be announced for longer than verifiers cache the key set"
            )
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
    custodian's text (``sealed:…``), ``None`` once destroyed; the public half stays as an archive. ``noted``
    is the last state that was written to the audit.
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

    def state(self, now: float) -> State:
        """The state at ``now``. A key of the very first start was never only announced."""
        if self.revoked_at is not None and now >= self.revoked_at:
            return State.GONE
        if self.gone_at is not None and now >= self.gone_at:
            return State.GONE
        if self.retire_from is not None and now >= self.retire_from:
            return State.RETIRING
        # A clock set back to before the very first start must not leave the service without a key.
        if now >= self.active_from or self.active_from == self.announced_at:
            return State.ACTIVE
        return State.ANNOUNCED

    @property
    def signs_between(self) -> tuple[float, float]:
        """The instants from which and until which (exclusive) this key signs."""
        ends = [math.inf if at is None else at for at in (self.retire_from, self.revoked_at, self.gone_at)]
        return (-math.inf if self.active_from == self.announced_at else self.active_from, min(ends))

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


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys ever announced, in the order of their announcement.

    Raises ``ValueError`` for two equal kids.
    """

    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        if len({entry.kid for entry in self.entries}) != len(self.entries):
            raise ValueError("key ring: two keys have the same kid")

    def chain(self, alg: str) -> tuple[Entry, ...]:
        """The keys of one algorithm that were not revoked, in the order in which they sign."""
        chosen = (e for e in self.entries if e.alg == alg and e.revoked_at is None)
        return tuple(sorted(chosen, key=lambda entry: entry.active_from))


@dataclass(frozen=True, slots=True)
class Change:
    """One planned or completed change of one key.

    ``what`` is ``announce`` (``kid`` not yet known; ``until`` is when it starts signing), ``extend``
    (``until`` is the new end of publication), ``note`` (``state`` was reached at ``at`` and belongs in the
    audit) or ``destroy`` (the private half is dropped).
    """

    what: str
    alg: str
    kid: str | None
    at: int
    until: int | None = None
    state: State | None = None


def first_ring(
    now: float, algorithms: Collection[str], make_key: MakeKey, policy: Policy | None = None
) -> KeyRing:
    """The ring of the very first start: an active key and an announced standby for each algorithm.

    Nobody has a cached key set yet, so the first key needs no announcement. Call ``advance`` on it for the
    notes.
    """
    policy = policy or Policy()
    at = math.floor(now)
    ring = KeyRing(())
    for alg in algorithms:
        ring = _append(ring, make_key(alg), policy, alg=alg, at=at, active_from=at)
        ring = _append(ring, make_key(alg), policy, alg=alg, at=at, active_from=at + policy.rotate_after)
    return ring


def due(ring: KeyRing, now: float, policy: Policy, algorithms: Collection[str]) -> tuple[Change, ...]:
    """What must change at ``now``, in the order in which ``advance`` does it; mostly nothing.

    Algorithms that are no longer enabled are left as they are: no successor is made for them.
    """
    planned: list[Change] = []
    for alg in algorithms:
        chain = ring.chain(alg)
        last = chain[-1].active_from if chain else None
        while last is None or last - policy.announce <= now:
            soonest = math.ceil(now) + policy.announce
            last = soonest if last is None else max(last + policy.rotate_after, soonest)
            planned.append(Change("announce", alg, None, math.floor(now), until=last))
    for entry in ring.entries:
        planned.extend(_due_of_entry(entry, now, policy))
    return tuple(planned)


def _due_of_entry(entry: Entry, now: float, policy: Policy) -> list[Change]:
    planned = []
    if entry.retire_from is not None and entry.gone_at is not None and now < entry.gone_at:
        until = entry.retire_from + policy.retire
        if until > entry.gone_at:
            planned.append(Change("extend", entry.alg, entry.kid, math.floor(now), until=until))
    reached = LIFE.index(entry.state(now))
    for state in LIFE[0 if entry.noted is None else LIFE.index(entry.noted) + 1 : reached + 1]:
        at = entry.since(state)
        if at is not None:
            planned.append(Change("note", entry.alg, entry.kid, at, state=state))
    ended = entry.since(State.GONE)
    if entry.private is not None and ended is not None and now >= ended + policy.destroy_after:
        planned.append(Change("destroy", entry.alg, entry.kid, math.floor(now)))
    return planned


def advance(
    ring: KeyRing, now: float, policy: Policy, make_key: MakeKey, algorithms: Collection[str]
) -> tuple[KeyRing, tuple[Change, ...]]:
    """Do everything that is due. Returns the ring and the changes that belong in the audit; idempotent.

    ``make_key`` is called once for each key to announce. Keys made by a process that then loses the
    compare-and-swap are simply forgotten.
    """
    before = ring
    for change in due(ring, now, policy, algorithms):
        if change.what == "announce" and change.until is not None:
            made = make_key(change.alg)
            ring = _append(ring, made, policy, alg=change.alg, at=change.at, active_from=change.until)
        elif change.what == "extend":
            ring = _edit(ring, change.kid, gone_at=change.until)
        elif change.what == "destroy":
            ring = _edit(ring, change.kid, private=None)
    done = tuple(c for c in due(ring, now, policy, ()) if c.what == "note")
    destroyed = tuple(c for c in due(before, now, policy, ()) if c.what == "destroy")
    return _noted(ring, now), done + destroyed


def active_key(ring: KeyRing, alg: str, now: float) -> Entry:
    """The one key of ``alg`` that signs at ``now``; raises ``NoSigningKey``."""
    active = [entry for entry in ring.entries if entry.alg == alg and entry.state(now) is State.ACTIVE]
    if not active:
        coming = [e.active_from for e in ring.chain(alg)]
        when = f": announced, signs from {min(coming)}" if coming else ": not in the key ring"
        raise NoSigningKey(f"no signing key for {alg} at {math.floor(now)}{when}")
    return max(active, key=lambda entry: entry.active_from)


def published(ring: KeyRing, now: float) -> tuple[Entry, ...]:
    """The keys that belong in the JWKS at ``now``: announced, active and retiring ones."""
    return tuple(entry for entry in ring.entries if entry.state(now) is not State.GONE)


def _append(ring: KeyRing, key: NewKey, policy: Policy, *, alg: str, at: int, active_from: int) -> KeyRing:
    chain = ring.chain(alg)
    if chain:
        ring = _edit(ring, chain[-1].kid, retire_from=active_from, gone_at=active_from + policy.retire)
    entry = Entry(key.kid, alg, key.public, key.private, announced_at=at, active_from=active_from)
    return KeyRing((*ring.entries, entry))


def _edit(ring: KeyRing, kid: str | None, **members: Any) -> KeyRing:
    return KeyRing(tuple(replace(e, **members) if e.kid == kid else e for e in ring.entries))


def _noted(ring: KeyRing, now: float) -> KeyRing:
    # A clock set back never takes back what the audit already says.
    return KeyRing(
        tuple(
            replace(e, noted=max((e.noted or State.ANNOUNCED, e.state(now)), key=LIFE.index))
            for e in ring.entries
        )
    )
