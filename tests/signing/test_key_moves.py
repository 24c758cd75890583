"""The moves of an operator: what each does to the plan, and what it refuses."""

import pytest

from support.key_machine import START, Maker
from tillit_server.signing.key_moves import Announce, IllegalMove, Move, Revoke, Rotate, Rules, play
from tillit_server.signing.keyring import (
    DAY,
    KeyRing,
    Policy,
    State,
    active_key,
    advance,
    first_ring,
    published,
)

POLICY = Policy()
FOUNDED = int(START)
NOW = FOUNDED + 30 * DAY + 0.5


class Board:
    """A ring to move on; algorithm ES256 is enabled."""

    def __init__(self) -> None:
        self.make = Maker()
        self.rules = Rules(POLICY, ("ES256",), self.make)
        ring = first_ring(START, ("ES256",), self.make, POLICY)
        self.ring: KeyRing = advance(ring, START, POLICY, self.make, ("ES256",))[0]

    def play(self, move: Move, now: float = NOW) -> list[tuple[str, str, int]]:
        """Play a move; its steps as (action, kid, seconds from now)."""
        self.ring, steps = play(self.ring, move, now, self.rules)
        return [(s.event.removeprefix("signing.key."), s.kid, s.at - int(now)) for s in steps]

    def states(self, now: float) -> list[str]:
        """The state of every key, in the order in which they were announced."""
        return [entry.state(now).value for entry in self.ring.entries]


@pytest.fixture
def board() -> Board:
    return Board()


def test_a_rotation_brings_the_standby_into_use_and_announces_another(board: Board) -> None:
    """As soon as every process has seen it; the old key stays until its last token died."""
    done = board.play(Rotate("ES256"))
    assert done == [("rotated", "ES256-1", 6), ("announced", "ES256-2", 6 + 90 * DAY)]
    assert board.states(NOW) == ["active", "announced", "announced"]
    assert board.states(NOW + 6) == ["retiring", "active", "announced"]
    assert board.states(NOW + 6 + POLICY.retire) == ["gone", "active", "announced"]
    assert advance(board.ring, NOW, POLICY, board.make, ("ES256",)) == (board.ring, ())


def test_a_young_standby_is_announced_to_its_end(board: Board) -> None:
    """Without an instant, the standby waits until its announcement is over; no key is made twice."""
    now = START + 3600
    assert board.play(Rotate("ES256"), now)[0] == ("rotated", "ES256-1", DAY - 3600)
    with pytest.raises(IllegalMove, match="by plan"):
        board.play(Rotate("ES256"), now + 1)


@pytest.mark.parametrize("early", [-1, -300, -1_000_000])
def test_an_instant_before_every_verifier_has_the_key_is_refused(early: int, board: Board) -> None:
    """The announcement and the max-age of the key set are honoured, and the line says from when it can be done."""
    earliest = FOUNDED + POLICY.jwks_max_age + POLICY.skew
    before = board.ring
    with pytest.raises(IllegalMove, match=r"too early: .* only from 2026-11-18T"):
        board.play(Rotate("ES256", earliest + early), START)
    assert board.ring is before
    assert board.play(Rotate("ES256", earliest), START)[0] == ("rotated", "ES256-1", earliest - FOUNDED)


def test_an_instant_after_the_planned_one_is_refused(board: Board) -> None:
    """A rotation is never put off: the plan says when a key must rest."""
    with pytest.raises(IllegalMove, match="by plan"):
        board.play(Rotate("ES256", FOUNDED + 90 * DAY))


def test_a_standby_that_is_another_by_now_is_refused(board: Board) -> None:
    """Two operators at once rotate once: the second had another standby in mind."""
    board.play(Rotate("ES256", kid="ES256-1"))
    with pytest.raises(IllegalMove, match="somebody was faster"):
        board.play(Rotate("ES256", kid="ES256-1"), NOW + 60)


def test_a_second_standby_keeps_its_distance(board: Board) -> None:
    """On the last day there are two standbys; no third is made, and no key signs longer than the policy says."""
    now = START + 89 * DAY + 3600
    board.ring, _ = advance(board.ring, now, POLICY, board.make, ("ES256",))
    assert board.play(Rotate("ES256"), now) == [("rotated", "ES256-1", 6)]
    _, second, third = board.ring.entries
    assert second.retire_from == third.active_from == second.active_from + 90 * DAY


def test_another_algorithm_is_announced_with_its_standby(board: Board) -> None:
    """Announced a day before it can sign; announcing it again is refused."""
    assert board.play(Announce("PS256")) == [
        ("announced", "PS256-2", DAY + 1),
        ("announced", "PS256-3", 91 * DAY + 1),
    ]
    with pytest.raises(IllegalMove, match="announced key already: PS256-2"):
        board.play(Announce("PS256"))
    with pytest.raises(IllegalMove, match="no signing key"):
        board.play(Rotate("PS256"))
    with pytest.raises(IllegalMove, match="announced key already"):
        board.play(Announce("ES256"))


def test_a_key_that_has_ceased_to_sign_never_signs_again(board: Board) -> None:
    """Its successor was revoked and there is no other: the next one is announced for a day, as the first was."""
    board.play(Announce("PS256"))
    later = NOW + 92 * DAY
    board.play(Revoke("PS256-3"), later)
    assert board.play(Announce("PS256"), later) == [
        ("announced", "PS256-4", DAY + 1),
        ("announced", "PS256-5", 91 * DAY + 1),
    ]
    first = next(e for e in board.ring.entries if e.kid == "PS256-2")
    assert first.state(later) in {State.RETIRING, State.GONE}
    board.play(Revoke("PS256-4"), later + 60)
    first = next(e for e in board.ring.entries if e.kid == "PS256-2")
    assert first.state(later + 60) in {State.RETIRING, State.GONE}


def test_a_stolen_key_is_gone_at_once_and_the_standby_signs(board: Board) -> None:
    """Whatever a host's clock says within a minute; the private half is destroyed, and a new standby announced."""
    done = board.play(Revoke("ES256-0", at_once=True))
    assert done == [
        ("revoked", "ES256-0", 0),
        ("destroyed", "ES256-0", 0),
        ("rotated", "ES256-1", 0),
        ("announced", "ES256-2", 90 * DAY),
    ]
    for clock in (NOW - 60, NOW, NOW + 60):
        assert board.states(clock) == ["gone", "active", "announced"]
    assert [entry.private for entry in board.ring.entries] == [None, "sealed:", "sealed:"]
    _, notes = advance(board.ring, NOW, POLICY, board.make, ("ES256",))
    assert [(n.kid, n.state) for n in notes] == [
        ("ES256-0", State.RETIRING),
        ("ES256-0", State.GONE),
        ("ES256-1", State.ACTIVE),
    ]


def test_a_revocation_without_hurry_waits_until_the_standby_is_known(board: Board) -> None:
    """Until then the key signs; the standby cannot be revoked meanwhile, and hurry can still be made."""
    board.play(Revoke("ES256-0"), START + 60)
    at = FOUNDED + POLICY.jwks_max_age + POLICY.skew
    assert board.states(at - 1) == ["active", "announced", "announced"]
    assert board.states(at) == ["gone", "active", "announced"]
    with pytest.raises(IllegalMove, match="takes over from a revoked key"):
        board.play(Revoke("ES256-1", at_once=True), START + 61)
    with pytest.raises(IllegalMove, match="revoked already"):
        board.play(Revoke("ES256-0"), START + 62)
    board.play(Revoke("ES256-0", at_once=True), START + 63)
    assert board.states(START + 63) == ["gone", "active", "announced"]


def test_a_revoked_standby_is_replaced(board: Board) -> None:
    """The signing key goes on until another standby has been announced for a day."""
    late = START + 89 * DAY + 3600
    assert board.play(Revoke("ES256-1"), late)[1][:2] == ("announced", "ES256-2")
    replacement = board.ring.entries[2]
    assert replacement.active_from >= late + DAY
    assert active_key(board.ring, "ES256", replacement.active_from - 1).kid == "ES256-0"
    assert active_key(board.ring, "ES256", replacement.active_from).kid == "ES256-2"


def test_a_revoked_standby_with_a_follower_is_followed(board: Board) -> None:
    """Where two are announced, the second takes the place of the first, when it may."""
    late = START + 89 * DAY + 3600
    board.ring, _ = advance(board.ring, late, POLICY, board.make, ("ES256",))
    assert len(board.play(Revoke("ES256-1"), late)) == 1
    heir = board.ring.entries[2]
    assert heir.active_from == board.ring.entries[0].retire_from == max(90 * DAY + FOUNDED, int(late) + DAY)


def test_a_retiring_key_can_be_revoked(board: Board) -> None:
    """Its tokens end, and nothing else changes."""
    now = FOUNDED + 90 * DAY + 10
    assert board.play(Revoke("ES256-0"), now) == [("revoked", "ES256-0", 0)]
    assert [entry.kid for entry in published(board.ring, now)] == ["ES256-1"]


def test_the_only_key_cannot_be_revoked(board: Board) -> None:
    """Without a standby the service would have no key: refused, with the remedy, which works."""
    now = START + 100 * DAY  # the standby signs, and nobody has come by since
    with pytest.raises(IllegalMove, match="keys announce --alg ES256"):
        board.play(Revoke("ES256-1", at_once=True), now)
    board.play(Announce("ES256"), now)
    board.play(Revoke("ES256-1", at_once=True), now)
    assert active_key(board.ring, "ES256", now).kid == "ES256-2"


def test_a_key_nobody_has_cannot_be_revoked(board: Board) -> None:
    """A kid that is not in the ring is named, and the command that lists those that are."""
    with pytest.raises(IllegalMove, match="nonsense is not in the key ring: see keys list"):
        board.play(Revoke("nonsense"))
