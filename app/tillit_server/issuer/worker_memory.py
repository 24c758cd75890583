"""Where a worker counts how often somebody asked: a storage for the library ``limits``."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from limits.storage import Storage

from tillit_server.issuer.shared_limits import MAX_COUNTED


class WorkerMemory(Storage):
    """Counts in this worker alone, of ``MAX_COUNTED`` keys at most, by a clock that nobody can set.

    The library's own memory keeps every key, and starts a thread to forget some.
    """

    STORAGE_SCHEME = None
    base_exceptions = OSError

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._mutex = threading.Lock()
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count, and give how many there are in this window."""
        now = self._monotonic()
        with self._mutex:
            count, until = self._counts.get(key, (0, 0.0))
            if now >= until:
                self._counts.pop(key, None)
                count, until = 0, now + expiry
            self._counts[key] = (count + amount, until)
            if len(self._counts) > MAX_COUNTED:
                self._counts.popitem(last=False)
            return count + amount

    def get(self, key: str) -> int:
        """How many there are in this window."""
        count, until = self._counts.get(key, (0, 0.0))
        return count if self._monotonic() < until else 0

    def get_expiry(self, key: str) -> float:
        """When the window ends, by the clock given."""
        return self._counts.get(key, (0, self._monotonic()))[1]

    def check(self) -> bool:
        """Memory is always there."""
        return True

    def reset(self) -> int:
        """Forget all."""
        with self._mutex:
            count = len(self._counts)
            self._counts.clear()
            return count

    def clear(self, key: str) -> None:
        """Forget one."""
        with self._mutex:
            self._counts.pop(key, None)
