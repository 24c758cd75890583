"""Limits that the workers of all hosts share: each counts for itself, and once a second they tell each other.

No request waits for that (docs/decisions/0014-limits-are-counted-at-home.md). Only who could come near a
limit is told of; whoever has reached it by what all have told is refused by all, until the window ends.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tillit_server.storage.spending import Count, CountTogether

if TYPE_CHECKING:
    from limits import RateLimitItem

MAX_COUNTED: Final = 100_000
MOST_WORKERS: Final = 64
"""While each of so many workers has let through less than this part of a limit, nobody can be beyond it."""
MOST_AT_ONCE: Final = 1_000

_log = logging.getLogger("tillit.limits")
_Key = tuple[str, str]


class _Share:
    """What one sender had: here since it was last told, and everywhere by what was last heard."""

    __slots__ = ("limit", "total", "until", "untold")

    def __init__(self, limit: "RateLimitItem", until: float) -> None:
        self.limit = limit
        self.until = until
        self.untold = 0
        self.total = 0


class SharedLimits:
    """The counts of all workers, as far as this one has heard of them. Safe for threads.

    ``together`` tells others and hears from them. ``well`` is whether it worked the last time.
    """

    def __init__(self, together: CountTogether, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._together = together
        self._monotonic = monotonic
        self._mutex = threading.Lock()
        self._shares: OrderedDict[_Key, _Share] = OrderedDict()
        self._asked: dict[_Key, _Share] = {}
        self.well = True

    def take(self, limit: "RateLimitItem", name: str, who: str) -> float | None:
        """Count a request, or give the seconds until the window ends in which too many have come."""
        now, key = self._monotonic(), (name, who)
        with self._mutex:
            share = self._shares.get(key)
            if share is None or now >= share.until:
                share = self._shares[key] = _Share(limit, now + limit.get_expiry())
                self._shares.move_to_end(key)
                if len(self._shares) > MAX_COUNTED:
                    self._shares.popitem(last=False)
            if share.total + share.untold >= limit.amount:
                return share.until - now
            share.untold += 1
            self._asked[key] = share
        return None

    def tell(self) -> None:
        """Tell and hear; a chore of every second. What cannot be told now is told the next time."""
        with self._mutex:
            asked, self._asked = self._asked, {}
            near = [
                (key, share, share.untold)
                for key, share in asked.items()
                if share.total or share.untold * MOST_WORKERS >= share.limit.amount
            ][:MOST_AT_ONCE]
        if not near:
            return
        counts = [Count(*key, untold, share.limit.get_expiry()) for key, share, untold in near]
        try:
            heard = [(int(total), float(left)) for total, left in self._together(counts)]
            if len(heard) != len(counts):
                raise ValueError("as many answers as questions needed")  # noqa: TRY301 (handled as all others)
        except Exception as error:  # noqa: BLE001 (whatever it is: the limits of this worker hold all the same)
            if self.well:
                _log.error("limits are not shared, each worker counts alone", exc_info=error)
            self.well = False
            with self._mutex:
                self._asked = {key: share for key, share, _ in near} | self._asked
            return
        if not self.well:
            _log.info("limits are shared again")
        self.well = True
        now = self._monotonic()
        with self._mutex:
            for (_, share, told), (total, left) in zip(near, heard, strict=True):
                share.untold -= told
                share.total = total
                # However wrong a server is, nobody waits for longer than a window.
                share.until = now + min(max(left, 0.0), share.limit.get_expiry())
