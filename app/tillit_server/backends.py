"""Which store an installation has: the only place that names a backend.

A server's library is loaded when the settings name the server, and not before.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from tillit_server.audit.restores import KIND as RESTORED
from tillit_server.audit.slots import SlotLease
from tillit_server.config import Settings
from tillit_server.storage.copying import Walk, embedded_rows
from tillit_server.storage.fenced import fenced
from tillit_server.storage.ports import Linker, Records, StorageRefused, StorageUnavailable, Store
from tillit_server.storage.ring import OpenRecords, RingStore
from tillit_server.storage.sealing import Sealer
from tillit_server.storage.shared import EmbeddedSpending, SharedStore
from tillit_server.storage.spending import Spending
from tillit_server.storage.sqlite import SqliteStore
from tillit_server.storage.sqlite_file import DATABASE
from tillit_server.storage.switching import BACK, MOVED, finish, give_up, noted, require_nothing_half_done

if TYPE_CHECKING:
    from tillit_server.storage.sql import SqlStore
    from tillit_server.storage.sql_connect import Database

_log = logging.getLogger(__name__)
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
    # Whoever restores looks at the slots after it has begun; so whoever has a slot looks for it then.
    require_nothing_half_done(settings.data)
    if finish(settings.data):
        _log.warning("a restore that was interrupted has been finished: the restored store is in place")
    embedded = partial(place, on_commit=on_commit)

    def open_store(*, sealer: Sealer, linker: Linker, key_hash_secret: bytes, fresh: bool) -> Store:
        del fresh  # what was spent and what lasts are in one file
        store = embedded(sealer=sealer, linker=linker, key_hash_secret=key_hash_secret)
        return _behind_its_fence(store, store.records, clock)

    return Backend(slot, open_store, embedded)


def _behind_its_fence(store: Store, records: Records, clock: Clock) -> Store:
    try:
        return fenced(store, records, clock)
    except BaseException:
        store.close()
        raise


@contextmanager
def opened_ring(settings: Settings, clock: Clock) -> Iterator[RingStore]:
    """The rings of an installation, for who needs nothing else. Raises as ``open_backend``."""
    with ExitStack() as closing:
        yield closing.enter_context(RingStore(open_backend(settings, clock, closing).open_records))


@contextmanager
def opened_rows(settings: Settings) -> Iterator[Walk]:
    """All that lasts, row by row and at one moment, for a copy. Raises ``StorageUnavailable``."""
    if settings.storage_url:
        from tillit_server.storage.sql_copying import server_rows

        with server_rows(settings.storage_url) as walk:
            yield walk
    else:
        with embedded_rows(settings.data / DATABASE) as walk:
            yield walk


def fill_server(walk: Walk, url: str, *, aside: str) -> None:
    """Write rows to a server in one transaction; raises as ``sql_copying.write_server``."""
    from tillit_server.storage.sql_copying import write_server

    write_server(walk, url, aside=aside)


def require_server(settings: Settings, url: str) -> None:
    """Raise ``StorageRefused`` unless this release may use the server, ``StorageUnavailable``."""
    from tillit_server.storage.sql_schema import require_schema

    with opened_database(settings, url) as database:
        require_schema(database)


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
        del fresh  # the fence tells
        store = place(sealer=sealer, linker=linker, key_hash_secret=key_hash_secret)
        return EmbeddedSpending(_behind_its_fence(store, lasting.records, clock))

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
    from tillit_server.storage.sql_shapes import has_record
    from tillit_server.storage.sql_writer import Writer

    require_schema(database)
    if not settings.dev:
        require_durable(database)
    if (restored := noted(settings.data)) is not None:
        if not (restored and has_record(database, RESTORED, restored)):
            require_nothing_half_done(settings.data)
        give_up(settings.data)
    writer = Writer(database, landmarks=(RESTORED, MOVED))
    closing.callback(writer.close)
    # Whoever moves it marks it before they look for writers; so whoever writes looks for the mark then.
    if has_record(database, MOVED, BACK):
        raise StorageRefused(
            "the records of this installation were moved back from this server to a host's data directory",
            "Take storage_url out of the settings; if the move was killed, `storage copy --back` again, or"
            f" remove the record of kind '{MOVED}' to stay here",
        )
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
