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
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from tillit_server.signing.key_life import DAY, LIFE, Entry, MakeKey, NewKey, NoNewKey, Policy, State

__all__ = [
    "DAY",
    "Change",
    "Entry",
    "KeyRing",
    "MakeKey",
    "NewKey",
    "NoNewKey",
    "NoSigningKey",
    "Policy",
    "State",
    "active_key",
    "advance",
    "due",
    "first_ring",
    "first_use",
    "published",
]


DESTROY_AFTER = 7 * DAY
"""A private half is kept for so long after its key was gone, in case its end was a mistake of the clock."""


class NoSigningKey(LookupError):
    """No key of this algorithm signs at this instant: it is not enabled, or announced and not yet active."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys ever announced, in that order; raises ``ValueError`` for two equal kids."""

    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        if len({entry.kid for entry in self.entries}) != len(self.entries):
            raise ValueError("key ring: two keys have the same kid")

    def chain(self, alg: str) -> tuple[Entry, ...]:
        """The keys of one algorithm that were not revoked, in the order in which they sign."""
        chosen = (e for e in self.entries if e.alg == alg and e.revoked_at is None)
        return tuple(sorted(chosen, key=lambda entry: entry.active_from))

    def last(self, alg: str, now: float) -> Entry | None:
        """The last key of the chain, which hands over to whoever is announced next; None if it has ended.

        A key that ceased to sign never signs again, also where its successor was revoked.
        """
        chain = self.chain(alg)
        return chain[-1] if chain and chain[-1].signs_between[1] > now else None


@dataclass(frozen=True, slots=True)
class Change:
    """One planned or completed change.

    ``what`` is one of

    - ``announce``: make and publish a key of ``alg`` that signs from ``at`` (``kid`` is not yet known);
    - ``extend``: keep ``kid`` published until ``at``: tokens may live longer than when it was planned;
    - ``note``: ``kid`` has reached ``state``, which belongs in the audit. ``at`` is the instant since when;
      for an announced key the instant from which it will sign;
    - ``destroy``: the private half of ``kid``, long gone, is forgotten.
    """

    what: str
    alg: str
    kid: str | None
    at: int
    state: State | None = None


def first_ring(
    now: float, algorithms: Collection[str], make_key: MakeKey, policy: Policy | None = None
) -> KeyRing:
    """The ring of the very first start: an active key and an announced standby for each algorithm.

    Nobody has a cached key set yet, so the first key needs no announcement.
    """
    policy = policy or Policy()
    at = math.floor(now)
    ring = KeyRing(())
    for alg in algorithms:
        ring = _append(ring, make_key(alg), policy, alg=alg, announced_at=at, active_from=at)
        standby_from = at + policy.rotate_after
        ring = _append(ring, make_key(alg), policy, alg=alg, announced_at=at, active_from=standby_from)
    return ring


def due(ring: KeyRing, now: float, policy: Policy, algorithms: Collection[str]) -> tuple[Change, ...]:
    """What must change at ``now``, in the order in which ``advance`` does it; mostly nothing.

    ``algorithms`` are the enabled ones. A disabled algorithm's keys stay as they are: it gets no successor,
    and can be enabled again without another announcement.
    """
    planned: list[Change] = []
    soonest = math.ceil(now) + policy.announce
    for alg in algorithms:
        entry = ring.last(alg, now)
        last = entry.active_from if entry else None
        while last is None or last <= soonest:
            last = soonest if last is None else max(last + policy.rotate_after, soonest)
            planned.append(Change("announce", alg, None, last))
    for entry in ring.entries:
        planned += _extension(entry, now, policy) + _notes(entry, now) + _destruction(entry, now)
    return tuple(planned)


def advance(
    ring: KeyRing, now: float, policy: Policy, make_key: MakeKey, algorithms: Collection[str]
) -> tuple[KeyRing, tuple[Change, ...]]:
    """Do everything that is due; idempotent. Returns the ring and the notes for the audit.

    ``make_key`` is called once for each key to announce. Keys made by a process that then loses the
    compare-and-swap are simply forgotten.
    """
    planned = due(ring, now, policy, algorithms)
    destroyed = tuple(change for change in planned if change.what == "destroy")
    for change in planned:
        if change.what == "announce":
            made, alg = make_key(change.alg), change.alg
            announced_at = math.floor(now)
            ring = _append(ring, made, policy, alg=alg, announced_at=announced_at, active_from=change.at)
        elif change.what == "extend":
            ring = _edit(ring, change.kid, gone_at=change.at)
        elif change.what == "destroy":
            ring = _edit(ring, change.kid, private=None)
    notes = tuple(note for entry in ring.entries for note in _notes(entry, now))
    for note in notes:
        ring = _edit(ring, note.kid, noted=note.state)
    return ring, notes + destroyed


def active_key(ring: KeyRing, alg: str, now: float) -> Entry:
    """The one key of ``alg`` that signs at ``now``; raises ``NoSigningKey``."""
    for entry in ring.entries:
        if entry.alg == alg and entry.state(now) is State.ACTIVE:
            return entry
    chain = ring.chain(alg)
    when = f"announced, signs from {chain[0].active_from}" if chain else "not in the key ring"
    raise NoSigningKey(f"no signing key for {alg} at {math.floor(now)}: {when}")


def first_use(ring: KeyRing, alg: str, now: float) -> int | None:
    """None if a key of ``alg`` signs at ``now``, else the instant from which its announced one will."""
    chain = [entry for entry in ring.chain(alg) if entry.state(now) in {State.ACTIVE, State.ANNOUNCED}]
    return None if not chain or chain[0].state(now) is State.ACTIVE else chain[0].active_from


def published(ring: KeyRing, now: float) -> tuple[Entry, ...]:
    """The keys that belong in the JWKS at ``now``: announced, active and retiring ones."""
    return tuple(entry for entry in ring.entries if entry.state(now) is not State.GONE)


def _extension(entry: Entry, now: float, policy: Policy) -> list[Change]:
    if entry.retire_from is None or entry.gone_at is None or now >= entry.gone_at:
        return []
    until = entry.retire_from + policy.retire
    return [Change("extend", entry.alg, entry.kid, until)] if until > entry.gone_at else []


def _destruction(entry: Entry, now: float) -> list[Change]:
    ends = [at for at in (entry.revoked_at, entry.gone_at) if at is not None]
    if entry.private is None or not ends or now < min(ends) + DESTROY_AFTER:
        return []
    return [Change("destroy", entry.alg, entry.kid, math.floor(now))]


def _notes(entry: Entry, now: float) -> list[Change]:
    """Every state reached since the last note. A clock set back takes back nothing that was noted."""
    noted = -1 if entry.noted is None else LIFE.index(entry.noted)
    notes = []
    for state in LIFE[noted + 1 : LIFE.index(entry.state(now)) + 1]:
        at = entry.active_from if state is State.ANNOUNCED else entry.since(state)
        # A key that was revoked never reached what lay between.
        reached = entry.revoked_at is None or state is State.ANNOUNCED or (at is not None and at <= now)
        if at is not None and reached:
            notes.append(Change("note", entry.alg, entry.kid, at, state))
    return notes


def _append(
    ring: KeyRing, key: NewKey, policy: Policy, *, alg: str, announced_at: int, active_from: int
) -> KeyRing:
    last = ring.last(alg, announced_at)
    if last is not None:
        ring = _edit(ring, last.kid, retire_from=active_from, gone_at=active_from + policy.retire)
    entry = Entry(key.kid, alg, key.public, key.private, announced_at=announced_at, active_from=active_from)
    return KeyRing((*ring.entries, entry))


def _edit(ring: KeyRing, kid: str | None, **members: Any) -> KeyRing:
    return KeyRing(tuple(replace(e, **members) if e.kid == kid else e for e in ring.entries))
