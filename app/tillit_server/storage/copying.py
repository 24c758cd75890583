"""Copying what lasts from the embedded file to a PostgreSQL server as it lies: sealed, linked, numbered."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from tillit_server.storage.ports import StorageRefused, StorageUnavailable
from tillit_server.storage.sqlite_commit import SLOT_SHIFT
from tillit_server.storage.sqlite_file import connect, open_for_writing, unavailable

_CONNECT_SECONDS = 5
_SEQ = (1 << SLOT_SHIFT) - 1

Row = tuple[Any, ...]


def _record(row: Row) -> Row:
    kind, key, *rest = row
    return (kind, key.encode(), *rest)


def _numbered(row: Row) -> Row:
    *before, number = row
    return (*before, number >> SLOT_SHIFT, number & _SEQ)


def _entry(row: Row) -> Row:
    number, *rest = row
    return (number >> SLOT_SHIFT, number & _SEQ, *rest)


class _Table(NamedTuple):
    name: str
    asking: str
    copying: str
    counting: str
    turned: Callable[[Row], Row]


_TABLES = (
    _Table(
        "record",
        "SELECT kind, key, value, version, until FROM record",
        "COPY record (kind, key, value, version, until) FROM STDIN",
        "SELECT count(*) FROM record",
        _record,
    ),
    _Table(
        "removed",
        "SELECT kind, version FROM removed",
        "COPY removed (kind, version) FROM STDIN",
        "SELECT count(*) FROM removed",
        tuple,
    ),
    _Table(
        "journal",
        "SELECT id, public, sealed, link FROM journal",
        "COPY journal (slot, seq, public, sealed, link) FROM STDIN",
        "SELECT count(*) FROM journal",
        _entry,
    ),
    _Table(
        "label",
        "SELECT period, label, id FROM label",
        "COPY label (period, label, slot, seq) FROM STDIN",
        "SELECT count(*) FROM label",
        _numbered,
    ),
)


def copy_to_server(path: Path, url: str) -> Mapping[str, int]:
    """Copy records and journal, all of them or none, and give how many rows each table has now.

    Nobody writes to the file meanwhile. What is short-lived stays where it is. Raises `StorageRefused` when
    the database holds anything already, or other rows than the file when all is done; `StorageUnavailable`.
    """
    open_for_writing(path).close()  # checked, and of the present schema
    try:
        with (
            closing(connect(path)) as source,
            psycopg.connect(url, connect_timeout=_CONNECT_SECONDS) as target,
        ):
            source.execute("BEGIN IMMEDIATE")
            return {table.name: _copy(source, target, table) for table in _TABLES}
    except sqlite3.Error as error:
        raise unavailable(error) or error from error
    except psycopg.Error as error:
        first = str(error).strip().splitlines()[0]
        raise StorageUnavailable(f"the database cannot be copied to: {first}") from error


def _copy(source: sqlite3.Connection, target: "psycopg.Connection[Any]", table: _Table) -> int:
    if _count(target, table.counting):
        raise StorageRefused(
            f"the database has rows in {table.name} already", "Copy to an empty database only"
        )
    rows = 0
    with target.cursor() as cursor, cursor.copy(table.copying) as copy:
        for row in source.execute(table.asking):
            copy.write_row(table.turned(row))
            rows += 1
    if _count(target, table.counting) != rows:
        raise StorageRefused(f"not all rows of {table.name} arrived", "Nothing was copied; try again")
    return rows


def _count(target: "psycopg.Connection[Any]", counting: str) -> int:
    row = target.execute(counting).fetchone()
    return int(row[0]) if row else 0
