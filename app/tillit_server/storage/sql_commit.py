"""One batch, one transaction: judge every settlement in order, then write what won.

A batch of audit entries alone, which is what most tokens are, is a single statement and so a single round
trip; with records it is two, one to lock and read, one to write and commit. Records are judged here and not
by the server, as in the embedded store; other hosts are kept away from the same records by locks that the
transaction holds. The driver is used as it is, since SQLAlchemy would send each statement by itself.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, LiteralString, NamedTuple

import psycopg

from tillit_server.storage.ports import Conflict, Head, Linker, StorageUnavailable
from tillit_server.storage.spending import Guard, GuardMoved
from tillit_server.storage.sql_connect import TimedConnection, driver
from tillit_server.storage.sql_statements import (
    DELETE,
    ENTER,
    FORGET,
    FOUND,
    HEAD,
    HELD,
    LOCK,
    REMOVED,
    WRITE,
)
from tillit_server.storage.sql_writer import Writer
from tillit_server.storage.work import EntryRow, Prepared, PutRow

_TRIES = 5
_FORGET_ROWS = 1000

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
        self.entries: list[tuple[EntryRow, bytes]] = []
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
                    self._head = self._settle(driver(connection), batch, known, one_by_one=one_by_one)
            except psycopg.IntegrityError:
                # Another process has written to our chain. Nothing of ours is there; we go on behind it.
                if time.monotonic() > deadline:
                    break
            else:
                if self._head is not None:
                    return
                one_by_one = True
        raise StorageUnavailable("another process writes to our audit chain")

    def _settle(
        self, connection: TimedConnection, batch: Sequence[Prepared], known: Head | None, *, one_by_one: bool
    ) -> Head | None:
        """The new head; None if a guard of many did not hold, and nothing was done."""
        state = _State(known or self._read_head(connection))
        guards = {work.guard for work in batch if work.guard is not None}
        alone = not one_by_one and len(guards) <= 1
        alone = alone and not any(work.puts or work.forget is not None for work in batch)
        if not alone:
            _look_up(connection, {_name(put) for work in batch for put in work.puts}, guards, state)
        now = self._clock()
        for work in batch:
            moved = not alone and work.guard is not None and work.guard not in state.held
            work.outcome = GuardMoved("another server has taken over") if moved else _judge(work, state, now)
            if work.outcome is None:
                self._take(work, state)
        if alone:
            return state.head if _enter(connection, state, next(iter(guards), None)) else None
        with connection.pipeline():
            _write(connection, state)
            forgetting = [
                (work, connection.execute(FORGET, {"period": work.forget, "rows": _FORGET_ROWS}))
                for work in batch
                if work.outcome is None and work.forget is not None
            ]
            connection.execute("COMMIT")
        for work, cursor in forgetting:
            work.forgotten = cursor.rowcount
        return state.head

    def _read_head(self, connection: TimedConnection) -> Head:
        slot = self._linker.slot
        row = connection.execute(HEAD, {"slot": slot}).fetchone()
        return Head(slot, row[0], row[1]) if row else Head(slot, 0, b"")

    def _take(self, work: Prepared, state: _State) -> None:
        state.guarding = state.guarding or work.guard is not None
        work.versions = [_put(put, state) for put in work.puts]
        slot, seq, link = state.head.slot, state.head.seq, state.head.link
        for entry in work.entries:
            seq += 1
            link = self._linker.link(link, seq, entry.digest)
            state.entries.append((entry, link))
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


def _look_up(
    connection: TimedConnection, names: AbstractSet[Name], guards: AbstractSet[Guard], state: _State
) -> None:
    """Begin, and read what the batch is about; until the commit nobody else changes it."""
    found = None
    with connection.pipeline():
        connection.execute("BEGIN")
        if names:
            # Locks first, and in one order for all; what is read after them holds.
            _execute(connection, LOCK, {"names": sorted(_lock(name) for name in names)})
            found = _execute(connection, FOUND, _named(names))
        held = {
            guard: _execute(connection, HELD, {"guard": guard.kind, "guarded": guard.key.encode()})
            for guard in guards
        }
    for kind, key, version, until in found or ():
        if key is None:
            state.removed[kind] = version
        else:
            state.records[kind, key] = _Lying(version, until)
    state.held = {guard for guard, row in held.items() if ((row.fetchone() or (0,))[0]) == guard.version}


def _write(connection: TimedConnection, state: _State) -> None:
    kept = [(name, put) for name, put in state.written.items() if put.value is not None]
    if kept:
        rows = _named(name for name, _ in kept)
        rows["sealed"] = [put.value for _, put in kept]
        rows["versions"] = [state.records[name].version for name, _ in kept]
        rows["untils"] = [put.until for _, put in kept]
        _execute(connection, WRITE, rows)
    dropped = [name for name, put in state.written.items() if put.value is None]
    if dropped:
        _execute(connection, DELETE, _named(dropped))
    if state.gone:
        kinds = sorted(state.gone)  # in one order for all: these rows are everybody's
        _execute(connection, REMOVED, {"kinds": kinds, "versions": [state.gone[kind] for kind in kinds]})
    if state.entries or state.guarding:
        _execute(connection, ENTER, _entered(state, None))


def _enter(connection: TimedConnection, state: _State, guard: Guard | None) -> bool:
    """Write the entries in a transaction of their own; False, and no entry, if the guard has moved."""
    if not state.entries and not state.guarding:
        return True
    row = _execute(connection, ENTER, _entered(state, guard)).fetchone()
    return bool(row and row[0])


def _entered(state: _State, guard: Guard | None) -> dict[str, Any]:
    entries = [entry for entry, _ in state.entries]
    labels = [(label, at) for at, entry in enumerate(entries, 1) for label in entry.labels]
    return {
        "slot": state.head.slot,
        "before": state.head.seq - len(entries),
        "publics": [entry.public for entry in entries],
        "sealed": [entry.sealed for entry in entries],
        "links": [link for _, link in state.entries],
        "periods": [entry.period for entry in entries],
        "labels": [label for label, _ in labels],
        "labelled": [at for _, at in labels],
        "guard": guard.kind if guard else None,
        "guarded": guard.key.encode() if guard else b"",
        "expected": guard.version if guard else 0,
        "guarding": state.guarding,
    }


def _execute(
    connection: TimedConnection, query: LiteralString, values: Mapping[str, Any]
) -> psycopg.Cursor[Any]:
    return connection.execute(query, values, prepare=True)


def _named(names: Iterable[Name]) -> dict[str, Any]:
    pairs = list(names)
    return {"kinds": [kind for kind, _ in pairs], "keys": [key for _, key in pairs]}


def _name(put: PutRow) -> Name:
    # As bytes: text of the database cannot hold NUL, and would be sorted as its locale has it.
    return put.kind, put.key.encode()


def _lock(name: Name) -> int:
    digest = hashlib.sha256(name[0].encode() + b"\0" + name[1]).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
