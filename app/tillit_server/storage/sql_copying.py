"""The server's half of copying: its rows at one moment, and rows written to it in one transaction."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from tillit_server.storage.copying import TABLES, Row, Table, Walk
from tillit_server.storage.ports import StorageRefused, StorageUnavailable
from tillit_server.storage.sql_writer import SLOT_CLASS
from tillit_server.storage.switching import BACK, MOVED

Server = psycopg.Connection[Any]

_CONNECT_SECONDS, _QUIET, _INTERVAL, _TIMES = 5, 10, 3, 3
_WRITERS = (
    "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = CAST(%s AS oid)"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@contextmanager
def server_rows(url: str) -> Iterator[Walk]:
    """The rows of a PostgreSQL server at one moment; its writers go on. Raises ``StorageUnavailable``."""
    with _connected(url) as source:
        source.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")

        def walk(table: Table) -> Iterator[Row]:
            asking = f"COPY {table.name} ({table.server_columns}) TO STDOUT (FORMAT binary)"
            with source.cursor() as cursor, cursor.copy(asking.encode()) as copy:
                copy.set_types(table.types)
                yield from map(table.from_server, copy.rows())

        yield walk


def write_server(walk: Walk, url: str, *, aside: str = "") -> Mapping[str, int]:
    """Write the rows to a server in one transaction, all of them or none; gives how many each table has.

    ``aside``: what is there is kept in tables whose names begin so. Raises ``StorageRefused`` when the
    database holds anything and nobody said where to keep it, when somebody writes to it, and when it holds
    other rows in the end; ``StorageUnavailable``.
    """
    with _connected(url) as target:
        target.execute("SET LOCAL lock_timeout = '5s'")
        target.execute(f"LOCK TABLE {', '.join(table.name for table in TABLES)}".encode())
        _require_no_writer(target)
        for table in TABLES:
            _make_room(target, table, aside)
        return {table.name: _send(target, table, walk(table)) for table in TABLES}


@contextmanager
def moving_away(url: str) -> Iterator[None]:
    """From now on no process starts on the database, unless something is raised inside.

    Raises ``StorageRefused`` while any process of any host has it open for writing, ``StorageUnavailable``.
    """
    name = (MOVED, BACK.encode())
    with _connected(url) as server:
        marking = server.execute("INSERT INTO record VALUES (%s, %s, '', 1) ON CONFLICT DO NOTHING", name)
    try:
        with _connected(url) as server:
            _require_no_writer(server)
        yield
    except BaseException:
        if marking.rowcount:  # or it was moved before, or is being moved by somebody who was killed
            with suppress(StorageUnavailable), _connected(url) as server:
                server.execute("DELETE FROM record WHERE kind = %s AND key = %s", name)
        raise


def _require_no_writer(server: Server) -> None:
    if server.execute(_WRITERS, (SLOT_CLASS,)).fetchone():
        raise StorageRefused("somebody writes to the database", "Stop the service on every host")


def _make_room(target: Server, table: Table, aside: str) -> None:
    if not _count(target, table):
        return
    if not aside:
        raise StorageRefused(
            f"the database has rows in {table.name} already", "Only an empty database is filled"
        )
    target.execute(f"CREATE TABLE {aside}_{table.name} AS TABLE {table.name}".encode())
    target.execute(f"TRUNCATE {table.name}".encode())


def _send(target: Server, table: Table, source: Iterable[Row]) -> int:
    rows = 0
    asking = f"COPY {table.name} ({table.server_columns}) FROM STDIN"
    with target.cursor() as cursor, cursor.copy(asking.encode()) as copy:
        for row in source:
            copy.write_row(table.to_server(row))
            rows += 1
    if _count(target, table) != rows:
        raise StorageRefused(f"not all rows of {table.name} arrived", "Nothing was copied; try again")
    return rows


def _count(target: Server, table: Table) -> int:
    row = target.execute(f"SELECT count(*) FROM {table.name}".encode()).fetchone()  # noqa: S608 (our names)
    return int(row[0]) if row else 0


@contextmanager
def _connected(url: str) -> Iterator[Server]:
    """One transaction, committed when nothing was raised."""
    try:
        with psycopg.connect(
            url,
            connect_timeout=_CONNECT_SECONDS,
            keepalives_idle=_QUIET,
            keepalives_interval=_INTERVAL,
            keepalives_count=_TIMES,
        ) as connection:
            yield connection
    except psycopg.Error as error:
        first = str(error).strip().splitlines()[0]
        raise StorageUnavailable(f"the database cannot be copied: {first}") from error
