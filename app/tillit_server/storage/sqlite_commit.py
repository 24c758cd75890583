"""One batch, one transaction: judge every settlement in order, then write what won with few statements.

Each statement lets other threads run and has to win the interpreter back, so all settlements are looked
up and written together. Settlements see what those before them did; a conflict leaves nothing behind.
"""

import math
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from tillit_server.storage.forgetting import KEEP
from tillit_server.storage.ports import Conflict, Head, Linker
from tillit_server.storage.sqlite_housekeeping import REMOVED, Housekeeper
from tillit_server.storage.work import Prepared, PutRow

SLOT_SHIFT = 40
"""A journal id is the slot, shifted by so many bits, and the number of the entry in its slot."""

_PRUNED_AND = "SELECT low, high FROM pruned UNION ALL "
ONCE = "SELECT digest, until FROM once WHERE digest = ?"
_TICKET = "SELECT digest, value, until, redeemed FROM ticket WHERE digest = ?"

_CHUNK = 64
_FORGET_ROWS = 1000

T = TypeVar("T")


class _TicketState(NamedTuple):
    value: bytes
    until: float
    redeemed: bool


class _State:
    """What lies in the file of what a batch touches, and what its settlements have changed so far."""

    def __init__(self) -> None:
        self.spent: dict[bytes, float] = {}
        self.forgotten: list[tuple[float, float]] = []
        self.tickets: dict[bytes, _TicketState] = {}
        self.new_spent: dict[bytes, float] = {}
        self.new_tickets: dict[bytes, _TicketState] = {}
        self.entries: list[tuple[int, bytes, bytes, bytes]] = []
        self.labels: list[tuple[str, bytes, int]] = []


class Committer:
    """Writes batches on the writing connection. Used by the thread that leads, one at a time."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        linker: Linker,
        clock: Callable[[], float],
        housekeeper: Housekeeper,
    ) -> None:
        # One cursor for all statements of a batch: every row that is asked for is read before the next.
        self._execute = connection.cursor().execute
        self._linker = linker
        self._clock = clock
        self._housekeeper = housekeeper
        self._head: Head | None = None

    def commit(self, batch: Sequence[Prepared]) -> None:
        """Settle a batch in the transaction the caller began; the chain moves on only when it is on disk.

        Sets `outcome` of settlements in conflict. Raises `sqlite3.Error` for the batch as a whole.
        """
        state = _State()
        now = self._clock()
        # Read again after anything but a success: nobody but the file knows then.
        head, self._head = self._head or self._read_head(), None
        self._look_up(batch, state)
        for work in batch:
            conflict = self._judge(work, state, now)
            if conflict is None:
                head = self._take(work, state, head)
            else:
                work.outcome = conflict
        self._write(state)
        self._housekeeper.prune(now, len(state.new_spent) + len(state.new_tickets))
        self._execute("COMMIT")
        self._head = head

    def _read_head(self) -> Head:
        slot = self._linker.slot
        first = slot << SLOT_SHIFT
        query = "SELECT id, link FROM journal WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1"
        row = self._execute(query, (first, first + (1 << SLOT_SHIFT))).fetchone()
        return Head(slot, row[0] - first, row[1]) if row else Head(slot, 0, b"")

    def _look_up(self, batch: Sequence[Prepared], state: _State) -> None:
        for chunk in chunks([row.digest for work in batch for row in work.claims]):
            rows = self._execute(_PRUNED_AND + asking(ONCE, len(chunk)), chunk).fetchall()
            if rows:
                state.spent.update(row for row in rows if isinstance(row[0], bytes))
            state.forgotten = [row for row in rows if not isinstance(row[0], bytes)]
        digests = [row.digest for work in batch for row in work.redemptions]
        digests += [row.digest for work in batch for row in work.issues]
        for chunk in chunks(digests):
            for digest, value, until, redeemed in self._execute(asking(_TICKET, len(chunk)), chunk):
                state.tickets[digest] = _TicketState(value, until, bool(redeemed))

    def _judge(self, work: Prepared, state: _State, now: float) -> Conflict | None:
        """The first conflict in the order of the port, or None."""
        conflict = self._judge_claims(work, state, now)
        # Most settlements claim and record, and nothing else.
        if conflict is not None or not (work.redemptions or work.issues or work.puts):
            return conflict
        return (
            self._judge_redemptions(work, state, now)
            or self._judge_issues(work, state, now)
            or self._judge_puts(work, now)
        )

    @staticmethod
    def _judge_claims(work: Prepared, state: _State, now: float) -> Conflict | None:
        own: set[bytes] = set()
        for space, digest, until in work.claims:
            spent = state.spent.get(digest)
            # An id may be claimed again when its first use is so old that it might as well have been pruned,
            # but only by a token that lives longer: the first must stay spent whatever the clock does.
            if (spent is not None and not (spent + KEEP < now and spent < until)) or digest in own:
                return Conflict(space, "spent")
            if state.forgotten and any(low <= until <= high for low, high in state.forgotten):
                return Conflict(space, "forgotten")
            own.add(digest)
        return None

    @staticmethod
    def _judge_redemptions(work: Prepared, state: _State, now: float) -> Conflict | None:
        own: set[bytes] = set()
        for row in work.redemptions:
            ticket = state.tickets.get(row.digest)
            if ticket is None:
                return Conflict(row.space, "unknown")
            if ticket.redeemed or row.digest in own:
                return Conflict(row.space, "spent")
            if ticket.until < now:
                return Conflict(row.space, "expired")
            own.add(row.digest)
        return None

    @staticmethod
    def _judge_issues(work: Prepared, state: _State, now: float) -> Conflict | None:
        own = {row.digest for row in work.redemptions}
        for row in work.issues:
            ticket = state.tickets.get(row.digest)
            if (ticket is not None and ticket.until >= now) or row.digest in own:
                return Conflict(row.space, "exists")
            own.add(row.digest)
        return None

    def _judge_puts(self, work: Prepared, now: float) -> Conflict | None:
        own: set[tuple[str, str]] = set()
        for put in work.puts:
            name = (put.kind, put.key)
            if name in own or (put.expect is not None and put.expect != self._version(put, now)):
                return Conflict(put.kind, "version")
            own.add(name)
        return None

    def _take(self, work: Prepared, state: _State, head: Head) -> Head:
        for row in work.claims:
            state.spent[row.digest] = state.new_spent[row.digest] = row.until
        for redemption in work.redemptions:
            until = max(state.tickets[redemption.digest].until, redemption.keep_until)
            ticket = _TicketState(redemption.tombstone, until, redeemed=True)
            state.tickets[redemption.digest] = state.new_tickets[redemption.digest] = ticket
        for issue in work.issues:
            ticket = _TicketState(issue.value, issue.until, redeemed=False)
            state.tickets[issue.digest] = state.new_tickets[issue.digest] = ticket
        work.versions = [self._put(put) for put in work.puts]
        if work.forget is not None:
            work.forgotten = self._forget(work.forget)
        slot, seq, link = head.slot, head.seq, head.link
        for entry in work.entries:
            seq += 1
            link = self._linker.link(link, seq, entry.digest)
            identifier = (slot << SLOT_SHIFT) + seq
            state.entries.append((identifier, entry.public, entry.sealed, link))
            state.labels.extend((entry.period, label, identifier) for label in entry.labels)
        return Head(slot, seq, link) if work.entries else head

    def _version(self, put: PutRow, now: float) -> int:
        """The version of the record as anybody could find it; 0 when there is none, or its time is over."""
        query = "SELECT version FROM record WHERE kind = ? AND key = ? AND (until IS NULL OR until >= ?)"
        row = self._execute(query, (put.kind, put.key, now)).fetchone()
        return int(row[0]) if row else 0

    def _put(self, put: PutRow) -> int:
        # What lies there counts although its time is over.
        version = self._version(put, -math.inf)
        if not version:
            # A record made anew must not get a version that its predecessor had.
            row = self._execute("SELECT version FROM removed WHERE kind = ?", (put.kind,)).fetchone()
            version = int(row[0]) if row else 0
        version += 1
        if put.value is not None:
            values = (put.kind, put.key, put.value, version, put.until)
            self._execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?, ?)", values)
        elif self._execute("DELETE FROM record WHERE kind = ? AND key = ?", (put.kind, put.key)).rowcount:
            self._execute(REMOVED, (put.kind, version))
        return version

    def _forget(self, period: str) -> int:
        return self._execute(
            "DELETE FROM label WHERE period = ? AND (label, id) IN"
            " (SELECT label, id FROM label WHERE period = ? LIMIT ?)",
            (period, period, _FORGET_ROWS),
        ).rowcount

    def _write(self, state: _State) -> None:
        upsert = " ON CONFLICT DO UPDATE SET until = excluded.until"
        if state.new_spent:
            self._insert("INSERT OR ROLLBACK INTO once VALUES ", upsert, list(state.new_spent.items()))
        if state.new_tickets:
            rows = [(digest, *ticket) for digest, ticket in state.new_tickets.items()]
            upsert += ", value = excluded.value, redeemed = excluded.redeemed"
            self._insert("INSERT OR ROLLBACK INTO ticket VALUES ", upsert, rows)
        if state.entries:
            self._insert("INSERT OR ROLLBACK INTO journal VALUES ", "", state.entries)
        if state.labels:
            self._insert("INSERT OR ROLLBACK INTO label VALUES ", " ON CONFLICT DO NOTHING", state.labels)

    def _insert(self, start: str, end: str, rows: Sequence[tuple[Any, ...]]) -> None:
        for chunk in chunks(rows):
            statement = _inserting(start, len(chunk[0]), len(chunk), end)
            self._execute(statement, tuple(chain.from_iterable(chunk)))


def chunks(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut into powers of two, so that few different statements stay prepared."""
    start, end = 0, len(rows)
    while start < end:
        size = min(_CHUNK, 1 << ((end - start).bit_length() - 1))
        yield rows[start : start + size]
        start += size


@cache
def asking(query: str, count: int) -> str:
    """A query for `count` keys; made once, so that SQLite's own cache knows the text.

    For IN, SQLite builds and drops a table of the keys every time: for two keys, that is half of the work.
    """
    return " UNION ALL ".join([query] * count)


@cache
def _inserting(start: str, width: int, count: int, end: str) -> str:
    """An insertion of `count` rows of `width` values."""
    return start + ",".join([f"({_marks(width)})"] * count) + end


def _marks(count: int) -> str:
    return ",".join("?" * count)
