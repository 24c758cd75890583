"""Whether the clocks of all that keep the rings agree; while two do not, nobody changes a ring.

Each worker leaves a pulse in the store, often at first and then once a minute: its time. Whoever looks every
second knows that a pulse it had not seen a second ago was written within that second, and so by how much the
two clocks differ. Nobody can tell which of two is wrong, so signing goes on: a key is announced a day before
it signs, and a token ends by the clock of the host that chose its key.
"""

import logging
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from tillit_server.signing.envelope import KIND
from tillit_server.signing.key_moves import IllegalMove
from tillit_server.signing.live import OnChange
from tillit_server.storage.ports import Conflict, Records, StorageUnavailable

KEY = "clocks"
LIMIT = 60
"""Seconds by which clocks may differ; the policy of the keys reckons with as much."""
RARELY = 60.0
_LOOKS = 3.0
_LEAP = 5.0
_DEAD = 180.0
_AGREES = 5.0
_STALE = 300
_log = logging.getLogger("tillit.signing")


class ClocksDiffer(IllegalMove):
    """The clocks of two hosts differ by so much that neither may change the keys."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the clocks of two hosts differ by about {abs(seconds):.0f} s: set them, wait a minute and try "
            "again; a stolen key can be ended nevertheless, with keys revoke --now"
        )


class Clocks:
    """The clock of this process among the others. ``tick`` it once a second, in one thread."""

    def __init__(
        self,
        records: Records,
        clock: Callable[[], float],
        ticks: Callable[[], float],
        alarm: OnChange,
    ) -> None:
        """``ticks`` measures durations; ``alarm`` is told once, with the seconds by which clocks differ."""
        self._records = records
        self._clock = clock
        self._ticks = ticks
        self._alarm = alarm
        self._name = secrets.token_hex(4)
        self._count = 0
        self._pause, self._due = 1.0, float("-inf")
        self._last: tuple[float, float] | None = None
        # Per process: the number of its last pulse, and when it changed; by how much its clock differs.
        self._seen: dict[str, tuple[int, float]] = {}
        self._measured: dict[str, float] = {}
        self._confirmed: dict[str, float] = {}
        self._told = 0.0

    def agree(self) -> bool:
        """Whether they do, as far as anybody knows. Raises ``StorageUnavailable``."""
        return not self._difference()

    def require(self) -> None:
        """Raise ``ClocksDiffer`` unless they agree, or ``StorageUnavailable``."""
        if found := self._difference():
            raise ClocksDiffer(found)

    def tick(self) -> None:
        """Look at the others' pulses, and leave one when it is time."""
        with suppress(StorageUnavailable, Conflict):
            record = self._records.get(KIND, KEY)
            pulses: dict[str, Any] = dict(record.value) if record else {}
            now, tick = self._clock(), self._ticks()
            known, self._last = self._last, (now, tick)
            leapt = known is not None and abs((now - known[0]) - (tick - known[1])) > _LEAP
            if leapt:
                self._measured.clear()
                self._confirmed.clear()
            gap = None if known is None or leapt else tick - known[1]
            self._look(pulses, now, tick, gap)
            own = max(self._confirmed.values(), key=abs, default=0.0)
            others = [pulse["off"] for name, pulse in pulses.items() if name != self._name]
            told = own or max(others, key=abs, default=0.0)
            if told and not self._told:
                _log.error("clocks differ", extra={"event": {"seconds": round(told)}})
                if not any(others):
                    self._alarm("service.clocks.differed", str(round(told)), "", int(now))
            changed, self._told = bool(told) != bool(self._told), told
            if leapt or changed:
                self._pause, self._due = 1.0, tick
            if tick >= self._due:
                self._count += 1
                pulses[self._name] = {"n": self._count, "at": now, "off": own}
                self._records.put(KIND, KEY, pulses, expect=record.version if record else 0)
                self._due = tick + self._pause
                self._pause = min(RARELY, 2 * self._pause)

    def leave(self) -> None:
        """Take the pulse of this process away; for the end in good order."""
        with suppress(StorageUnavailable, Conflict):
            record = self._records.get(KIND, KEY)
            if record is not None and self._name in record.value:
                rest = {name: pulse for name, pulse in record.value.items() if name != self._name}
                self._records.put(KIND, KEY, rest, expect=record.version)

    def _difference(self) -> float:
        return self._told if self._last is not None else judge(self._records, self._clock())

    def _look(self, pulses: dict[str, Any], now: float, tick: float, gap: float | None) -> None:
        for name, pulse in tuple(pulses.items()):
            number, since = self._seen.get(name, (0, tick))
            if pulse["n"] != number:
                self._seen[name] = (pulse["n"], tick)
                if name != self._name and gap is not None and gap <= _LOOKS:
                    self._measure(name, pulse["at"] - now, gap)
            elif tick - since > _DEAD:
                del pulses[name]
        for known in (self._seen, self._measured, self._confirmed):
            for name in known.keys() - pulses.keys():
                del known[name]

    def _measure(self, name: str, difference: float, gap: float) -> None:
        before = self._measured.get(name)
        self._measured[name] = difference
        # The pulse is as old as the gap, or younger.
        if -LIMIT <= difference <= LIMIT - gap:
            self._confirmed.pop(name, None)
        elif before is not None and abs(before - difference) < _AGREES:
            self._confirmed[name] = difference


def judge(records: Records, now: float) -> float:
    """By how many seconds clocks differ, for who comes by only once; 0.0 if nothing says that they do.

    Raises ``StorageUnavailable``.
    """
    record = records.get(KIND, KEY)
    pulses: Mapping[str, Any] = record.value if record else {}
    told = [pulse["off"] for pulse in pulses.values() if pulse["at"] > now - _STALE]
    ahead = [pulse["at"] - now for pulse in pulses.values() if pulse["at"] - now > LIMIT]
    return max((*told, *ahead), key=abs, default=0.0)
