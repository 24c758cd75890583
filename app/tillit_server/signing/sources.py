"""Which document source has seen which key, as far as sources say who they are. Advisory.

A source may name itself when it fetches the key set; anybody can write any name there. So nothing here ever
moves an instant of a key or changes an answer: it is counted in memory, written at most once a minute by each
worker, and shown to whoever is about to rotate or revoke. Names that are not registered are counted as one
number, and their text is not kept.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tillit_server.signing.key_life import DAY
from tillit_server.storage.ports import Conflict, Records, StorageUnavailable

KIND, KEY = "key_sources", "all"
PERIOD = 60.0
RECENT = 30 * DAY
"""A source that did not fetch for so long is taken to be gone."""
MAX_KEYS = 16
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Source:
    """A registered source: when it last fetched the key set, and per key when it first and last got it.

    Unix seconds, exact to a minute or so after a crash.
    """

    name: str
    fetched_at: int
    keys: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class SourcesSeen:
    """Every source that ever named itself; ``unknown`` fetches gave a name that is not registered."""

    sources: tuple[Source, ...]
    unknown: int

    def lacking(self, kid: str, now: float) -> tuple[Source, ...]:
        """The sources that fetched lately, and not since ``kid`` is published."""
        return tuple(s for s in self.sources if kid not in s.keys and now - s.fetched_at < RECENT)


class KeySources:
    """Counts in one worker. Safe in threads."""

    def __init__(self, records: Records, names: Collection[str], clock: Callable[[], float]) -> None:
        """``names``: the registered sources, which are the audiences of the APIs."""
        self._records = records
        self._names = frozenset(names)
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, dict[str, tuple[int, int]]] = {}
        self._unknown = 0
        self._flushed_at = clock()

    def saw(self, unverified_name: str | None, kids: Iterable[str], now: float) -> None:
        """Count a fetch of the key set that held ``kids``; touches memory only, and never raises."""
        if unverified_name is None:
            return
        with self._lock:
            if unverified_name in self._names:
                at = int(now)
                _merge(self._seen.setdefault(unverified_name, {}), dict.fromkeys(kids, (at, at)))
            else:
                self._unknown += 1

    def tick(self) -> None:
        """Called every second or so: write what was counted in a minute that is over."""
        now = self._clock()
        # A clock set back must not keep the counts in memory.
        if not 0 <= now - self._flushed_at < PERIOD:
            self._flushed_at = now
            self.flush()

    def flush(self) -> None:
        """Write what was counted; it is kept for the next minute if the store cannot be used."""
        with self._lock:
            seen, self._seen = self._seen, {}
            unknown, self._unknown = self._unknown, 0
        if not (seen or unknown) or self._write(seen, unknown):
            return
        with self._lock:
            self._unknown += unknown
            for name, keys in seen.items():
                _merge(self._seen.setdefault(name, {}), keys)

    def read(self) -> SourcesSeen:
        """What all workers have written. Raises ``StorageUnavailable``."""
        known, unknown, _ = self._stored()
        sources = (
            Source(name, max(last for _, last in keys.values()), keys)
            for name, keys in sorted(known.items())
            if keys and name in self._names
        )
        return SourcesSeen(tuple(sources), unknown)

    def _write(self, seen: Mapping[str, Mapping[str, tuple[int, int]]], unknown: int) -> bool:
        for _ in range(_TRIES):
            try:
                known, before, version = self._stored()
                for name, keys in seen.items():
                    _merge(known.setdefault(name, {}), keys)
                body = {name: keys for name, keys in known.items() if name in self._names}
                self._records.put(KIND, KEY, {"sources": body, "unknown": before + unknown}, expect=version)
            except Conflict:
                continue
            except StorageUnavailable:
                return False
            return True
        return False

    def _stored(self) -> tuple[dict[str, dict[str, tuple[int, int]]], int, int]:
        record = self._records.get(KIND, KEY)
        if record is None:
            return {}, 0, 0
        value: Mapping[str, Any] = record.value
        known = {
            name: {kid: (first, last) for kid, (first, last) in keys.items()}
            for name, keys in value["sources"].items()
        }
        return known, value["unknown"], record.version


def _merge(into: dict[str, tuple[int, int]], more: Mapping[str, tuple[int, int]]) -> None:
    """Widen the times of each key; the keys that were got last are kept."""
    for kid, (first, last) in more.items():
        had = into.get(kid, (first, last))
        into[kid] = (min(first, had[0]), max(last, had[1]))
    for kid in sorted(into, key=lambda kid: -into[kid][1])[MAX_KEYS:]:
        del into[kid]
