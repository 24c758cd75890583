"""Forgetting ids, tickets and records whose time is over, a few at a time, inside commits that happen anyway.

A clock that jumps must never make a spent id good again (threat D9). So `forgetting` says when; and what was
forgotten is remembered as intervals of `until`: an id that falls into one can no longer be judged, and is
refused.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence

from tillit_server.storage.forgetting import KEEP, Forgetting

REMOVED = (
    "INSERT INTO removed VALUES (?, ?) ON CONFLICT DO UPDATE SET version = max(version, excluded.version)"
)
"""Keeps the highest version that a record of a kind had when it went."""

_ROWS = 32
_MAX_INTERVALS = 64

Interval = tuple[float, float]


class Housekeeper:
    """Prunes inside the caller's transaction. `steady` is a clock that nobody can set."""

    def __init__(self, connection: sqlite3.Connection, steady: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._forgetting = Forgetting(steady)
        self._added = 0

    def prune(self, now: float, added: int) -> None:
        """Forget a few rows if the clock is to be trusted; `added` rows have just been written."""
        self._added += added
        if not self._forgetting.due(now):
            return
        limit = _ROWS + 2 * self._added
        self._added = 0
        rows = self._connection.execute(
            "SELECT until, digest FROM once WHERE until < ? ORDER BY until LIMIT ?", (now - KEEP, limit)
        ).fetchall()
        if rows:
            self._connection.executemany(
                "DELETE FROM once WHERE digest = ?", [(digest,) for _, digest in rows]
            )
            self._remember([(until, until) for until, _ in rows])
        self._connection.execute(
            "DELETE FROM ticket WHERE rowid IN"
            " (SELECT rowid FROM ticket WHERE until < ? ORDER BY until LIMIT ?)",
            (now - KEEP, limit),
        )
        self._prune_records(now - KEEP, limit)

    def _prune_records(self, before: float, limit: int) -> None:
        rows = self._connection.execute(
            "SELECT rowid, kind, version FROM record WHERE until < ? ORDER BY until LIMIT ?", (before, limit)
        ).fetchall()
        if rows:
            # The reader of a record that is gone must not overwrite a later one of that name.
            self._connection.executemany(REMOVED, [(kind, version) for _, kind, version in rows])
            self._connection.executemany("DELETE FROM record WHERE rowid = ?", [(row[0],) for row in rows])

    def _remember(self, intervals: Sequence[Interval]) -> None:
        known = self._connection.execute("SELECT low, high FROM pruned ORDER BY low").fetchall()
        merged = merge(known, intervals)
        if merged != known:
            self._connection.execute("DELETE FROM pruned")
            self._connection.executemany("INSERT INTO pruned VALUES (?, ?)", merged)


def merge(known: Sequence[Interval], new: Sequence[Interval]) -> list[Interval]:
    """Add intervals; neighbours closer than `KEEP` become one, as do the closest if there are too many."""
    merged: list[Interval] = []
    for low, high in sorted([*known, *new]):
        if merged and low - merged[-1][1] <= KEEP:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    while len(merged) > _MAX_INTERVALS:
        closest = min(range(len(merged) - 1), key=lambda i: merged[i + 1][0] - merged[i][1])
        merged[closest : closest + 2] = [(merged[closest][0], merged[closest + 1][1])]
    return merged
