"""A ring in ``Records``, kept by any number of processes: read lazily, changed by compare-and-swap.

The stored document carries an epoch (one higher with each change) and the custodian's MAC, so a ring that
was edited, exchanged or rolled back is refused. A process that lost the race for a change takes the
winner's ring.
"""

import contextlib
import hmac
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import orjson

from tillit_server.signing.custody import Custody
from tillit_server.signing.files import CustodyError
from tillit_server.storage.ports import Conflict, Json, Put, Record, Records, StorageUnavailable

KIND = "ring"
RECHECK = 1.0
MAX_AGE = 2.0
_TRIES = 50

T = TypeVar("T")


class RingUnavailable(StorageUnavailable):
    """The ring could not be read for 2 s, so nobody knows whether its keys still stand. HTTP 503."""


@dataclass(frozen=True, slots=True)
class RingChange:
    """Something that belongs in the audit.

    ``event`` (``signing.key.announced`` …), the id of the key or secret, its algorithm or purpose, and the
    instant (Unix seconds) from which it holds.
    """

    event: str
    ident: str
    kind: str
    at: int


OnChange = Callable[[str, str, str, int], None]
"""``on_change(event, id, algorithm or purpose, at)``."""

WriteRing = Callable[[Put, Sequence[RingChange]], None]
"""Settles the put, together with audit entries for the changes if it likes.

Raises ``Conflict`` to the loser.
"""


class Plan(Protocol[T]):
    """What a ring is made of and how it changes; implemented for keys and for secrets."""

    @property
    def name(self) -> str:
        """The key of its record."""

    def advance(self, ring: T | None, now: float) -> tuple[T, tuple[RingChange, ...]]:
        """The ring with everything done that is due (``None``: found it); the same ring when nothing is."""

    def to_json(self, ring: T) -> Json:
        """The body of the document; whole numbers and text only, so that every store returns it unchanged."""

    def from_json(self, body: Json) -> T:
        """The opposite.

        Raises ``ValueError``, ``KeyError`` or ``TypeError``; ``CustodyError`` for bad keys.
        """


@dataclass(frozen=True, slots=True)
class _Seen(Generic[T]):
    ring: T
    version: int
    epoch: int
    digest: str


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
        ticks: Callable[[], float] | None = None,
    ) -> None:
        """Read the ring, or found it if this is the very first start anywhere.

        ``ticks`` measures the age of what was read (seconds; not the service's clock, which tests may
        freeze). Raises ``CustodyError``, ``StorageUnavailable``.
        """
        self._plan = plan
        self._records = records
        self._custody = custody
        self._clock = clock
        self._on_change = on_change
        self._write = write or self._put
        self._ticks = ticks or _ticks
        self._lock = threading.Lock()
        self._fault = ""
        self._guarded = 0
        self._seen = self._bring_up_to_date(self._fetch(None))
        self._guard(self._seen)
        self._read_at = self._tried_at = self._ticks()
        _living.add(self)

    def after_fork(self) -> None:
        """A lock that another thread held at the fork would stay held in the child for ever."""
        self._lock = threading.Lock()

    def fresh(self) -> T:
        """The ring, seen at most 2 s ago; raises ``RingUnavailable`` otherwise.

        Looks at most once a second.
        """
        if self._ticks() - self._tried_at >= RECHECK:
            self._recheck(advance=True, patience=-1)
        if self._ticks() - self._read_at > MAX_AGE:
            raise RingUnavailable(self._fault or f"the {self._plan.name} ring was not read for {MAX_AGE:g} s")
        return self._seen.ring

    def last(self, *, advance: bool = True) -> T:
        """The last ring seen, whatever the store does; never raises. Looks at most once a second.

        With ``advance=False`` it only reads, and may be called from within the store.
        """
        if self._ticks() - self._tried_at >= RECHECK:
            self._recheck(advance=advance, patience=0.1)
        return self._seen.ring

    def look_again(self) -> T:
        """Read now, because something names a member this ring does not have; at most 10 times a second."""
        if self._ticks() - self._tried_at >= RECHECK / 10:
            self._recheck(advance=False, patience=0.1, within=RECHECK / 10)
        return self._seen.ring

    def _recheck(self, *, advance: bool, patience: float, within: float = RECHECK) -> None:
        aged = self._ticks() - self._read_at > MAX_AGE
        # While the ring is young enough one thread looks and the others go on with what they have.
        if not (self._lock.acquire(timeout=patience) if aged else self._lock.acquire(blocking=False)):
            return
        try:
            if self._ticks() - self._tried_at < within:
                return
            started = self._ticks()
            seen = self._fetch(self._seen)
            if seen is None:
                raise CustodyError(f"the {self._plan.name} ring is gone from the store")  # noqa: TRY301
            self._take(seen, started)
            if advance:
                self._take(self._bring_up_to_date(seen), started)
            self._fault = ""
        except (StorageUnavailable, CustodyError) as error:
            self._fault = str(error)
        finally:
            self._tried_at = self._ticks()
            self._lock.release()

    def _take(self, seen: _Seen[T], started: float) -> None:
        self._seen = seen
        self._read_at = started
        # A full disk must not stop signing; the guard lags and is raised at the next look.
        with contextlib.suppress(OSError):
            self._guard(seen)

    def _guard(self, seen: _Seen[T]) -> None:
        if seen.epoch == self._guarded:
            return
        try:
            self._custody.guard.raise_to(self._plan.name, seen.epoch, seen.digest)
        except OSError as error:
            if not self._guarded:
                raise CustodyError(f"the rollback guard cannot be written ({error.strerror})") from None
            raise
        self._guarded = seen.epoch

    def _fetch(self, known: _Seen[T] | None) -> _Seen[T] | None:
        record = self._records.get(KIND, self._plan.name)
        if record is None:
            self._custody.guard.require(self._plan.name, 0, "")
            return None
        if known and isinstance(record.value, dict) and record.value.get("mac") == known.digest:
            return _Seen(known.ring, record.version, known.epoch, known.digest)
        return self._open(record, known)

    def _open(self, record: Record, known: _Seen[T] | None) -> _Seen[T]:
        name = self._plan.name
        damaged = CustodyError(f"the {name} ring in the store is damaged")
        try:
            document = dict(record.value)
            mac = document.pop("mac")
            if document["v"] != 1:
                raise CustodyError(f"the {name} ring was written by a later release")
            if document["master"] != self._custody.master_id:
                raise CustodyError(
                    f"the {name} ring was sealed with master key {str(document['master'])[:16]!r}, "
                    f"this host has {self._custody.master_id!r}; give this host the right master key"
                )
            if not hmac.compare_digest(mac, self._mac(document)):
                raise damaged
            epoch = int(document["epoch"])
            self._custody.guard.require(name, max(epoch, 1), mac)
            if known and epoch < known.epoch:
                raise CustodyError(f"the {name} ring went back from epoch {known.epoch} to {epoch}")
            return _Seen(self._plan.from_json(document["body"]), record.version, epoch, mac)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise damaged from None

    def _bring_up_to_date(self, seen: _Seen[T] | None) -> _Seen[T]:
        for _ in range(_TRIES):
            now = self._clock()
            ring, changes = self._plan.advance(seen.ring if seen else None, now)
            if seen is not None and ring is seen.ring:
                return seen
            try:
                self._write(self._as_put(ring, seen, now), changes)
            except Conflict:
                changes = ()  # another process was faster: its ring is as good
            if self._on_change:
                for change in changes:
                    self._on_change(change.event, change.ident, change.kind, change.at)
            seen = self._fetch(seen)
        raise StorageUnavailable(f"the {self._plan.name} ring changes too fast")

    def _as_put(self, ring: T, seen: _Seen[T] | None, now: float) -> Put:
        document = {
            "v": 1,
            "master": self._custody.master_id,
            "epoch": seen.epoch + 1 if seen else 1,
            "written_at": int(now),
            "body": self._plan.to_json(ring),
        }
        document["mac"] = self._mac(document)
        return Put(KIND, self._plan.name, document, expect=seen.version if seen else 0)

    def _put(self, put: Put, _changes: Sequence[RingChange]) -> None:
        self._records.put(put.kind, put.key, put.value, expect=put.expect)

    def _mac(self, document: Any) -> str:
        text = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
        return self._custody.authenticate(f"ring {self._plan.name} ".encode() + text)


def _ticks() -> float:
    # Goes on counting while the machine sleeps, so that a ring seen before a suspension is not taken for
    # fresh.
    return time.clock_gettime(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_living: "weakref.WeakSet[LiveRing[Any]]" = weakref.WeakSet()


def _after_fork() -> None:
    for ring in tuple(_living):
        ring.after_fork()


os.register_at_fork(after_in_child=_after_fork)
