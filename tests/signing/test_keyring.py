"""The plan: at every instant one signing key, published before it signs and until its last token died."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tillit_server.signing.keyring import (
    DAY,
    KeyRing,
    NewKey,
    NoSigningKey,
    Policy,
    State,
    active_key,
    advance,
    due,
    first_ring,
    published,
)

POLICY = Policy()
START = 1_795_000_000.25
ALGORITHMS = ("ES256", "RS256")


class Maker:
    """Makes keys that are only names."""

    def __init__(self) -> None:
        self.numbers = itertools.count()

    def __call__(self, alg: str) -> NewKey:
        """Make the next one."""
        kid = f"{alg}-{next(self.numbers)}"
        return NewKey(kid, {"kty": "oct", "kid": kid}, "sealed:")


def founded(algorithms: tuple[str, ...] = ALGORITHMS, policy: Policy = POLICY) -> tuple[KeyRing, Maker]:
    make = Maker()
    ring, _ = advance(first_ring(START, algorithms, make, policy), START, policy, make, algorithms)
    return ring, make


def states(ring: KeyRing, alg: str, now: float) -> list[State]:
    return [entry.state(now) for entry in ring.chain(alg)]


def test_very_first_start_has_an_active_key_and_a_standby_for_each_algorithm() -> None:
    """Nobody has a cache yet, so the first key signs at once, and the next one is already published."""
    ring, _ = founded()
    for alg in ALGORITHMS:
        assert states(ring, alg, START) == [State.ACTIVE, State.ANNOUNCED]
    assert len(published(ring, START)) == 4
    assert due(ring, START, POLICY, ALGORITHMS) == ()


def test_first_start_notes_what_began() -> None:
    """The audit hears of each key that was announced and each that signs."""
    make = Maker()
    _, notes = advance(first_ring(START, ("ES256",), make), START, POLICY, make, ("ES256",))
    assert [(n.kid, n.state, n.at) for n in notes] == [
        ("ES256-0", State.ANNOUNCED, int(START)),
        ("ES256-0", State.ACTIVE, int(START)),
        ("ES256-1", State.ANNOUNCED, int(START) + 90 * DAY),
    ]


def test_the_flip_needs_nobody() -> None:
    """A ring that no process touches still changes its signing key at the planned instant."""
    ring, _ = founded()
    flip = int(START) + 90 * DAY
    assert active_key(ring, "ES256", flip - 0.001).kid == "ES256-0"
    assert active_key(ring, "ES256", flip).kid == "ES256-1"


def test_the_next_standby_is_published_a_day_before_the_flip() -> None:
    """Right after a rotation there is already a standby that every cache has seen."""
    ring, make = founded()
    flip = int(START) + 90 * DAY
    assert due(ring, flip - DAY - 1, POLICY, ALGORITHMS) == ()
    ring, notes = advance(ring, flip - DAY, POLICY, make, ALGORITHMS)
    assert states(ring, "ES256", flip - DAY) == [State.ACTIVE, State.ANNOUNCED, State.ANNOUNCED]
    assert [(n.alg, n.at) for n in notes] == [(alg, flip + 90 * DAY) for alg in ALGORITHMS]
    assert states(ring, "ES256", flip) == [State.RETIRING, State.ACTIVE, State.ANNOUNCED]


def test_rotation_does_not_drift() -> None:
    """A process that is late does not move the next rotation: instants are multiples of the policy."""
    ring, make = founded(("ES256",))
    for late in (0, 5000, 3, DAY):
        last = ring.chain("ES256")[-1].active_from
        ring, _ = advance(ring, last - DAY + late, POLICY, make, ("ES256",))
    starts = [e.active_from for e in ring.chain("ES256")]
    assert [b - a for a, b in itertools.pairwise(starts)] == [90 * DAY] * 5


def test_an_algorithm_enabled_later_is_announced_first() -> None:
    """Caches exist by then: the new algorithm signs after 24 h and not a moment earlier."""
    ring, make = founded(("ES256",))
    later = START + 1000
    ring, _ = advance(ring, later, POLICY, make, ALGORITHMS)
    assert states(ring, "RS256", later) == [State.ANNOUNCED, State.ANNOUNCED]
    with pytest.raises(NoSigningKey, match="signs from"):
        active_key(ring, "RS256", later + DAY - 0.5)
    assert active_key(ring, "RS256", later + DAY + 1).alg == "RS256"


def test_an_unknown_algorithm_has_no_key() -> None:
    """Asking for an algorithm that was never enabled says so."""
    ring, _ = founded()
    with pytest.raises(NoSigningKey, match="not in the key ring"):
        active_key(ring, "ES512", START)


def test_a_disabled_algorithm_is_left_alone() -> None:
    """Two processes with different settings must not pull the ring to and fro."""
    ring, make = founded()
    later = START + 500 * DAY
    after, notes = advance(ring, later, POLICY, make, ("ES256",))
    assert len(after.chain("RS256")) == 2
    assert {n.state for n in notes if n.alg == "RS256" and n.what == "note"} == {
        State.ACTIVE,
        State.RETIRING,
        State.GONE,
    }


def test_a_service_that_slept_for_years_wakes_with_one_key() -> None:
    """Overdue rotations are not done in one go: the successor is announced for 24 h first."""
    ring, make = founded(("ES256",))
    later = START + 1000 * DAY
    assert active_key(ring, "ES256", later).kid == "ES256-1"
    ring, _ = advance(ring, later, POLICY, make, ("ES256",))
    assert active_key(ring, "ES256", later).kid == "ES256-1"
    assert active_key(ring, "ES256", later + DAY + 1).kid == "ES256-2"
    assert states(ring, "ES256", later)[-1] is State.ANNOUNCED


def test_a_retiring_key_stays_until_its_last_token_died() -> None:
    """The last token of a key is signed just before the flip and lives its full time plus skew."""
    ring, _ = founded(("ES256",))
    flip = int(START) + 90 * DAY
    assert ring.entries[0] in published(ring, flip + POLICY.longest_token + POLICY.skew - 1)
    assert ring.entries[0] not in published(ring, flip + POLICY.longest_token + POLICY.skew)


def test_longer_tokens_prolong_the_publication() -> None:
    """Raising the longest token lifetime moves the end of publication of every key that is not gone."""
    ring, make = founded(("ES256",))
    longer = replace(POLICY, longest_token=8 * 3600)
    flip = int(START) + 90 * DAY
    ring, _ = advance(ring, flip + 60, longer, make, ("ES256",))
    assert ring.entries[0].gone_at == flip + longer.retire
    shorter, _ = advance(ring, flip + 61, POLICY, make, ("ES256",))
    assert shorter.entries[0].gone_at == flip + longer.retire


def test_a_private_half_is_destroyed_a_week_after_its_key_was_gone() -> None:
    """Not earlier, once, and the public half stays."""
    ring, make = founded(("ES256",))
    gone = ring.entries[0].gone_at or 0
    ring, notes = advance(ring, gone + 7 * DAY - 1, POLICY, make, ("ES256",))
    assert ring.entries[0].private
    assert not [n for n in notes if n.what == "destroy"]
    ring, notes = advance(ring, gone + 7 * DAY, POLICY, make, ("ES256",))
    assert ring.entries[0].private is None
    assert [(n.kid, n.at) for n in notes if n.what == "destroy"] == [("ES256-0", gone + 7 * DAY)]
    assert advance(ring, gone + 8 * DAY, POLICY, make, ("ES256",))[1] == ()


def test_two_equal_kids_are_refused() -> None:
    """A ring in which a kid names two keys cannot exist."""
    ring, _ = founded()
    with pytest.raises(ValueError, match="same kid"):
        KeyRing((*ring.entries, ring.entries[0]))


@given(st.lists(st.floats(0, 400 * DAY), min_size=1, max_size=8))
def test_a_clock_that_jumps_never_leaves_the_service_without_one_key(offsets: list[float]) -> None:
    """Forth and back, in any order: there is one signing key whatever instant the ring was advanced at."""
    ring, make = founded(("ES256",))
    for offset in offsets:
        ring, _ = advance(ring, START + offset, POLICY, make, ("ES256",))
    for offset in (*offsets, -400 * DAY, 0, 1e10):
        assert states(ring, "ES256", START + offset).count(State.ACTIVE) == 1


class KeyLife(RuleBasedStateMachine):
    """Time passes, processes come by (or not), settings change; tokens are signed at any moment."""

    @initialize(rotate=st.integers(1, 100), token=st.integers(1, 7200))
    def found(self, rotate: int, token: int) -> None:
        """The very first start, under some policy."""
        self.now = START
        self.policy = Policy(rotate_after=rotate * DAY, longest_token=token)
        self.algorithms: tuple[str, ...] = ("ES256",)
        self.make = Maker()
        self.ring = first_ring(self.now, self.algorithms, self.make, self.policy)
        self.founders = {e.kid for e in self.ring.entries}
        self.tokens: list[tuple[str, float]] = []
        self.noted: dict[str, list[State]] = {}
        self.come_by()

    @rule()
    def come_by(self) -> None:
        """A process looks, and does what is due."""
        before = self.ring
        self.ring, notes = advance(self.ring, self.now, self.policy, self.make, self.algorithms)
        for note in notes:
            assert note.kid
            if note.what == "destroy":
                continue
            assert note.state
            self.noted.setdefault(note.kid, []).append(note.state)
        assert advance(self.ring, self.now, self.policy, self.make, self.algorithms) == (self.ring, ())
        assert {e.kid for e in before.entries} <= {e.kid for e in self.ring.entries}
        for alg in self.algorithms:
            assert State.ANNOUNCED in states(self.ring, alg, self.now)

    @rule(seconds=st.one_of(st.floats(0, 100), st.floats(0, 3 * DAY), st.floats(0, 300 * DAY)))
    def pass_time(self, seconds: float) -> None:
        """Nobody comes by."""
        self.now += seconds

    @rule(alg=st.sampled_from(["RS256", "EdDSA"]))
    def enable(self, alg: str) -> None:
        """A further algorithm is switched on."""
        self.algorithms = tuple(dict.fromkeys((*self.algorithms, alg)))
        self.come_by()

    @rule(token=st.integers(1, 40_000), days=st.integers(1, 200))
    def change_policy(self, token: int, days: int) -> None:
        """A new setting takes effect with a start, and a start advances the ring."""
        self.policy = replace(self.policy, longest_token=token, rotate_after=days * DAY)
        self.come_by()

    @rule(data=st.data())
    def sign(self, data: st.DataObject) -> None:
        """A token is signed, and must verify until it dies."""
        alg = data.draw(st.sampled_from(self.algorithms))
        try:
            key = active_key(self.ring, alg, self.now)
        except NoSigningKey:
            assert alg != "ES256"
            return
        assert self.now >= key.announced_at + self.policy.announce or key.kid in self.founders
        self.tokens.append((key.kid, self.now + self.policy.longest_token + self.policy.skew))

    @invariant()
    def one_signing_key(self) -> None:
        """Exactly one key signs; none only while the first is announced."""
        for alg in {e.alg for e in self.ring.entries}:
            count = states(self.ring, alg, self.now).count(State.ACTIVE)
            assert count == 1 or (count == 0 and self.now < self.ring.chain(alg)[0].active_from)

    @invariant()
    def living_tokens_verify(self) -> None:
        """Every living token's key is published."""
        kids = {e.kid for e in published(self.ring, self.now)}
        self.tokens = [(kid, until) for kid, until in self.tokens if until > self.now]
        assert all(kid in kids for kid, _ in self.tokens)

    @invariant()
    def every_step_is_noted_once_and_in_order(self) -> None:
        """The audit hears of each state once, in order."""
        for noted in self.noted.values():
            assert noted == list(State)[: len(noted)]


KeyLife.TestCase.settings = settings(max_examples=40, stateful_step_count=50, deadline=None)


class TestKeyLife(KeyLife.TestCase):
    """2,000 moves: the promises above hold in every order of events."""
