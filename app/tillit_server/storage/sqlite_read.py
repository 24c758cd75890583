"""Reading beside the writer: in WAL mode a reader waits for nobody, so reads use connections of their own."""

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tillit_server.storage.ports import StorageUnavailable
from tillit_server.storage.sqlite_file import RETRY, connect, is_busy, unavailable


class Readers:
    """A stack of read-only connections: as many as there are threads reading at the same moment."""

    def __init__(
        self, path: Path, timeout: float, opened: Callable[[Path], sqlite3.Connection] = connect
    ) -> None:
        self._path = path
        self._opened = opened
        self._timeout = timeout
        self._idle: deque[sqlite3.Connection] = deque()
        self._closed = threading.Event()

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows of one query. Raises `StorageUnavailable`."""
        deadline = time.monotonic() + self._timeout
        while True:
            connection: sqlite3.Connection | None = None
            try:
                connection = self._take()
                rows = connection.execute(query, values).fetchall()
            except sqlite3.Error as error:
                if connection is not None:
                    connection.close()
                # Only a stranger with an exclusive lock, or recovery after a crash, stops a reader.
                if is_busy(error) and time.monotonic() < deadline and not self._closed.wait(RETRY):
                    continue
                raise (unavailable(error) or error) from error
            self._idle.append(connection)
            if self._closed.is_set():
                self._drain()
            return rows

    def _take(self) -> sqlite3.Connection:
        if self._closed.is_set():
            raise StorageUnavailable("the store is closed")
        try:
            return self._idle.pop()
        except IndexError:
            connection = self._opened(self._path)
        try:
            connection.execute("PRAGMA query_only=ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close the idle connections; one that is in use is closed when its query is done."""
        self._closed.set()
        self._drain()

    def _drain(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle.pop().close()
