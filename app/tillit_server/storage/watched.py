"""A store that is watched: how long its settlements take, and whether it could write lately."""

import time
from collections.abc import Callable

from tillit_server.storage.ports import Conflict, Settlement, StorageUnavailable, Store
from tillit_server.tracing import traced

LATELY = 5.0


class WatchedStore:
    """A ``Store`` around another one, which does all the work.

    ``observe`` gets the seconds that each settlement took which was waited for, done or in conflict.
    """

    def __init__(
        self, store: Store, observe: Callable[[float], None], *, ticks: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._observe = observe
        self._ticks = ticks
        # When a settlement failed that none has followed which did not, and why.
        self._failed: tuple[float, StorageUnavailable] | None = None
        self.once, self.tickets = store.once, store.tickets
        self.records, self.journal = store.records, store.journal
        self.seen, self.first_seen = store.seen, store.first_seen
        self.ping, self.close = store.ping, store.close

    @traced("settle")
    def settle(self, settlement: Settlement, *, durable: bool = True) -> None:
        """As the store does."""
        begun = self._ticks()
        try:
            self._store.settle(settlement, durable=durable)
        except StorageUnavailable as error:
            self._failed = (self._ticks(), error)
            raise
        except Conflict:
            self._failed = None
            self._observe(self._ticks() - begun)
            raise
        if durable:
            self._failed = None
            self._observe(self._ticks() - begun)

    def require_writing(self) -> None:
        """Raises ``StorageUnavailable`` when the last settlement failed, and did so in the last seconds.

        After that it counts as well until the next one fails: without requests nobody would find out.
        """
        failed = self._failed
        if failed is not None and self._ticks() - failed[0] < LATELY:
            raise StorageUnavailable(str(failed[1]))
