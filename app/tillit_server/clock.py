"""The one clock of the service: rooms are handed ``now`` or a ``Clock``, none looks at the time itself."""

import contextlib
import math
import time
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Tells the time as Unix seconds."""

    def __call__(self) -> float:
        """Seconds since 1970-01-01T00:00:00Z."""
        ...


class ClockFileError(ValueError):
    """The clock file holds neither an offset nor an instant."""


class FileClock:
    """Development mode's clock, steered by a small text file that tests rewrite while processes run.

    ``+30`` or ``-3600``: system time plus so many seconds. ``1768465800``: frozen at that instant.
    The file is read at every call, so that every process sees a change at once. A file caught
    half-written leaves the last good reading in force.
    """

    def __init__(self, path: Path) -> None:
        """Read ``path`` once, so that a bad file stops the start (raises ``ClockFileError``)."""
        self._path = path
        try:
            self._last = self._read()
        except OSError as error:
            raise ClockFileError(f"{path.name}: the clock file cannot be read ({error.strerror})") from error

    def __call__(self) -> float:
        """Seconds since the epoch, as the file says."""
        # One value, so that a thread never sees half of what another has read.
        found = self._last
        with contextlib.suppress(OSError, ClockFileError):
            self._last = found = self._read()
        offset, frozen = found
        return frozen if frozen is not None else time.time() + offset

    def _read(self) -> tuple[float, float | None]:
        text = self._path.read_text(encoding="ascii", errors="replace").strip()
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ClockFileError(f"{self._path.name}: +seconds, -seconds or an instant needed")
        return (value, None) if text[0] in "+-" else (0.0, value)


def make_clock(path: Path | None) -> Clock:
    """The system clock, or the clock of ``path``, which the settings refuse outside development mode."""
    return time.time if path is None else FileClock(path)
