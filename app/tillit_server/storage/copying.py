"""What lasts, carried from one store to another as it lies: sealed, linked, numbered.

A source is walked at one moment, table by table and row by row, so it may be in use and of any size. What is
short-lived (single-use ids, tickets) is never carried.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from tillit_server.storage.ports import StorageUnavailable
from tillit_server.storage.sqlite_commit import SLOT_SHIFT
from tillit_server.storage.sqlite_file import connect, new_file, unavailable

Row: TypeAlias = tuple[Any, ...]
Walk: TypeAlias = Callable[["Table"], Iterator[Row]]
"""Gives the rows of a table, as the embedded store has them; all tables at the same moment."""

_WAITING = 5.0
_SEQ = (1 << SLOT_SHIFT) - 1


class Table(NamedTuple):
    """A table in both stores; an embedded ``id`` is a server's ``slot`` and ``seq``.

    ``types``: of the server's columns.
    """

    name: str
    columns: str
    server_columns: str
    types: tuple[str, ...]
    to_server: Callable[[Row], Row]
    from_server: Callable[[Row], Row]


def _as_bytes(row: Row) -> Row:
    kind, key, *rest = row
    return (kind, key.encode(), *rest)


def _as_text(row: Row) -> Row:
    kind, key, *rest = row
    return (kind, key.decode(), *rest)


def _split_first(row: Row) -> Row:
    number, *rest = row
    return (number >> SLOT_SHIFT, number & _SEQ, *rest)


def _joined_first(row: Row) -> Row:
    slot, seq, *rest = row
    return ((slot << SLOT_SHIFT) + seq, *rest)


def _split_last(row: Row) -> Row:
    *before, number = row
    return (*before, number >> SLOT_SHIFT, number & _SEQ)


def _joined_last(row: Row) -> Row:
    *before, slot, seq = row
    return (*before, (slot << SLOT_SHIFT) + seq)


RECORDS = Table(
    "record",
    "kind, key, value, version, until",
    "kind, key, value, version, until",
    ("text", "bytea", "bytea", "int8", "float8"),
    _as_bytes,
    _as_text,
)
_REMOVED = Table("removed", "kind, version", "kind, version", ("text", "int8"), tuple, tuple)
_JOURNAL = Table(
    "journal",
    "id, public, sealed, link",
    "slot, seq, public, sealed, link",
    ("int4", "int8", "bytea", "bytea", "bytea"),
    _split_first,
    _joined_first,
)
_LABELS = Table(
    "label",
    "period, label, id",
    "period, label, slot, seq",
    ("text", "bytea", "int4", "int8"),
    _split_last,
    _joined_last,
)
TABLES = (RECORDS, _REMOVED, _JOURNAL, _LABELS)


@contextmanager
def embedded_rows(path: Path, *, alone: bool = False) -> Iterator[Walk]:
    """The rows of an embedded store at one moment; ``alone``: nobody writes to it meanwhile.

    Raises ``StorageUnavailable``.
    """
    with _speaking_of_file(), closing(connect(path, timeout=_WAITING)) as source:
        source.execute("BEGIN IMMEDIATE" if alone else "BEGIN")
        yield lambda table: source.execute(f"SELECT {table.columns} FROM {table.name}")  # noqa: S608 (our names)


def write_file(walk: Walk, path: Path, *, without: Collection[str] = ()) -> Mapping[str, int]:
    """Make an embedded store of the rows, and give how many each table has; nothing is synced to disk yet.

    ``without``: kinds of records to leave out. Raises ``StorageUnavailable``: the disk is full, say; then a
    part of it is there, for its maker to remove. Raises ``StorageRefused`` when the file is there already.
    """
    with _speaking_of_file(), closing(new_file(path)) as target:
        target.execute("BEGIN")
        rows = {table.name: _insert(target, table, _chosen(walk, table, without)) for table in TABLES}
        target.execute("COMMIT")
        return rows


def _chosen(walk: Walk, table: Table, without: Collection[str]) -> Iterable[Row]:
    rows = walk(table)
    return rows if table is not RECORDS or not without else (row for row in rows if row[0] not in without)


def _insert(target: sqlite3.Connection, table: Table, rows: Iterable[Row]) -> int:
    marks = ",".join("?" * (table.columns.count(",") + 1))
    inserting = f"INSERT INTO {table.name} ({table.columns}) VALUES ({marks})"  # noqa: S608 (our names)
    return max(0, target.executemany(inserting, rows).rowcount)


@contextmanager
def _speaking_of_file() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise unavailable(error) or StorageUnavailable(f"the file cannot be used: {error}") from error
