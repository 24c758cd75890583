"""K2: whatever operators ask for, in whatever order, only what breaks nothing is done."""

import time

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from support.evidence import record, setting
from support.key_machine import KeyMoves

STEPS = 50


def lives(count: int) -> type[KeyMoves]:
    """The machine, for so many lives."""

    class Machine(KeyMoves):
        moves = 0
        refused = 0

    run_state_machine_as_test(
        Machine, settings=settings(max_examples=count, stateful_step_count=STEPS, deadline=None)
    )
    return Machine


def test_k2_two_thousand_moves_break_nothing():
    """Rotating, announcing and revoking at any time leaves one signing key, known to all, and tokens that verify."""
    played = lives(40)
    assert played.moves > played.refused > 0


@pytest.mark.long
def test_k2_a_hundred_thousand_moves_break_nothing():
    """The same for as many moves as the threat's row asks for, recorded."""
    steps, begun = setting("K2_STEPS", 100_000), time.monotonic()
    played = lives(steps // STEPS)
    record(
        "K2 random moves of operators and the calendar over the key life cycle",
        seed=None,
        seconds=time.monotonic() - begun,
        counts={"steps": steps, "operators' moves": played.moves, "of these refused": played.refused},
    )
