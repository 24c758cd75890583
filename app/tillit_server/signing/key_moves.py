"""What an operator may do to the plan of the keys, and what comes of it. Pure: no I/O, no clock.

Three moves: bring the announced standby into use, announce a key, revoke one. Whatever would make a token
fail at an honest verifier, or leave an algorithm without a key, is not a move: it raises ``IllegalMove``
with one line that says what to do instead.
"""

import math
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias

from tillit_server.signing.keyring import Entry, KeyRing, MakeKey, NoNewKey, Policy, State

LEAD = 5
"""A move that need not hurry takes effect so many seconds later: by then every process has seen the ring."""


class IllegalMove(Exception):
    """What was asked for would break something; nothing was done. The text is one line with the remedy."""


@dataclass(frozen=True, slots=True)
class Rotate:
    """Bring the announced standby of ``alg`` into use at ``at``, or as soon as its announcement is over.

    ``kid``: the standby that was meant; another one is refused, because somebody else was faster.
    """

    alg: str
    at: int | None = None
    kid: str | None = None


@dataclass(frozen=True, slots=True)
class Announce:
    """Make the first keys of an algorithm and publish them, or a standby where one is missing."""

    alg: str


@dataclass(frozen=True, slots=True)
class Revoke:
    """End a key. ``at_once``: now, on every host, whatever its clock says, and its private half destroyed."""

    kid: str
    at_once: bool = False


Move: TypeAlias = Rotate | Announce | Revoke


@dataclass(frozen=True, slots=True)
class Step:
    """One change: its ``event`` in the audit, the key, and the instant from which it holds."""

    event: str
    kid: str
    alg: str
    at: int


@dataclass(frozen=True, slots=True)
class Rules:
    """What the moves must heed: the policy, the enabled algorithms, and the means to make a key."""

    policy: Policy
    algorithms: Collection[str]
    make_key: MakeKey


def play(ring: KeyRing, move: Move, now: float, rules: Rules) -> tuple[KeyRing, tuple[Step, ...]]:
    """The ring after ``move``, and its steps; raises ``IllegalMove`` and then nothing has happened."""
    board = _Board(ring, now, rules)
    if isinstance(move, Rotate):
        board.rotate(move)
    elif isinstance(move, Announce):
        board.announce(move.alg)
    else:
        board.revoke(move)
    return board.ring, tuple(board.steps)


def honest_from(standby: Entry, policy: Policy) -> int:
    """The first instant at which every verifier that heeds ``max-age`` has the key."""
    return standby.announced_at + policy.jwks_max_age + policy.skew


def standby_of(ring: KeyRing, alg: str, now: float) -> Entry | None:
    """The announced key of ``alg`` that is next, if there is one."""
    return next((e for e in ring.chain(alg) if e.state(now) is State.ANNOUNCED), None)


def instant(at: float) -> str:
    """An instant as people and programs read it: RFC 3339, UTC, whole seconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Board:
    """One move in the making: the ring so far, and what was done to it."""

    def __init__(self, ring: KeyRing, now: float, rules: Rules) -> None:
        self.ring = ring
        self.steps: list[Step] = []
        self.now = now
        self.rules = rules
        self.policy = rules.policy
        self.soonest = math.ceil(now) + rules.policy.announce

    def rotate(self, move: Rotate) -> None:
        active = next((e for e in self.ring.chain(move.alg) if e.state(self.now) is State.ACTIVE), None)
        standby = standby_of(self.ring, move.alg, self.now)
        if active is None or standby is None:
            lack = "standby" if active else "signing key"
            raise IllegalMove(f"{move.alg} has no {lack} that could be rotated: see keys schedule")
        if move.kid not in {None, standby.kid}:
            raise IllegalMove(f"{move.kid} is the standby no longer, somebody was faster: see keys schedule")
        at = self._rotation_instant(standby, move.at)
        self._end(active, at)
        self._edit(standby, active_from=at)
        self._step("rotated", standby, at)
        self._follow(standby, at + self.policy.rotate_after)

    def _rotation_instant(self, standby: Entry, wanted: int | None) -> int:
        soonest = math.ceil(self.now) + LEAD
        at = max(soonest, standby.announced_at + self.policy.announce) if wanted is None else wanted
        if at >= standby.active_from:
            raise IllegalMove(f"{standby.kid} signs from {instant(standby.active_from)} already, by plan")
        earliest = max(soonest, honest_from(standby, self.policy))
        if at < earliest:
            raise IllegalMove(
                f"{instant(at)} is too early: every verifier has seen {standby.kid} only from "
                f"{instant(earliest)}; if the signing key was stolen, use keys revoke --now"
            )
        return at

    def _follow(self, standby: Entry, at: int) -> None:
        """Whoever comes after the standby takes over from it at ``at``; made, if there is nobody."""
        chain = self.ring.chain(standby.alg)
        follower = next((e for e in chain if e.active_from > standby.active_from), None)
        if follower is None:
            self._add(standby.alg, at)
        else:
            self._edit(follower, active_from=at)
            self._end(standby, at)

    def announce(self, alg: str) -> None:
        standby = standby_of(self.ring, alg, self.now)
        if standby is not None:
            since = instant(standby.active_from)
            raise IllegalMove(f"{alg} has an announced key already: {standby.kid}, signs from {since}")
        last = self.ring.last(alg, self.now)
        if last is not None:
            self._add(alg, max(last.active_from + self.policy.rotate_after, self.soonest))
        else:
            self._add(alg, self.soonest)
            self._add(alg, self.soonest + self.policy.rotate_after)

    def revoke(self, move: Revoke) -> None:
        entry = next((e for e in self.ring.entries if e.kid == move.kid), None)
        if entry is None:
            raise IllegalMove(f"{move.kid[:64]} is not in the key ring: see keys list")
        if entry.revoked_at is not None and (entry.revoked_at <= self.now or not move.at_once):
            raise IllegalMove(f"{entry.kid} is revoked already, from {instant(entry.revoked_at)}")
        state, standby = entry.state(self.now), standby_of(self.ring, entry.alg, self.now)
        at = self._revocation_instant(entry, standby, at_once=move.at_once)
        self._edit(entry, revoked_at=at)
        self._step("revoked", entry, at)
        if move.at_once:
            self._edit(entry, private=None)
            self._step("destroyed", entry, at)
        if state is State.ACTIVE:
            self._edit(entry, retire_from=at)
            if standby is not None:
                self._take_over(standby, at)
        elif state is State.ANNOUNCED:
            self._replace_announced(entry)

    def _revocation_instant(self, entry: Entry, standby: Entry | None, *, at_once: bool) -> int:
        state, at = entry.state(self.now), math.floor(self.now)
        if state is State.ANNOUNCED and self._heir(entry):
            raise IllegalMove(
                f"{entry.kid} takes over from a revoked key at {instant(entry.active_from)}: "
                "revoke it after that, or end the other key first with keys revoke --now"
            )
        if state is not State.ACTIVE:
            return at
        if standby is None and entry.alg in self.rules.algorithms and entry.revoked_at is None:
            raise IllegalMove(
                f"{entry.alg} has no announced standby and would be left without a key: "
                f"first keys announce --alg {entry.alg}"
            )
        if standby is None or at_once:
            return at
        return max(at, min(honest_from(standby, self.policy), standby.active_from))

    def _heir(self, standby: Entry) -> bool:
        """Whether the key that signs now is revoked from the instant at which ``standby`` begins."""
        same = (e for e in self.ring.entries if e.alg == standby.alg and e.state(self.now) is State.ACTIVE)
        return any(e.revoked_at == standby.active_from for e in same)

    def _take_over(self, standby: Entry, at: int) -> None:
        """The standby signs from the instant at which its predecessor was revoked."""
        # A host whose clock is behind must take it up too, at once.
        early = self.policy.skew if at <= self.now else 0
        self._edit(standby, active_from=at - early)
        self._step("rotated", standby, at)
        if standby.retire_from is None:
            self._add_if_possible(standby.alg, max(at + self.policy.rotate_after, self.soonest))

    def _replace_announced(self, entry: Entry) -> None:
        """Whoever was to hand over to ``entry`` goes on until another standby may."""
        chain = self.ring.chain(entry.alg)
        before = [e for e in chain if e.active_from <= entry.active_from and e.signs_between[1] > self.now]
        follower = next((e for e in chain if e.active_from > entry.active_from), None)
        if follower is not None:
            honoured = max(entry.active_from, follower.announced_at + self.policy.announce)
            at = min(honoured, follower.active_from)
            self._edit(follower, active_from=at)
            if before:
                self._end(before[-1], at)
            return
        if before:
            self._edit(before[-1], retire_from=None, gone_at=None)
        if entry.alg in self.rules.algorithms:
            self._add_if_possible(entry.alg, max(entry.active_from, self.soonest))

    def _add_if_possible(self, alg: str, active_from: int) -> None:
        """An emergency does not wait for a key: the calendar announces one as soon as one can be made."""
        with suppress(NoNewKey):
            self._add(alg, active_from)

    def _add(self, alg: str, active_from: int) -> None:
        """Announce a new key at the end of its chain; noted here, so that the entry names the operator."""
        made = self.rules.make_key(alg)
        last = self.ring.last(alg, self.now)
        if last is not None:
            self._end(last, active_from)
        entry = Entry(
            made.kid,
            alg,
            made.public,
            made.private,
            announced_at=math.floor(self.now),
            active_from=active_from,
            noted=State.ANNOUNCED,
        )
        self.ring = KeyRing((*self.ring.entries, entry))
        self._step("announced", entry, active_from)

    def _end(self, entry: Entry, at: int) -> None:
        self._edit(entry, retire_from=at, gone_at=at + self.policy.retire)

    def _step(self, action: str, entry: Entry, at: int) -> None:
        self.steps.append(Step(f"signing.key.{action}", entry.kid, entry.alg, at))

    def _edit(self, entry: Entry, **members: Any) -> None:
        entries = (replace(e, **members) if e.kid == entry.kid else e for e in self.ring.entries)
        self.ring = KeyRing(tuple(entries))
