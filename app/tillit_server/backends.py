"""Which store an installation has: the only place that names a backend.

A server's library is loaded when the settings name the server, and not before.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from tillit_server.audit.slots import SlotLease
from tillit_server.config import Settings
from tillit_server.storage.ports import Linker, StorageRefused, StorageUnavailable, Store
from tillit_server.storage.ring import OpenRecords, RingStore
from tillit_server.storage.sealing import Sealer
from tillit_server.storage.shared import EmbeddedSpending, SharedStore
from tillit_server.storage.spending import Spending
from tillit_server.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from tillit_server.storage.sql import SqlStore
    from tillit_server.storage.sql_connect import Database

DATABASE = "tillit.sqlite"
MOVED = "moved"
"""Lies in a data directory whose records and audit have been moved to a server."""

Clock = Callable[[], float]
OnCommit = Callable[[float], None]


class OpenStore(Protocol):
    """Opens an installation's store with its secrets. Raises `StorageRefused`, `StorageUnavailable`."""

    def __call__(self, *, sealer: Sealer, linker: Linker, key_hash_secret: bytes, fresh: bool) -> Store:
        """The store, its caller's to close. ``fresh``: of this installation nothing was ever spent."""


@dataclass(frozen=True, slots=True)
class Backend:
    """How to open the store, or its records alone, and the audit slot that is this process's."""

    slot: int
    open_store: OpenStore
    open_records: OpenRecords


def open_backend(
    settings: Settings,
    clock: Clock,
    closing: ExitStack,
    *,
    on_commit: OnCommit = lambda _seconds: None,
) -> Backend:
    """What the settings name; what it holds is let go by ``closing``.

    ``on_commit`` hears the seconds of each transaction of what lasts.
    Raises ``SettingsError``, ``StorageRefused``, ``StorageUnavailable``.
    """
    place = partial(SqliteStore, settings.data / DATABASE, clock=clock, timeout=settings.storage_timeout)
    if settings.storage_url:
        database = closing.enter_context(opened_database(settings, settings.storage_url))
        return _on_postgresql(
            settings,
            database,
            clock,
            open_spending=_spending(settings, clock, place),
            on_commit=on_commit,
            closing=closing,
        )
    if (mark := settings.data / MOVED).exists():
        raise StorageRefused(
            "the records of this installation were moved to a database server",
            f"Set storage_url; or remove {mark} to go back to what was here when they were moved",
        )
    slot = closing.enter_context(SlotLease(settings.data / "slots")).slot
    embedded = partial(place, on_commit=on_commit)

    def open_store(*, sealer: Sealer, linker: Linker, key_hash_secret: bytes, fresh: bool) -> Store:
        del fresh  # what was spent and what lasts are in one file
        return embedded(sealer=sealer, linker=linker, key_hash_secret=key_hash_secret)

    return Backend(slot, open_store, embedded)


@contextmanager
def opened_ring(settings: Settings, clock: Clock) -> Iterator[RingStore]:
    """The rings of an installation, for who needs nothing else. Raises as ``open_backend``."""
    with ExitStack() as closing:
        yield closing.enter_context(RingStore(open_backend(settings, clock, closing).open_records))


@contextmanager
def opened_database(settings: Settings, url: str) -> "Iterator[Database]":
    """The database server at ``url``, whatever schema it has. Raises ``StorageUnavailable``."""
    from tillit_server.storage.sql_connect import Database

    database = Database(url, timeout=settings.storage_timeout, connections=settings.storage_connections)
    try:
        yield database
    finally:
        database.close()


class _OpenSpending(Protocol):
    def __call__(
        self, *, sealer: Sealer, linker: Linker, key_hash_secret: bytes, lasting: "SqlStore", fresh: bool
    ) -> Spending: ...


def _spending(settings: Settings, clock: Clock, place: "partial[SqliteStore]") -> _OpenSpending:
    """How to open what is short-lived: a server's, or that in this host's own file."""
    url = settings.storage_shared_url
    if url and url != "embedded":
        from tillit_server.storage.redis import RedisSpending

        def on_redis(
            *, sealer: Sealer, linker: Linker, key_hash_secret: bytes, lasting: "SqlStore", fresh: bool
        ) -> Spending:
            del linker  # there is no journal
            spending = RedisSpending(
                url,
                clock=clock,
                issuer=settings.issuer,
                sealer=sealer,
                key_hash_secret=key_hash_secret,
                records=lasting.records,
                fresh=fresh,
                checked_clock=settings.clock is None,
                settled=lasting.settled if settings.clock is None else None,
                timeout=settings.storage_timeout,
            )
            if fresh:
                # Later nobody will know that there is nothing yet that could have been lost.
                with suppress(StorageUnavailable):
                    spending.ping()
            return spending

        return on_redis

    def embedded(
        *, sealer: Sealer, linker: Linker, key_hash_secret: bytes, lasting: "SqlStore", fresh: bool
    ) -> Spending:
        del lasting, fresh  # a file is lost with its records or not at all
        return EmbeddedSpending(place(sealer=sealer, linker=linker, key_hash_secret=key_hash_secret))

    return embedded


def _on_postgresql(
    settings: Settings,
    database: "Database",
    clock: Clock,
    *,
    open_spending: _OpenSpending,
    on_commit: OnCommit,
    closing: ExitStack,
) -> Backend:
    from tillit_server.storage.sql import SqlStore
    from tillit_server.storage.sql_schema import require_durable, require_schema
    from tillit_server.storage.sql_writer import Writer

    require_schema(database)
    if not settings.dev:
        require_durable(database)
    writer = Writer(database)
    closing.callback(writer.close)
    open_lasting = partial(SqlStore, database, writer, clock=clock, on_commit=on_commit)

    def open_store(*, sealer: Sealer, linker: Linker, key_hash_secret: bytes, fresh: bool) -> Store:
        lasting = open_lasting(sealer=sealer, linker=linker, key_hash_secret=key_hash_secret)
        try:
            spending = open_spending(
                sealer=sealer,
                linker=linker,
                key_hash_secret=key_hash_secret,
                lasting=lasting,
                fresh=fresh,
            )
        except BaseException:
            lasting.close()
            raise
        return SharedStore(spending, lasting)

    return Backend(writer.slot, open_store, open_lasting)
