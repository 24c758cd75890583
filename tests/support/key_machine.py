"""A state machine over the life of signing keys: operators and the calendar move, in any order."""

import itertools
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tillit_server.signing.key_moves import Announce, IllegalMove, Move, Revoke, Rotate, Rules, play
from tillit_server.signing.keyring import (
    DAY,
    DESTROY_AFTER,
    KeyRing,
    NewKey,
    NoSigningKey,
    Policy,
    State,
    active_key,
    advance,
    first_ring,
    published,
)

START = 1_795_000_000.25
ALWAYS, LATER = "ES256", "PS256"


class Maker:
    """Makes keys that are only names."""

    def __init__(self) -> None:
        self.numbers = itertools.count()

    def __call__(self, alg: str) -> NewKey:
        """Make the next one."""
        kid = f"{alg}-{next(self.numbers)}"
        return NewKey(kid, {"kty": "oct", "kid": kid, "alg": alg}, "sealed:")


class KeyMoves(RuleBasedStateMachine):
    """Every move is tried, most at the wrong time; what holds afterwards holds always."""

    moves: ClassVar[int] = 0
    refused: ClassVar[int] = 0

    @initialize(rotate=st.integers(2, 100), token=st.integers(1, 7200))
    def found(self, rotate: int, token: int) -> None:
        """The very first start."""
        self.now = START
        self.make = Maker()
        self.policy = Policy(rotate_after=rotate * DAY, longest_token=token)
        self.algorithms: tuple[str, ...] = (ALWAYS,)
        self.ring = first_ring(self.now, self.algorithms, self.make, self.policy)
        self.seen = {entry.kid: float("-inf") for entry in self.ring.entries}
        self.emergencies: set[str] = set()
        self.tokens: list[tuple[str, float]] = []
        self.destroyed: dict[str, float] = {}
        self.come_by()

    @rule()
    def come_by(self) -> None:
        """A process does what is due."""
        before = self.ring
        self.ring, notes = advance(self.ring, self.now, self.policy, self.make, self.algorithms)
        for note in notes:
            if note.what == "destroy":
                entry = next(e for e in before.entries if e.kid == note.kid)
                ends = [at for at in (entry.gone_at, entry.revoked_at) if at is not None]
                assert self.now >= min(ends) + DESTROY_AFTER
        self._publish()
        for alg in self.algorithms:
            assert any(e.state(self.now) is State.ANNOUNCED for e in self.ring.chain(alg))

    @rule(seconds=st.one_of(st.floats(0, 900), st.floats(0, 2 * DAY), st.floats(0, 120 * DAY)))
    def pass_time(self, seconds: float) -> None:
        """Time passes; a running service comes by before it does anything else."""
        self.now += seconds
        self.come_by()

    @rule(
        alg=st.sampled_from([ALWAYS, LATER]),
        ahead=st.one_of(st.none(), st.integers(-100, 1500), st.integers(0, 200 * DAY)),
    )
    def rotate(self, alg: str, ahead: int | None) -> None:
        """An operator brings the standby forward, to an instant good or bad."""
        self._play(Rotate(alg, None if ahead is None else int(self.now) + ahead))

    @rule(alg=st.sampled_from([ALWAYS, LATER]))
    def announce(self, alg: str) -> None:
        """An operator announces a key."""
        self._play(Announce(alg))

    @rule()
    def enable(self) -> None:
        """The other algorithm is switched on."""
        self.algorithms = (ALWAYS, LATER)
        self.come_by()

    @rule(data=st.data(), at_once=st.booleans())
    def revoke(self, data: st.DataObject, at_once: bool) -> None:
        """An operator ends a key, whatever its state."""
        entry = data.draw(st.sampled_from(self.ring.entries))
        self._play(Revoke(entry.kid, at_once))

    @rule(alg=st.sampled_from([ALWAYS, LATER]))
    def sign(self, alg: str) -> None:
        """A token is signed, with a key that every honest verifier has."""
        try:
            key = active_key(self.ring, alg, self.now)
        except NoSigningKey:
            assert alg == LATER
            return
        assert key.private
        if key.kid not in self.emergencies:
            assert self.now >= self.seen[key.kid] + self.policy.jwks_max_age
        self.tokens.append((key.kid, self.now + self.policy.longest_token + self.policy.skew))

    @invariant()
    def one_signing_key(self) -> None:
        """Exactly one key of an enabled algorithm signs, or its first is announced."""
        for alg in self.algorithms:
            states = [e.state(self.now) for e in self.ring.entries if e.alg == alg]
            first = alg == LATER and State.RETIRING not in states and State.GONE not in states
            assert states.count(State.ACTIVE) == 1 or (alg == LATER and State.ACTIVE not in states) or first

    @invariant()
    def living_tokens_verify(self) -> None:
        """The key of every living token is published, unless somebody revoked it."""
        kids = {e.kid for e in published(self.ring, self.now)}
        revoked = {e.kid for e in self.ring.entries if e.revoked_at is not None and e.revoked_at <= self.now}
        self.tokens = [(kid, until) for kid, until in self.tokens if until > self.now]
        assert all((kid in kids) != (kid in revoked) for kid, _ in self.tokens)

    def _play(self, move: Move) -> None:
        type(self).moves += 1
        before: KeyRing = self.ring
        try:
            self.ring, steps = play(before, move, self.now, Rules(self.policy, self.algorithms, self.make))
        except IllegalMove:
            type(self).refused += 1
            assert self.ring is before
            return
        assert steps
        if isinstance(move, Revoke) and move.at_once:
            self.emergencies |= {step.kid for step in steps if step.event == "signing.key.rotated"}
        after = {e.kid: e for e in self.ring.entries}
        for entry in before.entries:
            same = after[entry.kid]
            assert same.public == entry.public
            destroyed_now = entry.private and not same.private
            assert not destroyed_now or (isinstance(move, Revoke) and move.at_once and move.kid == entry.kid)
            states = list(State)
            assert states.index(same.state(self.now)) >= states.index(entry.state(self.now))
        self._publish()

    def _publish(self) -> None:
        for entry in published(self.ring, self.now):
            self.seen.setdefault(entry.kid, self.now)
