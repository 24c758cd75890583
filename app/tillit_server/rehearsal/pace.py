"""How time passes in a drill: in leaps, but never so that something happens that could not happen in life."""

import time
from collections.abc import Callable, Sequence

from tillit_server.rehearsal.participant import Participant
from tillit_server.rehearsal.scratch import CannotRehearse, Scratch

LOOK = 1.1
"""Real seconds in which every worker looks at the rings: once a second, if it is asked for anything."""
ENDED = 2.0
"""Real seconds after which nothing may be seen of a revoked key; nor can a worker sign by an older ring."""
STEPS = 10
"""The clock passes through the time for which a key set is kept in so many steps."""
PATIENCE = 60.0


class Pace:
    """Moves the clock, and sees to it that everybody has worked at each instant that it stops at."""

    def __init__(
        self,
        scratch: Scratch,
        clients: Sequence[Participant],
        verifiers: Sequence[Participant],
        *,
        max_age: int,
    ) -> None:
        self.step_seconds = max_age / STEPS
        self._scratch = scratch
        self._clients = clients
        self._verifiers = verifiers
        self._changed_at = float("-inf")

    def changed(self, seconds: float = LOOK) -> None:
        """After a change the clock rests until all have seen the ring: a second must not become minutes."""
        self._changed_at = time.monotonic()
        time.sleep(seconds)
        self.everybody()

    def leap(self, seconds: float) -> None:
        """Past the end of whole key lives; never before it is certain that nobody signs by an older ring."""
        time.sleep(max(0.0, ENDED - (time.monotonic() - self._changed_at)))
        self._scratch.advance(seconds)

    def step(self, seconds: float) -> None:
        """A little further, and everybody verifies."""
        self._scratch.advance(seconds)
        self._await_turns(self._verifiers)

    def pass_until(self, instant: float) -> None:
        """Step by step, so that every cache is renewed at some point of it."""
        while (left := instant - self._scratch.clock()) > 0:
            self.step(min(self.step_seconds, left))

    def everybody(self) -> None:
        """Until every client was answered and every verifier has verified, begun and ended since now."""
        self._await_turns(self._clients)
        self._await_turns(self._verifiers)

    def until(self, seen: Callable[[], bool]) -> None:
        """Until something is seen, while everybody works; whether it ever was is for others to judge."""
        deadline = time.monotonic() + PATIENCE
        while not seen() and time.monotonic() < deadline:
            self.everybody()

    def _await_turns(self, who: Sequence[Participant]) -> None:
        # The turn under way may have begun before.
        waiting = [(one, one.turns + 2) for one in who]
        deadline = time.monotonic() + PATIENCE
        for one, enough in waiting:
            while one.turns < enough:
                if time.monotonic() > deadline or not one.is_alive():
                    raise CannotRehearse(f"{one.name} does not go on: {'; '.join(one.witness.faults[:1])}")
                one.hurry()
                time.sleep(0.002)
