"""A ring in ``Records``, kept by any number of processes: read lazily, changed by compare-and-swap.

A process that lost the race for a change takes the winner's ring, which is as good.
"""

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from tillit_server.signing.custody import Custody
from tillit_server.signing.envelope import KIND, Envelope
from tillit_server.signing.files import CustodyError
from tillit_server.signing.guard import RolledBack
from tillit_server.storage.ports import Conflict, Json, Put, Records, StorageUnavailable

RECHECK = 1.0
MAX_AGE = 2.0
_PATIENCE = 0.1
_TRIES = 50

T = TypeVar("T")


class RingUnavailable(StorageUnavailable):
    """The ring could not be read for 2 s, so nobody knows whether its keys still stand. HTTP 503."""


@dataclass(frozen=True, slots=True)
class RingChange:
    """Something for the audit.

    ``event`` (``signing.key.announced`` …), the id of the key or secret, its algorithm or purpose, and the
    instant (Unix seconds) from which it holds; who asked for it and why, empty when the calendar did.
    """

    event: str
    ident: str
    kind: str
    at: int
    operator: str = ""
    reason: str = ""


OnChange = Callable[[str, str, str, int], None]
"""``on_change(event, id, algorithm or purpose, at)``, after the change is in the store."""

WriteRing = Callable[[Put, Sequence[RingChange]], None]
"""Settles the put, together with audit entries if it likes. Raises ``Conflict`` to the loser."""


class Plan(Protocol[T]):
    """What a ring is made of and how it changes; implemented for keys and for secrets."""

    @property
    def name(self) -> str:
        """The key of its record."""

    def advance(self, ring: T | None, now: float) -> tuple[T, tuple[RingChange, ...]]:
        """Do everything that is due (``None``: found the ring). The very same ring when nothing is."""

    def to_json(self, ring: T) -> Json:
        """The body of the document; whole numbers and text only, which every store returns unchanged."""

    def from_json(self, body: Json) -> T:
        """The opposite. Raises ``CustodyError``, or ``ValueError``, ``KeyError``, ``TypeError``."""


@dataclass(frozen=True, slots=True)
class _Seen(Generic[T]):
    ring: T
    version: int
    epoch: int
    mac: str


class LiveRing(Generic[T]):
    """The newest ring this process knows. Thread-safe; survives a fork."""

    def __init__(
        self,
        plan: Plan[T],
        records: Records,
        custody: Custody,
        clock: Callable[[], float],
        *,
        on_change: OnChange | None = None,
        write: WriteRing | None = None,
        may_write: Callable[[], bool] | None = None,
        ticks: Callable[[], float] | None = None,
    ) -> None:
        """Read the ring, or found it if this is the very first start anywhere.

        ``may_write``: whether this process may do by itself what the calendar wants.
        ``ticks`` measures the age of what was read, in seconds (not the service's clock, which may be
        frozen). Raises ``CustodyError``, ``StorageUnavailable``.
        """
        self._plan = plan
        self._records = records
        self._custody = custody
        self._envelope = Envelope(plan.name, custody)
        self._clock = clock
        self._on_change = on_change or (lambda _event, _ident, _kind, _at: None)
        self._write = write or self._put
        self._ticks = ticks or _ticks
        self._may_write = may_write or (lambda: True)
        self._lock = threading.Lock()
        self._fault = ""
        self._guarded = 0
        self._alarmed = False
        seen = self._fetch(None)
        if seen is None:
            # Not for correctness, which is the store's: several workers need not all make keys to lose them.
            with custody.alone():
                seen = self._advance(self._fetch(None))
        self._seen = self._advance(seen)
        try:
            self._guard(self._seen)
        except OSError as error:
            raise CustodyError(f"the rollback guard cannot be written ({error.strerror})") from None
        # When it was last read with success, when that was last tried, when what is due was last tried.
        self._read_at = self._tried_at = self._advanced_at = self._ticks()
        _living.add(self)

    def use(
        self,
        records: Records,
        *,
        on_change: OnChange | None = None,
        write: WriteRing | None = None,
        may_write: Callable[[], bool] | None = None,
    ) -> None:
        """Go on with another view of the same store; for the start-up, when the store itself needs a ring."""
        self._may_write = may_write or self._may_write
        self._records = records
        self._on_change = on_change or self._on_change
        self._write = write or self._write

    def after_fork(self) -> None:
        """A lock that another thread held at the fork would stay held in the child for ever."""
        self._lock = threading.Lock()

    def fresh(self) -> T:
        """The ring, seen at most 2 s ago; raises ``RingUnavailable`` otherwise.

        Looks at most once a second.
        """
        if self._ticks() - self._advanced_at >= RECHECK:
            self._recheck(advance=True, patience=-1)
        if self._ticks() - self._read_at > MAX_AGE:
            raise RingUnavailable(self._fault or f"the {self._plan.name} ring was not read for {MAX_AGE:g} s")
        return self._seen.ring

    def last(self, *, advance: bool = True) -> T:
        """The last ring seen, whatever the store does; never raises. Looks at most once a second.

        With ``advance=False`` it only reads, and may be called while the store is writing.
        """
        if self._ticks() - (self._advanced_at if advance else self._tried_at) >= RECHECK:
            if not self._fault:
                self._recheck(advance=advance, patience=_PATIENCE)
            elif not self._lock.locked():
                # Only the first request of an outage waits; whether it is over is found out aside.
                look = {"advance": advance, "patience": 0}
                threading.Thread(target=self._recheck, kwargs=look, name="tillit-ring", daemon=True).start()
        return self._seen.ring

    def age(self) -> float:
        """Seconds since the ring was last read with success."""
        return self._ticks() - self._read_at

    def change(self, move: Callable[[T, float], tuple[T, Sequence[RingChange]]]) -> Sequence[RingChange]:
        """Do what somebody asked for, with the newest ring; gives what was written.

        ``move`` is asked anew when another process was faster, and what it raises goes to the caller, with
        nothing done. Raises ``Conflict``, ``CustodyError``, ``StorageUnavailable``.
        """
        with self._lock:
            for _ in range(_TRIES):
                started = self._ticks()
                self._take(self._fetch(self._seen), started)
                self._take(self._advance(self._seen), started)
                now = self._clock()
                ring, changes = move(self._seen.ring, now)
                try:
                    self._replace(self._seen, ring, changes, now)
                except Conflict:
                    continue
                self._take(self._fetch(self._seen), started)
                return changes
        raise StorageUnavailable(f"the {self._plan.name} ring changes too fast")

    def reseal(self, *, operator: str, reason: str) -> None:
        """Write the same ring again, sealed with the master key that seals now. Raises as ``change``."""
        name, master = self._plan.name, self._custody.master_id
        event = "signing.master.changed"
        self.change(lambda ring, now: (ring, [RingChange(event, master, name, int(now), operator, reason)]))

    def _recheck(self, *, advance: bool, patience: float) -> None:
        aged = self._ticks() - self._read_at > MAX_AGE
        # While the ring is young enough, one thread looks and the others go on with what they have.
        if not (self._lock.acquire(timeout=patience) if aged else self._lock.acquire(blocking=False)):
            return
        try:
            started = self._ticks()
            if started - (self._advanced_at if advance else self._tried_at) < RECHECK:
                return
            self._take(self._fetch(self._seen), started)
            if advance:
                self._take(self._advance(self._seen), started)
            self._fault = ""
        except (StorageUnavailable, CustodyError) as error:
            self._fault = str(error)
            if isinstance(error, RolledBack) and not self._alarmed:
                self._alarmed = True
                at = int(self._clock())
                self._on_change("signing.rollback.suspected", str(error.expected), str(error.found), at)
        finally:
            self._tried_at = self._ticks()
            if advance:
                self._advanced_at = self._tried_at
            self._lock.release()

    def _take(self, seen: _Seen[T] | None, started: float) -> None:
        if seen is None:
            raise CustodyError(f"the {self._plan.name} ring is gone from the store")
        self._seen = seen
        self._read_at = started
        # A full disk must not stop signing; the guard lags and is raised at the next look.
        with contextlib.suppress(OSError):
            self._guard(seen)

    def _guard(self, seen: _Seen[T]) -> None:
        if seen.epoch != self._guarded:
            self._custody.guard.raise_to(self._plan.name, seen.epoch, seen.mac)
            self._guarded = seen.epoch

    def _fetch(self, known: _Seen[T] | None) -> _Seen[T] | None:
        if known is not None:
            record = self._records.get(KIND, self._plan.name)
            value = record.value if record else None
            if record and isinstance(value, dict) and value.get("mac") == known.mac:
                return _Seen(known.ring, record.version, known.epoch, known.mac)
        found = self._envelope.fetch(self._records)
        if found is None:
            return None
        record, opened = found
        try:
            return _Seen(self._plan.from_json(opened.body), record.version, opened.epoch, opened.mac)
        except (ValueError, TypeError, KeyError):
            raise CustodyError(f"the {self._plan.name} ring in the store cannot be read") from None

    def _advance(self, seen: _Seen[T] | None) -> _Seen[T]:
        for _ in range(_TRIES):
            now = self._clock()
            ring, changes = self._plan.advance(seen.ring if seen else None, now)
            if seen is not None and (ring is seen.ring or not self._may_write()):
                return seen
            with contextlib.suppress(Conflict):
                self._replace(seen, ring, changes, now)
            seen = self._fetch(seen)
        raise StorageUnavailable(f"the {self._plan.name} ring changes too fast")

    def _replace(self, seen: _Seen[T] | None, ring: T, changes: Sequence[RingChange], now: float) -> None:
        """Write the ring in the place of the one seen; raises ``Conflict`` if another is there."""
        epoch, master = seen.epoch + 1 if seen else 1, self._custody.master_id
        document = self._envelope.wrap(self._plan.to_json(ring), epoch=epoch, now=now)
        if self._custody.master_id != master:
            # Another thread has seen a ring under a new master key: what is in here may be sealed with both.
            raise Conflict(KIND, "version")
        self._write(Put(KIND, self._plan.name, document, expect=seen.version if seen else 0), changes)
        for change in changes:
            self._on_change(change.event, change.ident, change.kind, change.at)

    def _put(self, put: Put, _changes: Sequence[RingChange]) -> None:
        self._records.put(put.kind, put.key, put.value, expect=put.expect)


# Goes on counting while the machine sleeps, so that a ring seen before a suspension is not taken for fresh.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _ticks() -> float:
    return time.clock_gettime(_CLOCK)


_living: "weakref.WeakSet[LiveRing[Any]]" = weakref.WeakSet()


def _after_fork() -> None:
    for ring in tuple(_living):
        ring.after_fork()


os.register_at_fork(after_in_child=_after_fork)
