"""Random lives of codes, refresh tokens and sessions: whatever happens in whatever order, no promise is broken."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from support.evidence import record, setting
from support.in_process import House
from support.session_machine import SessionMachine
from support.token_machines import CodeMachine, RefreshMachine

STEPS = setting("MACHINE_STEPS", 1_000_000)
LONG = 100
"""Steps of a life in the long run."""
MACHINES = (CodeMachine, RefreshMachine, SessionMachine)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """An installation in this process with three clients, the last of which rotates its refresh tokens."""
    opened = House(tmp_path_factory.mktemp("house"))
    guests = (
        opened.client("first"),
        opened.client("second"),
        opened.client("third", rotate_refresh_tokens=True),
    )
    for machine in MACHINES:
        machine.house, machine.guests = opened, guests
    yield opened
    opened.close()


def run(machine: Any, *, lives: int, steps: int, number: int) -> None:
    """So many lives of so many steps each."""
    chosen = settings(
        max_examples=lives,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        # A long run cannot be shrunk in any useful time; its seed is in the ledger.
        phases=(Phase.generate, Phase.shrink) if lives <= 100 else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(number)(machine), settings=chosen)


@pytest.mark.parametrize("machine", MACHINES)
def test_no_life_breaks_a_promise(machine: Any, house: House):
    """Some 700 random steps of each kind, and after every one of them all promises hold."""
    before = machine.steps
    run(machine, lives=14, steps=50, number=20260123)
    assert machine.steps - before >= 300, "too little happened"


@pytest.mark.long
@pytest.mark.parametrize("machine", MACHINES)
def test_no_promise_is_broken_in_a_million_steps(machine: Any, house: House):
    """The same at full length, recorded in the ledger with its seed."""
    number = int(time.time())
    before, lives, started = machine.steps, machine.lives, time.monotonic()
    while (left := STEPS - (machine.steps - before)) > 0:
        run(machine, lives=min(2_000, left // LONG + 1), steps=LONG, number=number + machine.steps)
    record(
        f"G15 state machine, {machine.__name__}",
        seed=number,
        seconds=time.monotonic() - started,
        counts={"steps": machine.steps - before, "lives": machine.lives - lives, "broken": 0},
    )
