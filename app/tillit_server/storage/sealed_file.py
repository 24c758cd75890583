"""An embedded store in a file that nobody writes to any more: records and audit, to be read."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NoReturn

from tillit_server.storage.ports import Journal, Json, Records
from tillit_server.storage.ring import NoSealer
from tillit_server.storage.sealing import Sealer
from tillit_server.storage.sqlite_file import connect_evidence, connect_sealed_file
from tillit_server.storage.sqlite_read import Readers
from tillit_server.storage.sqlite_shapes import SqliteJournal, SqliteRecords
from tillit_server.storage.work import Preparer


class SealedFile:
    """Reads such a file, or what lies in a file before something else; makes nothing beside it.

    Without a ``sealer`` records of kind ``ring`` are read, and the journal. Records are found whatever their
    ``until``. Its methods raise ``StorageUnavailable``, and ``Unsealable``.
    """

    def __init__(self, path: Path, sealer: Sealer | None = None, *, left_as_it_lay: bool = False) -> None:
        """``left_as_it_lay``: there may be a log beside it, which is read too."""
        self._path = path
        opened = connect_evidence if left_as_it_lay else connect_sealed_file
        self._preparer = Preparer(sealer or NoSealer(), _refuse, b"", {"ring"})
        self._readers = Readers(path, 0.0, opened)
        self.records: Records = SqliteRecords(_refuse, self._preparer, self._readers, lambda: float("-inf"))
        self.journal: Journal = SqliteJournal(_refuse, self._preparer, self._readers)

    def opened_records(self) -> Iterator[tuple[str, str, Json]]:
        """Kind, key and value of every record, one after the other."""
        with closing(connect_sealed_file(self._path)) as connection:
            for kind, key, value in connection.execute("SELECT kind, key, value FROM record"):
                yield kind, key, self._preparer.open_record(kind, key, value)

    def close(self) -> None:
        """Let go of the file."""
        self._readers.close()


def _refuse(_: object) -> NoReturn:
    raise LookupError("this file is only read")
