"""A document that somebody else publishes: one fetch at a time, the last good copy when it fails."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class Unavailable(Exception):
    """There is no usable copy and none can be fetched now. Ask again in `retry_after` seconds."""

    def __init__(self, retry_after: float, detail: str) -> None:
        super().__init__(detail)
        self.retry_after = max(1, round(retry_after))


@dataclass(frozen=True, slots=True)
class Fetched(Generic[T]):
    """A document as it came, and for how many seconds it is fresh."""

    value: T
    fresh_seconds: float


@dataclass(frozen=True, slots=True)
class _Copy(Generic[T]):
    value: T
    fetched_at: float
    fresh_seconds: float


class Published(Generic[T]):
    """Holds the last good copy of one document.

    Fresh copies are given at once. A stale one is fetched anew by one caller, while the others go on with the
    old copy; without an old copy they wait for that one fetch. A failed fetch keeps the old copy, for at most
    `max_stale` seconds since it was fetched, and is not repeated before `retry_after` seconds have passed.
    """

    def __init__(
        self,
        fetch: Callable[[], Fetched[T]],
        *,
        clock: Callable[[], float],
        max_stale: float = 86_400.0,
        retry_after: float = 10.0,
        wait: float = 15.0,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._max_stale = max_stale
        self._retry_after = retry_after
        self._wait = wait
        self._lock = threading.Lock()
        self._copy: _Copy[T] | None = None
        self._flight: threading.Event | None = None
        self._failed_at: float | None = None
        self._failure = ""

    def get(self) -> T:
        """Give the document. Raises `Unavailable` when there is no copy young enough and none can be had."""
        now = self._clock()
        with self._lock:
            copy = self._usable(now)
            if copy is not None and 0 <= now - copy.fetched_at < copy.fresh_seconds:
                return copy.value
            if self._resting(now):
                return self._value_or_raise(copy)
            flight, leading = self._board()
        if leading:
            self._fly(flight)
        elif copy is not None:
            return copy.value
        else:
            flight.wait(self._wait)
        with self._lock:
            return self._value_or_raise(self._usable(self._clock()))

    def refresh(self) -> None:
        """Fetch now, whatever the age of the copy, or wait for the fetch that is under way. Never raises."""
        with self._lock:
            if self._flight is None and self._resting(self._clock()):
                return
            flight, leading = self._board()
        if leading:
            self._fly(flight)
        else:
            flight.wait(self._wait)

    def settle(self) -> None:
        """Wait for a fetch that is under way, if there is one. Never starts one."""
        with self._lock:
            flight = self._flight
        if flight is not None:
            flight.wait(self._wait)

    def _board(self) -> tuple[threading.Event, bool]:
        if self._flight is not None:
            return self._flight, False
        self._flight = threading.Event()
        return self._flight, True

    def _fly(self, flight: threading.Event) -> None:
        copy: _Copy[T] | None = None
        failure = ""
        asked_at = self._clock()
        try:
            fetched = self._fetch()
            copy = _Copy(fetched.value, asked_at, fetched.fresh_seconds)
        except Exception as error:  # noqa: BLE001, whatever happened, the last good copy stays
            failure = f"{type(error).__name__}: {error}"
        finally:
            with self._lock:
                if copy is not None:
                    self._copy, self._failed_at, self._failure = copy, None, ""
                else:
                    self._failed_at, self._failure = self._clock(), failure or "interrupted"
                self._flight = None
            flight.set()

    def _usable(self, now: float) -> _Copy[T] | None:
        copy = self._copy
        return copy if copy is not None and now - copy.fetched_at <= self._max_stale else None

    def _resting(self, now: float) -> bool:
        # A clock set back must not turn seconds of rest into hours.
        return self._failed_at is not None and 0 <= now - self._failed_at < self._retry_after

    def _value_or_raise(self, copy: _Copy[T] | None) -> T:
        if copy is None:
            raise Unavailable(self._retry_after, self._failure or "not fetched yet")
        return copy.value
