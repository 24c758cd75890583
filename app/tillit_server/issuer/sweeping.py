"""Families that have died of age are removed: a login leaves a record behind, and there are many logins.

What is spent expires by itself in the store; a record does not, and only we know when a family is over.
"""

from collections.abc import Callable
from typing import Final

from tillit_server.issuer.families import FAMILY
from tillit_server.storage.ports import Conflict, Store

EVERY: Final = 600.0
"""Seconds between two looks, of whichever worker comes first."""
# A tombstone or token of the family may be looked at by a node whose clock is behind (threat D9).
_MARGIN: Final = 60
_SPACE: Final = "sweep"


class FamilySweeper:
    """Removes what is over, now and then, in one worker at a time."""

    def __init__(self, store: Store, *, clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._monotonic = monotonic
        self._next = monotonic() + EVERY

    def tick(self) -> None:
        """Sweep when it is time. Raises ``StorageUnavailable``; then it is time again a while later."""
        if self._monotonic() < self._next:
            return
        self._next = self._monotonic() + EVERY
        now = self._clock()
        if self._store.once.claim(_SPACE, str(int(now // EVERY)), now + EVERY):
            self.sweep(now)

    def sweep(self, now: float) -> int:
        """Remove every family that was over a minute before ``now``; how many there were."""
        records = self._store.records
        over = [
            (key, record.version)
            for key, record in records.each(FAMILY)
            if record.value["expires_at"] + _MARGIN < now
        ]
        removed = 0
        for key, version in over:
            try:
                records.remove(FAMILY, key, expect=version)
            except Conflict:  # somebody has just ended it; the next sweep will see it
                continue
            removed += 1
        return removed
