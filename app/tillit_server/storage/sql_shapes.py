"""Records and journal in a PostgreSQL database: reads look, writes are settlements of a single part."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import text

from tillit_server.storage.ports import (
    Head,
    JournalEntry,
    Record,
)
from tillit_server.storage.sql_connect import Database
from tillit_server.storage.work import Preparer
from tillit_server.storage.writing import Submit, WritingJournal, WritingRecords

_GET = text("SELECT value, version, until FROM record WHERE kind = :kind AND key = :key")
_EACH = text(
    "SELECT key, value, version FROM record"
    " WHERE kind = :kind AND (until IS NULL OR until >= :now) ORDER BY key"
)
_READ = text(
    "SELECT slot, seq, public, sealed, link FROM journal"
    " WHERE slot = :slot AND seq > :after ORDER BY seq LIMIT :limit"
)
# From one slot's end straight to the next slot's: the entries between are never looked at.
_HEADS = text(
    "WITH RECURSIVE head AS ("
    " (SELECT slot, seq, link FROM journal ORDER BY slot DESC, seq DESC LIMIT 1)"
    " UNION ALL SELECT lower.slot, lower.seq, lower.link FROM head, LATERAL"
    " (SELECT slot, seq, link FROM journal WHERE slot < head.slot"
    " ORDER BY slot DESC, seq DESC LIMIT 1) AS lower)"
    " SELECT slot, seq, link FROM head ORDER BY slot"
)
_FIND = text(
    "SELECT slot, seq, public, sealed, link FROM label JOIN journal USING (slot, seq)"
    " WHERE period = :period AND label = :label ORDER BY slot DESC, seq DESC LIMIT :limit"
)


def has_record(database: Database, kind: str, key: str) -> bool:
    """Whether there is such a record, for who cannot open it. Raises `StorageUnavailable`."""
    return bool(database.rows(_GET, {"kind": kind, "key": key.encode()}))


class SqlRecords(WritingRecords):
    """`ports.Records`."""

    def __init__(
        self, submit: Submit, preparer: Preparer, database: Database, clock: Callable[[], float]
    ) -> None:
        super().__init__(submit, preparer)
        self._database = database
        self._clock = clock

    def get(self, kind: str, key: str) -> Record | None:
        """The record, or None."""
        rows = self._database.rows(_GET, {"kind": kind, "key": key.encode()})
        for value, version, until in rows:
            if until is None or until >= self._clock():
                return Record(self._preparer.open_record(kind, key, value), version)
        return None

    def each(self, kind: str) -> Iterator[tuple[str, Record]]:
        """Every record of a kind, in the order of the keys."""
        for raw, value, version in self._database.rows(_EACH, {"kind": kind, "now": self._clock()}):
            key = raw.decode()
            yield key, Record(self._preparer.open_record(kind, key, value), version)


class SqlJournal(WritingJournal):
    """`ports.Journal`."""

    def __init__(self, submit: Submit, preparer: Preparer, database: Database) -> None:
        super().__init__(submit, preparer)
        self._database = database

    def read(self, slot: int, *, after: int = 0, limit: int = 1000) -> Sequence[JournalEntry]:
        """Entries of a slot that follow number `after`."""
        return self._entries(_READ, {"slot": slot, "after": after, "limit": limit})

    def heads(self) -> Sequence[Head]:
        """The end of every slot's chain, in one statement and so at one moment."""
        return [Head(*row) for row in self._database.rows(_HEADS)]

    def find(self, period: str, label: bytes, *, limit: int = 1000) -> Sequence[JournalEntry]:
        """Entries filed under a label, newest of each slot first."""
        return self._entries(_FIND, {"period": period, "label": label, "limit": limit})

    def _entries(self, query: Any, values: dict[str, Any]) -> Sequence[JournalEntry]:
        return [JournalEntry(*row) for row in self._database.rows(query, values)]
