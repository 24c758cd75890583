"""The four shapes on one SQLite file: reads look, writes are settlements of a single part."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tillit_server.storage.forgetting import KEEP
from tillit_server.storage.ports import (
    Claim,
    Conflict,
    Head,
    Issue,
    JournalEntry,
    Json,
    Record,
    Redemption,
    Settlement,
    Ticket,
)
from tillit_server.storage.sqlite_commit import ONCE, SLOT_SHIFT, asking
from tillit_server.storage.sqlite_read import Readers
from tillit_server.storage.work import Preparer
from tillit_server.storage.writing import Submit, WritingJournal, WritingRecords


class _Shape:
    def __init__(
        self, submit: Submit, preparer: Preparer, readers: Readers, clock: Callable[[], float]
    ) -> None:
        self._submit = submit
        self._preparer = preparer
        self._readers = readers
        self._clock = clock


class SqliteOnce(_Shape):
    """`ports.Once`."""

    def claim(self, space: str, key: str, until: float) -> bool:
        """True for exactly one caller."""
        try:
            self._submit(self._preparer.prepare(Settlement(claims=(Claim(space, key, until),))))
        except Conflict:
            return False
        return True

    def seen(self, space: str, key: str) -> bool:
        """Whether the id is spent, as far as a look can tell."""
        return self.first_seen((Claim(space, key, 0.0),)) is not None

    def first_seen(self, claims: Sequence[Claim]) -> Claim | None:
        """The first of several ids that is spent, as far as one look can tell."""
        digests = [self._preparer.claim_digest(claim.space, claim.key) for claim in claims]
        rows = self._readers.rows(asking(ONCE, len(digests)), digests)
        if not rows:
            return None
        oldest = self._clock() - KEEP
        spent = {digest for digest, until in rows if until >= oldest}
        found = (claim for claim, digest in zip(claims, digests, strict=True) if digest in spent)
        return next(found, None)


class SqliteTickets(_Shape):
    """`ports.Tickets`."""

    def issue(self, space: str, key: str, value: Json, until: float) -> None:
        """Leave a ticket."""
        self._submit(self._preparer.prepare(Settlement(issues=(Issue(space, key, value, until),))))

    def peek(self, space: str, key: str) -> Ticket | None:
        """Look without redeeming."""
        digest = self._preparer.digest("ticket", space, key)
        query = "SELECT value, until, redeemed FROM ticket WHERE digest = ?"
        for value, until, redeemed in self._readers.rows(query, (digest,)):
            if until >= self._clock():
                return Ticket(self._preparer.open_ticket(space, digest, value), until, bool(redeemed))
        return None

    def redeem(self, space: str, key: str) -> Json:
        """The value, to exactly one caller."""
        # Looking first is safe: a ticket's value never changes, and the settlement decides who gets it.
        ticket = self.peek(space, key)
        self._submit(self._preparer.prepare(Settlement(redemptions=(Redemption(space, key),))))
        if ticket is None or ticket.redeemed:
            # Issued between our look and our settlement: spent unseen, which is the safe side.
            raise Conflict(space, "unknown")
        return ticket.value


class SqliteRecords(WritingRecords):
    """`ports.Records`."""

    def __init__(
        self, submit: Submit, preparer: Preparer, readers: Readers, clock: Callable[[], float]
    ) -> None:
        super().__init__(submit, preparer)
        self._readers = readers
        self._clock = clock

    def get(self, kind: str, key: str) -> Record | None:
        """The record, or None."""
        query = "SELECT value, version, until FROM record WHERE kind = ? AND key = ?"
        for value, version, until in self._readers.rows(query, (kind, key)):
            if until is None or until >= self._clock():
                return Record(self._preparer.open_record(kind, key, value), version)
        return None

    def each(self, kind: str) -> Iterator[tuple[str, Record]]:
        """Every record of a kind, in the order of the keys."""
        query = "SELECT key, value, version FROM record WHERE kind = ?"
        query += " AND (until IS NULL OR until >= ?) ORDER BY key"
        for key, value, version in self._readers.rows(query, (kind, self._clock())):
            yield key, Record(self._preparer.open_record(kind, key, value), version)


class SqliteJournal(WritingJournal):
    """`ports.Journal`."""

    def __init__(self, submit: Submit, preparer: Preparer, readers: Readers) -> None:
        super().__init__(submit, preparer)
        self._readers = readers

    def read(self, slot: int, *, after: int = 0, limit: int = 1000) -> Sequence[JournalEntry]:
        """Entries of a slot that follow number `after`."""
        first = slot << SLOT_SHIFT
        rows = self._readers.rows(
            "SELECT id, public, sealed, link FROM journal WHERE id > ? AND id < ? ORDER BY id LIMIT ?",
            (first + after, first + (1 << SLOT_SHIFT), limit),
        )
        return [_entry(row) for row in rows]

    def heads(self) -> Sequence[Head]:
        """The end of every slot's chain, in one statement and so at one moment."""
        rows = self._readers.rows(
            "WITH RECURSIVE head(id) AS (SELECT max(id) FROM journal UNION ALL"
            " SELECT (SELECT max(id) FROM journal WHERE journal.id < (head.id >> ?) << ?) FROM head"
            " WHERE head.id IS NOT NULL)"
            " SELECT journal.id, link FROM head JOIN journal USING (id) ORDER BY journal.id",
            (SLOT_SHIFT, SLOT_SHIFT),
        )
        return [Head(row[0] >> SLOT_SHIFT, row[0] & ((1 << SLOT_SHIFT) - 1), row[1]) for row in rows]

    def find(self, period: str, label: bytes, *, limit: int = 1000) -> Sequence[JournalEntry]:
        """Entries filed under a label, newest of each slot first."""
        rows = self._readers.rows(
            "SELECT journal.id, public, sealed, link FROM label JOIN journal USING (id)"
            " WHERE period = ? AND label = ? ORDER BY journal.id DESC LIMIT ?",
            (period, label, limit),
        )
        return [_entry(row) for row in rows]


def _entry(row: tuple[int, Any, Any, Any]) -> JournalEntry:
    # Who edits the file by hand may leave text or numbers where bytes were; it is for the verifier to say so.
    public, sealed, link = (v if isinstance(v, bytes) else str(v).encode() for v in row[1:])
    return JournalEntry(row[0] >> SLOT_SHIFT, row[0] & ((1 << SLOT_SHIFT) - 1), public, sealed, link)
