"""Which store an installation has: the only place that names a backend.

A server's library is loaded when the settings name the server, and not before.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from tillit_server.audit.slots import SlotLease
from tillit_server.config import Settings, SettingsError
from tillit_server.storage.ports import Linker, StorageRefused, Store
from tillit_server.storage.ring import OpenRecords, RingStore
from tillit_server.storage.sealing import Sealer
from tillit_server.storage.shared import SharedStore, ShortLived
from tillit_server.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from tillit_server.storage.sql_connect import Database

DATABASE = "tillit.sqlite"
MOVED = "moved"
"""Lies in a data directory whose records and audit have been moved to a server."""

Clock = Callable[[], float]
OnCommit = Callable[[float], None]


class OpenStore(Protocol):
    """Opens an installation's store with its secrets. Raises `StorageRefused`, `StorageUnavailable`."""

    def __call__(self, *, sealer: Sealer, linker: Linker, key_hash_secret: bytes) -> Store:
        """The store, its caller's to close."""


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
            open_short_lived=_short_lived(settings, place),
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
    return Backend(slot, embedded, embedded)


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


class _OpenShortLived(Protocol):
    def __call__(self, *, sealer: Sealer, linker: Linker, key_hash_secret: bytes) -> ShortLived: ...


def _short_lived(settings: Settings, embedded: OpenStore) -> _OpenShortLived:
    if settings.storage_shared_url in {None, "embedded"}:
        return embedded
    raise SettingsError(["storage_shared_url: this release knows no such server"])


def _on_postgresql(
    settings: Settings,
    database: "Database",
    clock: Clock,
    *,
    open_short_lived: _OpenShortLived,
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

    def open_store(*, sealer: Sealer, linker: Linker, key_hash_secret: bytes) -> Store:
        short_lived = open_short_lived(sealer=sealer, linker=linker, key_hash_secret=key_hash_secret)
        lasting = open_lasting(sealer=sealer, linker=linker, key_hash_secret=key_hash_secret)
        return SharedStore(short_lived, lasting)

    return Backend(writer.slot, open_store, open_lasting)
