"""An embedded store that has forgotten what was spent: whatever was made before that is refused.

It forgets when it is restored, or filled from a server: its records come from elsewhere, its single-use ids
from nowhere.
"""

from collections.abc import Callable, Sequence
from typing import Final

from tillit_server.storage.ports import (
    Claim,
    Conflict,
    Once,
    Put,
    Records,
    Settlement,
    StorageUnavailable,
    Store,
)
from tillit_server.storage.spending import AHEAD, OLDEST

KIND: Final = "fence"
KEY: Final = "embedded"


def fence_put(fence: float) -> Put:
    """The record that says so: nothing that was made up to ``fence`` (Unix seconds) is accepted."""
    return Put(KIND, KEY, {"fence": fence})


def fenced(store: Store, records: Records, clock: Callable[[], float]) -> Store:
    """``store`` behind its fence, if ``records`` have one. Raises ``StorageUnavailable``."""
    record = records.get(KIND, KEY)
    return store if record is None else FencedStore(store, float(record.value["fence"]), clock)


class FencedStore:
    """A ``Store`` around another one; what is claimed must have been made after the fence."""

    def __init__(self, store: Store, fence: float, clock: Callable[[], float]) -> None:
        self._store = store
        self._fence = fence
        self._clock = clock
        self.once: Once = self
        self.tickets, self.records, self.journal = store.tickets, store.records, store.journal
        self.seen, self.first_seen = store.seen, store.first_seen
        self.ping, self.close = store.ping, store.close

    def settle(self, settlement: Settlement, *, durable: bool = True) -> None:
        """As the store does; raises ``Conflict`` ("forgotten") for what was made before the fence.

        Raises ``StorageUnavailable`` while nobody can tell.
        """
        self._judge(settlement.claims)
        self._store.settle(settlement, durable=durable)

    def claim(self, space: str, key: str, until: float) -> bool:
        """As the store does; what was made before the fence is nobody's."""
        try:
            self._judge((Claim(space, key, until),))
        except Conflict:
            return False
        return self._store.once.claim(space, key, until)

    def _judge(self, claims: Sequence[Claim]) -> None:
        certain = self._fence + AHEAD
        for claim in claims:
            made = claim.until - OLDEST if claim.made is None else claim.made
            wait = certain - self._clock()
            if made <= self._fence or (made <= certain and wait < 0):
                raise Conflict(claim.space, "forgotten")
            if made <= certain:
                # Made after the fence, or before it by a clock that is ahead: nobody can tell.
                raise StorageUnavailable(
                    "the store has forgotten something just now", retry_after=int(wait) + 1
                )
