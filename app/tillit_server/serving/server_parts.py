"""What a worker says of the servers that its store is on: part by part, and in numbers."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from tillit_server.console.health import HealthPart, NotWell
from tillit_server.storage.ports import StorageUnavailable
from tillit_server.storage.shared import SharedStore
from tillit_server.storage.spending import AHEAD, TOLERANCE, Standing

_STALE = 2.0


class ServerParts:
    """The two servers, asked one after the other; what the first part heard, the others judge.

    ``real_clock``: whether our clock is one to compare.
    """

    def __init__(
        self,
        store: SharedStore,
        clock: Callable[[], float],
        *,
        real_clock: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._clock = clock
        self._real_clock = real_clock
        self._monotonic = monotonic
        self._heard: dict[str, tuple[float, Standing, float]] = {}

    def parts(self) -> tuple[HealthPart, ...]:
        """In the order in which they must be looked at."""
        database = HealthPart("database", self._ask_database)
        if self._store.spending.count is None:
            return database, HealthPart("store", self._store.spending.ping)
        return (
            database,
            HealthPart("redis", self._ask_redis),
            HealthPart("fence", self._look_at_fence),
            HealthPart("clocks", self._compare_clocks),
        )

    def numbers(self) -> dict[str, float]:
        """What was heard lately: ``replicas``, ``fence_seconds``, how far each clock is ahead."""
        told: dict[str, float] = {}
        for server, (at, standing, apart) in self._heard.items():
            if self._monotonic() - at > _STALE:
                continue
            told[f"{server}_clock_seconds"] = round(apart, 3)
            if standing.replicas is not None:
                told["replicas"] = standing.replicas
            if standing.fence is not None:
                told["fence_seconds"] = round(max(0.0, standing.fence + AHEAD - self._clock()), 1)
        return told

    def _ask_database(self) -> None:
        self._hear("database", self._store.lasting.standing)

    def _ask_redis(self) -> None:
        # An epoch that is not agreed on yet is agreed on by this, so that readiness waits for no request.
        self._store.spending.ping()
        self._hear("redis", self._store.spending.standing)

    def _hear(self, server: str, ask: Callable[[], Standing | None]) -> None:
        self._heard.pop(server, None)
        begun = self._clock()
        standing = ask()
        if standing is not None:
            ours = (begun + self._clock()) / 2
            self._heard[server] = (self._monotonic(), standing, standing.time - ours)

    def _look_at_fence(self) -> None:
        _, standing, _ = self._heard_of("redis")
        until = (standing.fence or 0.0) + AHEAD
        if self._clock() < until:
            at = datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds")
            raise NotWell(f"closed until {at}: Redis has lost something, and what is new cannot be told yet")

    def _compare_clocks(self) -> None:
        _, _, apart = self._heard_of("redis")
        if self._real_clock and abs(apart) > TOLERANCE:
            raise NotWell(f"the clock of Redis is {apart:.0f} s away from this host's: run NTP on both")

    def _heard_of(self, server: str) -> tuple[float, Standing, float]:
        heard = self._heard.get(server)
        if heard is None:
            raise StorageUnavailable("not known while the server does not answer")
        return heard
