"""Stores for tests whose lasting part is on a PostgreSQL server."""

from typing import TYPE_CHECKING, Any

from support.redis_stores import ISSUER
from support.stores import Servers, linker
from tillit_server.storage.redis import RedisSpending
from tillit_server.storage.shared import EmbeddedSpending, SharedStore
from tillit_server.storage.sql import SqlStore
from tillit_server.storage.sql_connect import Database
from tillit_server.storage.sql_writer import Writer

if TYPE_CHECKING:
    from functools import partial


class OwnStore(SharedStore):
    """A store with connections of its own, which go with it."""

    def __init__(self, spending: Any, lasting: SqlStore, database: Database, writer: Writer) -> None:
        super().__init__(spending, lasting)
        self.lasting, self.database, self.writer = lasting, database, writer

    def close(self) -> None:
        """Let go of everything."""
        super().close()
        self.writer.close()
        self.database.close()


def open_shared(place: Servers, make: "partial[Any]", slot: int | None, timeout: float) -> OwnStore:
    """A store on the servers of `place`; `make` says how the embedded one is made."""
    database = Database(place.url, timeout=timeout)
    writer = Writer(database, slot=slot)
    chain = linker(writer.slot)
    options = {name: value for name, value in make.keywords.items() if name != "on_fatal"}
    lasting = SqlStore(database, writer, linker=chain, **options)
    if isinstance(place.short_lived, str):
        spending: Any = RedisSpending(
            place.short_lived,
            issuer=ISSUER,
            records=lasting.records,
            fresh=True,
            checked_clock=False,
            settled=lasting.settled,
            **options,
        )
    else:
        spending = EmbeddedSpending(make(place.short_lived, linker=chain, timeout=timeout))
    return OwnStore(spending, lasting, database, writer)
