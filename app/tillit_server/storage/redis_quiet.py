"""Since when nothing was settled: a Redis server that is gone for a while has lost only what came before.

Known by looking, not from dates, so no clock need be right. The database counts settlements of all hosts, and
says on which server and in which transactions, so that one which was put back cannot mislead. Who has seen
all this, and finds the same when nobody can settle any more, knows that nothing has come in between.
"""

import threading
from collections.abc import Callable, Hashable
from contextlib import suppress

from tillit_server.storage.ports import StorageUnavailable

_LOOK_SECONDS = 0.25

Settled = Callable[[], Hashable]
"""What every settlement of ids changes, on whatever host, for good. Raises `StorageUnavailable`."""


class Quiet:
    """What one process has seen of the counts. Safe for threads."""

    def __init__(self, settled: Settled | None, steady: Callable[[], float]) -> None:
        """Without `settled` nothing is ever known. `steady`: seconds, of a clock that nobody can set."""
        self._settled = settled
        self._steady = steady
        self._looking = threading.Lock()
        self._seen: tuple[Hashable, float] | None = None
        self._next = float("-inf")

    def look(self) -> None:
        """See the counts; if they cannot be had, no matter. At most four times a second."""
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
        """Whether the counts are those seen before."""
        counts = settled()
        if self._seen is not None and self._seen[0] == counts:
            return True
        self._seen = (counts, self._steady())
        return False
