"""Since when nothing was settled: a Redis server that is gone for a while has lost only what came before.

Known by looking, not from dates: no clock need be right, and a database that was put back cannot mislead. The
database counts settlements of all hosts. Who has seen a count, and finds the same one when nobody can settle
any more, knows that nothing has come in between.
"""

import threading
from collections.abc import Callable
from contextlib import suppress

from tillit_server.storage.ports import StorageUnavailable

_LOOK_SECONDS = 0.25

Settled = Callable[[], int]
"""A number that every settlement of ids moves on, on whatever host. Raises `StorageUnavailable`."""


class Quiet:
    """What one process has seen of the count. Safe for threads."""

    def __init__(self, settled: Settled | None, steady: Callable[[], float]) -> None:
        """Without `settled` nothing is ever known. `steady`: seconds, of a clock that nobody can set."""
        self._settled = settled
        self._steady = steady
        self._looking = threading.Lock()
        self._seen: tuple[int, float] | None = None
        self._next = float("-inf")

    def look(self) -> None:
        """See the count; if it cannot be had, no matter. At most four times a second."""
        if self._settled is None or self._steady() < self._next or not self._looking.acquire(blocking=False):
            return
        try:
            with suppress(StorageUnavailable):
                self._see(self._settled)
        finally:
            self._next = self._steady() + _LOOK_SECONDS
            self._looking.release()

    def look_aside(self) -> None:
        """The same, but nobody waits for it."""
        if self._settled is not None and self._steady() >= self._next and not self._looking.locked():
            threading.Thread(target=self.look, name="tillit-quiet", daemon=True).start()

    def since(self) -> float | None:
        """The instant (of `steady`) from which on nothing was settled; None when nobody can tell.

        To be asked when nothing can be settled any more. Raises `StorageUnavailable`.
        """
        if self._settled is None:
            return None
        with self._looking:
            seen = self._seen
            return seen[1] if self._see(self._settled) and seen else None

    def _see(self, settled: Settled) -> bool:
        """Whether the count is the one seen before."""
        count = settled()
        if self._seen is not None and self._seen[0] == count:
            return True
        self._seen = (count, self._steady())
        return False
