"""When what is over may be forgotten: long enough after its time, and only by a clock that can be trusted.

A clock that jumps must never make a spent id good again, nor lose a record that is alive (threat D9). So
nothing is forgotten until our clock has kept step with the machine's steady one for a while.
"""

from collections.abc import Callable

KEEP = 300.0
"""Seconds that a spent id, a dead ticket or a record outlives its time."""

_STEP = 0.1
_JUMP = 5.0
_TRUST = 300.0


class Forgetting:
    """Says when it is time to forget something again. `steady` is a clock that nobody can set."""

    def __init__(self, steady: Callable[[], float]) -> None:
        self._steady = steady
        self._offset: float | None = None
        self._next = 0.0

    def due(self, now: float) -> bool:
        """Whether `now` is to be trusted, and the last time was long enough ago."""
        steady = self._steady()
        offset = now - steady
        if self._offset is None or abs(offset - self._offset) > _JUMP:
            self._next = steady + _TRUST
        # A clock that is slewed drifts within the tolerance, and is followed.
        self._offset = offset
        if steady < self._next:
            return False
        self._next = steady + _STEP
        return True
