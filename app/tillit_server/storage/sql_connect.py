"""Reaching a PostgreSQL server: a bounded pool, and an end to every wait.

A server that is gone says so at once; one that is stopped, or behind a cut link, says nothing. So every wait
for an answer has a deadline, and a connection that missed one is given up: its late answer must not be taken
for the answer to something else. Connecting, which libpq does not cut short in time, happens aside.
"""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, TextClause, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from tillit_server.storage.ports import StorageUnavailable
from tillit_server.tracing import traced

_STEP = 0.1
_OPTIONS = {
    "application_name": "tillit",
    "connect_timeout": 2,  # libpq's shortest
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "target_session_attrs": "read-write",  # a standby lags: it does not know yet what was revoked or settled
}
_STUCK_IN_TRANSACTION = 2.0
_DEFECTS = (psycopg.DataError, psycopg.ProgrammingError, psycopg.NotSupportedError, psycopg.IntegrityError)
_REASONS: Mapping[type[Exception], str] = {
    psycopg.errors.DiskFull: "the disk of the database is full",
    psycopg.errors.ReadOnlySqlTransaction: "the database is read-only; is it a standby?",
    psycopg.errors.InsufficientPrivilege: "the database denies us a table",
    psycopg.errors.UndefinedTable: "the database has lost a table",
    psycopg.errors.TooManyConnections: "the database has no connection left for us",
    psycopg.errors.QueryCanceled: "the database did not answer in time",
    psycopg.errors.LockNotAvailable: "another process holds the lock",
}

RV = TypeVar("RV")


class TimedConnection(psycopg.Connection[Any]):
    """A connection whose every wait ends at `deadline` (of `time.monotonic`), and the connection with it."""

    deadline = float("inf")

    def wait(self, gen: PQGen[RV], interval: float = _STEP, timeout: float | None = None) -> RV:
        """Wait for the server, but not for ever. Raises `psycopg.OperationalError` at the deadline."""
        left = max(0.0, self.deadline - time.monotonic())
        wait = left if timeout is None else min(left, timeout)
        try:
            return super().wait(gen, interval, None if wait == float("inf") else wait)
        except psycopg.OperationalError:
            if time.monotonic() >= self.deadline:
                self.pgconn.finish()
            raise

    def is_stale(self) -> bool:
        """Whether something came unasked: the word, or the sign, that the server is gone."""
        if self.closed:
            return True
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return bool(poll.poll(0))


class Database:
    """One database for the threads of one process; made after any fork."""

    def __init__(self, url: str, *, timeout: float, connections: int = 4) -> None:
        """`url` as libpq has it, `postgresql://host/name`. `timeout`: seconds until a caller hears 503.

        `connections` are for reading; a `Writer` has one more. Connects at once. Raises `StorageUnavailable`.
        """
        self.timeout = timeout
        self._pid = os.getpid()
        self._closed = False
        self._within = threading.local()
        self._places = threading.Semaphore(connections)
        self._connector = _Connector(url, timeout, connections)
        self._engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: self._connector.connect(self._within.deadline),
            poolclass=QueuePool,
            pool_size=connections,
            max_overflow=1,  # a writer's, until it is taken out of the pool
            pool_reset_on_return=None,
            isolation_level="AUTOCOMMIT",
            use_native_hstore=False,
            hide_parameters=True,
        )
        event.listen(self._engine, "checkout", _refuse_stale)
        self.rows(TextClause("SELECT 1"))

    @traced("database read")
    def rows(self, query: TextClause, values: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """All rows of one query. Raises `StorageUnavailable`."""
        deadline = time.monotonic() + self.timeout
        if not self._places.acquire(timeout=self.timeout):
            raise StorageUnavailable("all connections to the database are busy")
        try:
            with self.connection(deadline) as connection:
                return connection.execute(query, values).all()
        finally:
            self._places.release()

    @contextmanager
    def connection(self, deadline: float) -> Iterator[Connection]:
        """A connection that waits for nothing beyond `deadline`; its errors become `StorageUnavailable`."""
        with speaking_of_storage(), self._open(deadline) as connection:
            yield connection

    def detached(self, deadline: float) -> Connection:
        """As `connection`, for its caller to keep and to close. Raises `StorageUnavailable`."""
        with speaking_of_storage():
            connection = self._open(deadline)
            connection.detach()
            return connection

    def _open(self, deadline: float) -> Connection:
        if self._closed or self._pid != os.getpid():
            raise StorageUnavailable("the store is closed")
        self._within.deadline = deadline
        connection = self._engine.connect()
        set_deadline(connection, deadline)
        return connection

    def close(self) -> None:
        """Let go of the idle connections; one that is in use is closed when its query is done."""
        self._closed = True
        self._connector.close()
        self._engine.dispose()


@contextmanager
def speaking_of_storage() -> Iterator[None]:
    """Turn the database's errors into `StorageUnavailable`; defects of ours stay what they are."""
    try:
        yield
    except (SQLAlchemyError, psycopg.Error) as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise StorageUnavailable(reason) from error


def set_deadline(connection: Connection, deadline: float) -> None:
    """Nothing that is asked of `connection` from now on is waited for beyond `deadline`."""
    driver(connection).deadline = deadline


def driver(connection: Connection) -> TimedConnection:
    """The connection as the driver has it."""
    return cast("TimedConnection", connection.connection.dbapi_connection)


def _reason(error: SQLAlchemyError | psycopg.Error) -> str | None:
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, psycopg.OperationalError) and "read-only" in str(cause):  # libpq's word, if it is C
        return _REASONS[psycopg.errors.ReadOnlySqlTransaction]
    if not isinstance(cause, psycopg.Error):
        return "no connection to the database"
    for kind, reason in _REASONS.items():
        if isinstance(cause, kind):
            return reason
    return None if isinstance(cause, _DEFECTS) else "the database cannot be reached"


def _refuse_stale(connection: Any, _record: object, _proxy: object) -> None:
    if connection.is_stale():
        raise DisconnectionError


class _Connector:
    """Connects in threads of its own; a connection that comes too late is for the next who asks."""

    def __init__(self, url: str, timeout: float, keep: int) -> None:
        asked = str(conninfo_to_dict(url).get("options") or "")
        milliseconds = max(1, int(timeout * 1000))
        stuck = int((timeout + _STUCK_IN_TRANSACTION) * 1000)
        self._url = url
        self._options = (
            f"{asked} -c statement_timeout={milliseconds} -c lock_timeout={milliseconds}"
            f" -c idle_in_transaction_session_timeout={stuck}"
        ).strip()
        self._late: deque[TimedConnection] = deque()
        self._keep = keep
        self._closed = False

    def connect(self, deadline: float) -> TimedConnection:
        """A connection. Raises `psycopg.OperationalError`, at `deadline` at the latest."""
        while self._late:
            late = self._late.popleft()
            if not late.is_stale():
                return self._ready(late, deadline)
            late.close()
        coming: Future[TimedConnection] = Future()
        threading.Thread(target=self._try, args=(coming,), name="tillit-connect", daemon=True).start()
        try:
            return self._ready(coming.result(max(0.0, deadline - time.monotonic())), deadline)
        except TimeoutError:
            coming.add_done_callback(self._put_by)
            raise psycopg.OperationalError("no connection in time") from None

    def close(self) -> None:
        """Let go of those that came late."""
        self._closed = True
        while self._late:
            self._late.popleft().close()

    def _try(self, coming: "Future[TimedConnection]") -> None:
        arguments: dict[str, Any] = {**_OPTIONS, "options": self._options}
        try:
            coming.set_result(TimedConnection.connect(self._url, autocommit=True, **arguments))
        except Exception as error:  # noqa: BLE001  (whatever it is, who waits must hear of it)
            coming.set_exception(error)

    def _put_by(self, coming: "Future[TimedConnection]") -> None:
        if coming.exception() is not None:
            return
        if self._closed or len(self._late) >= self._keep:
            coming.result().close()
        else:
            self._late.append(coming.result())

    @staticmethod
    def _ready(connection: TimedConnection, deadline: float) -> TimedConnection:
        connection.deadline = deadline
        return connection
