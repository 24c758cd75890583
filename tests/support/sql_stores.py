"""Stores for tests whose lasting part is on a PostgreSQL server."""

from typing import TYPE_CHECKING, Any

from support.stores import Servers, linker
from tillit_server.storage.shared import SharedStore
from tillit_server.storage.sql import SqlStore
from tillit_server.storage.sql_connect import Database
from tillit_server.storage.sql_writer import Writer

if TYPE_CHECKING:
    from functools import partial


class OwnStore(SharedStore):
    """A store with connections of its own, which go with it."""

    def __init__(self, short_lived: Any, lasting: SqlStore, database: Database, writer: Writer) -> None:
        super().__init__(short_lived, lasting)
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
    short_lived = make(place.short_lived, linker=chain, timeout=timeout)
    options = {name: value for name, value in make.keywords.items() if name != "on_fatal"}
    return OwnStore(short_lived, SqlStore(database, writer, linker=chain, **options), database, writer)
