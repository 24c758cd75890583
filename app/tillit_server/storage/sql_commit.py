"""One batch, one transaction: judge every settlement in order, then write what won.

A batch of audit entries alone, which is what most tokens are, is a single statement and so a single round
trip. Records are judged here and not by the server, as in the embedded store; other hosts are kept away from
the same records by locks that the transaction holds.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from tillit_server.storage.ports import Conflict, Head, Linker, StorageUnavailable
from tillit_server.storage.spending import Guard, GuardMoved
from tillit_server.storage.sql_writer import Writer
from tillit_server.storage.work import EntryRow, Prepared, PutRow

_TRIES = 5
_FORGET_ROWS = 1000

_HEAD = text("SELECT seq, link FROM journal WHERE slot = :slot ORDER BY seq DESC LIMIT 1")
_LOCK = text("SELECT pg_advisory_xact_lock(name) FROM unnest(CAST(:names AS bigint[])) AS name")
_FOUND = text(
    "SELECT kind, key, version, until FROM record"
    " JOIN unnest(CAST(:kinds AS text[]), CAST(:keys AS bytea[])) AS asked (kind, key) USING (kind, key)"
    " UNION ALL SELECT kind, NULL, version, NULL FROM removed WHERE kind = ANY(CAST(:kinds AS text[]))"
)
_WRITE = text(
    "INSERT INTO record (kind, key, value, version, until)"
    " SELECT * FROM unnest(CAST(:kinds AS text[]), CAST(:keys AS bytea[]), CAST(:sealed AS bytea[]),"
    " CAST(:versions AS bigint[]), CAST(:untils AS double precision[]))"
    " ON CONFLICT (kind, key) DO UPDATE"
    " SET value = excluded.value, version = excluded.version, until = excluded.until"
)
_DELETE = text(
    "DELETE FROM record USING unnest(CAST(:kinds AS text[]), CAST(:keys AS bytea[])) AS gone (kind, key)"
    " WHERE record.kind = gone.kind AND record.key = gone.key"
)
_REMOVED = text(
    "INSERT INTO removed (kind, version)"
    " SELECT * FROM unnest(CAST(:kinds AS text[]), CAST(:versions AS bigint[]))"
    " ON CONFLICT (kind) DO UPDATE SET version = greatest(removed.version, excluded.version)"
)
# A guard is held by a lock on its row until the commit: who moves it comes before us, and is seen, or after.
_HELD = text("SELECT version FROM record WHERE kind = :guard AND key = :guarded FOR SHARE")
_ENTER = text(
    "WITH held AS (SELECT FROM record WHERE kind = CAST(:guard AS text) AND key = :guarded"
    " AND version = :expected FOR SHARE),"
    " sound AS (SELECT CAST(:guard AS text) IS NULL OR EXISTS (SELECT FROM held) AS so),"
    " entered AS (INSERT INTO journal (slot, seq, public, sealed, link) SELECT :slot, entry.* FROM"
    " unnest(CAST(:seqs AS bigint[]), CAST(:publics AS bytea[]), CAST(:sealed AS bytea[]),"
    " CAST(:links AS bytea[])) AS entry, sound WHERE sound.so),"
    " named AS (INSERT INTO label (period, label, slot, seq)"
    " SELECT named.period, named.label, :slot, named.seq FROM"
    " unnest(CAST(:periods AS text[]), CAST(:labels AS bytea[]), CAST(:labelled AS bigint[]))"
    " AS named (period, label, seq), sound WHERE sound.so ON CONFLICT DO NOTHING),"
    " counted AS (INSERT INTO settled (slot, count) SELECT :slot, 1 FROM sound WHERE sound.so AND :guarding"
    " ON CONFLICT (slot) DO UPDATE SET count = settled.count + 1)"
    " SELECT sound.so FROM sound"
)
_FORGET = text(
    "DELETE FROM label WHERE ctid = ANY(ARRAY(SELECT ctid FROM label WHERE period = :period LIMIT :rows))"
)

Name = tuple[str, bytes]


class _Lying(NamedTuple):
    version: int
    until: float | None


class _State:
    """What lies in the database of what a batch touches, and what its settlements have changed so far."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self.records: dict[Name, _Lying] = {}
        self.removed: dict[str, int] = {}
        self.written: dict[Name, PutRow] = {}
        self.gone: dict[str, int] = {}
        self.held: set[Guard] = set()
        self.entries: list[tuple[int, EntryRow, bytes]] = []
        self.guarding = False


class SqlCommitter:
    """Writes batches of puts and entries. Used by the thread that leads, one at a time."""

    def __init__(self, writer: Writer, linker: Linker, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._linker = linker
        self._clock = clock
        self._head: Head | None = None

    def commit(self, batch: Sequence[Prepared], deadline: float) -> None:
        """Settle a batch; the chain moves on only when it is on disk.

        Sets `outcome` of settlements in conflict. Raises `StorageUnavailable` for the batch as a whole, of
        which then nobody knows whether it was written.
        """
        one_by_one = False
        for _ in range(_TRIES):
            # Read again after anything but a success: nobody but the database knows then.
            known, self._head = self._head, None
            try:
                with self._writer.connection(deadline) as connection:
                    self._head = self._settle(connection, batch, known, one_by_one=one_by_one)
            except IntegrityError:
                # Another process has written to our chain. Nothing of ours is there; we go on behind it.
                if time.monotonic() > deadline:
                    break
            else:
                if self._head is not None:
                    return
                one_by_one = True
        raise StorageUnavailable("another process writes to our audit chain")

    def _settle(
        self, connection: Connection, batch: Sequence[Prepared], known: Head | None, *, one_by_one: bool
    ) -> Head | None:
        """The new head; None if a guard of many did not hold, and nothing was done."""
        state = _State(known or self._read_head(connection))
        guards = {work.guard for work in batch if work.guard is not None}
        alone = not one_by_one and len(guards) <= 1
        alone = alone and not any(work.puts or work.forget is not None for work in batch)
        if not alone:
            connection.exec_driver_sql("BEGIN")
            self._look_up(connection, batch, state)
            state.held = {guard for guard in guards if _holds(connection, guard)}
        now = self._clock()
        for work in batch:
            moved = not alone and work.guard is not None and work.guard not in state.held
            work.outcome = GuardMoved("another server has taken over") if moved else _judge(work, state, now)
            if work.outcome is None:
                self._take(work, state)
                if work.forget is not None:
                    work.forgotten = _forget(connection, work.forget)
        sound = _write(connection, state, next(iter(guards), None) if alone else None)
        if not alone:
            connection.exec_driver_sql("COMMIT")
        return state.head if sound else None

    def _read_head(self, connection: Connection) -> Head:
        slot = self._linker.slot
        row = connection.execute(_HEAD, {"slot": slot}).first()
        return Head(slot, row[0], row[1]) if row else Head(slot, 0, b"")

    @staticmethod
    def _look_up(connection: Connection, batch: Sequence[Prepared], state: _State) -> None:
        names = {_name(put) for work in batch for put in work.puts}
        if not names:
            return
        # Locks first, and in one order for all; what is read after them, nobody else changes.
        connection.execute(_LOCK, {"names": sorted(_lock(name) for name in names)})
        asked = {"kinds": [kind for kind, _ in names], "keys": [key for _, key in names]}
        for kind, key, version, until in connection.execute(_FOUND, asked):
            if key is None:
                state.removed[kind] = version
            else:
                state.records[kind, key] = _Lying(version, until)

    def _take(self, work: Prepared, state: _State) -> None:
        state.guarding = state.guarding or work.guard is not None
        work.versions = [_put(put, state) for put in work.puts]
        slot, seq, link = state.head.slot, state.head.seq, state.head.link
        for entry in work.entries:
            seq += 1
            link = self._linker.link(link, seq, entry.digest)
            state.entries.append((seq, entry, link))
        state.head = Head(slot, seq, link)


def _judge(work: Prepared, state: _State, now: float) -> Conflict | None:
    own: set[Name] = set()
    for put in work.puts:
        name = _name(put)
        lying = state.records.get(name)
        there = lying is not None and (lying.until is None or lying.until >= now)
        version = lying.version if lying and there else 0
        if name in own or (put.expect is not None and put.expect != version):
            return Conflict(put.kind, "version")
        own.add(name)
    return None


def _put(put: PutRow, state: _State) -> int:
    name = _name(put)
    # What lies there counts although its time is over, and a record made anew must not get a version that its
    # predecessor had.
    lying = state.records.pop(name, None)
    version = (lying.version if lying else state.removed.get(put.kind, 0)) + 1
    if put.value is not None:
        state.records[name] = _Lying(version, put.until)
    elif lying:
        state.removed[put.kind] = state.gone[put.kind] = max(version, state.removed.get(put.kind, 0))
    state.written[name] = put
    return version


def _write(connection: Connection, state: _State, guard: Guard | None) -> bool:
    """Write it all; False, and no entry, if the guard has moved."""
    kept = [(name, put) for name, put in state.written.items() if put.value is not None]
    if kept:
        rows: dict[str, Any] = _named(name for name, _ in kept)
        rows["sealed"] = [put.value for _, put in kept]
        rows["versions"] = [state.records[name].version for name, _ in kept]
        rows["untils"] = [put.until for _, put in kept]
        connection.execute(_WRITE, rows)
    dropped = [name for name, put in state.written.items() if put.value is None]
    if dropped:
        connection.execute(_DELETE, _named(dropped))
    if state.gone:
        kinds = sorted(state.gone)  # in one order for all: these rows are everybody's
        connection.execute(_REMOVED, {"kinds": kinds, "versions": [state.gone[kind] for kind in kinds]})
    if not state.entries and not state.guarding:
        return True
    labels = [(row.period, label, seq) for seq, row, _ in state.entries for label in row.labels]
    rows = {
        "slot": state.head.slot,
        "seqs": [seq for seq, _, _ in state.entries],
        "publics": [row.public for _, row, _ in state.entries],
        "sealed": [row.sealed for _, row, _ in state.entries],
        "links": [link for _, _, link in state.entries],
        "periods": [period for period, _, _ in labels],
        "labels": [label for _, label, _ in labels],
        "labelled": [seq for _, _, seq in labels],
        "guard": guard.kind if guard else None,
        "guarded": guard.key.encode() if guard else b"",
        "expected": guard.version if guard else 0,
        "guarding": state.guarding,
    }
    return bool(connection.execute(_ENTER, rows).scalar())


def _forget(connection: Connection, period: str) -> int:
    return connection.execute(_FORGET, {"period": period, "rows": _FORGET_ROWS}).rowcount


def _holds(connection: Connection, guard: Guard) -> bool:
    """Whether the guard's record has its version, and will have it until we commit."""
    names = {"guard": guard.kind, "guarded": guard.key.encode()}
    return (connection.execute(_HELD, names).scalar() or 0) == guard.version


def _named(names: Iterable[Name]) -> dict[str, Any]:
    pairs = list(names)
    return {"kinds": [kind for kind, _ in pairs], "keys": [key for _, key in pairs]}


def _name(put: PutRow) -> Name:
    # As bytes: text of the database cannot hold NUL, and would be sorted as its locale has it.
    return put.kind, put.key.encode()


def _lock(name: Name) -> int:
    digest = hashlib.sha256(name[0].encode() + b"\0" + name[1]).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
