"""U1: in a copy of the audit that running workers wrote, any change is found, and the first bad entry is named."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.backstage import Backstage, eventually
from support.load import load
from tillit_server.audit.chain import chain_secret, verify
from tillit_server.storage.sqlite_read import Readers
from tillit_server.storage.sqlite_shapes import SqliteJournal

Change = Callable[[sqlite3.Connection, int], object]


@pytest.fixture(scope="module")
def written(backstage: Backstage, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """A copy of the database after tokens by both workers, and the numbers of one worker's entries."""
    ehr = backstage.client()

    def slots() -> set[int]:
        return {entry.slot for entry in backstage.entries("issuer.token.issued", client_id=ehr.client_id)}

    with load(ehr, clients=8):
        assert eventually(lambda: len(slots()) == backstage.service.workers)
    place = tmp_path_factory.mktemp("audit") / "tillit.sqlite"
    with (
        closing(sqlite3.connect(backstage.service.data / "tillit.sqlite")) as source,
        closing(sqlite3.connect(place)) as copy,
    ):
        source.backup(copy)
        rows = copy.execute("SELECT id FROM journal WHERE id >> 40 = ? ORDER BY id", (min(slots()),))
        return place, [row[0] for row in rows]


@pytest.fixture
def copy(
    written: tuple[Path, list[int]], tmp_path: Path
) -> Iterator[tuple[sqlite3.Connection, list[int], Path]]:
    """A copy of the copy, to be changed."""
    place = tmp_path / "tillit.sqlite"
    shutil.copy2(written[0], place)
    with closing(sqlite3.connect(place, isolation_level=None)) as connection:
        yield connection, written[1], place


def first_flaw(place: Path, backstage: Backstage) -> tuple[int, int] | None:
    """Slot and number of the first bad entry, or None."""
    readers = Readers(place, 1.0)
    try:
        journal = SqliteJournal(None, None, readers)
        report = verify(journal, chain_secret(backstage.installation.audit_secret))
    finally:
        readers.close()
    return None if report.flaw is None else (report.flaw.slot, report.flaw.seq)


def change_a_byte(column: str) -> Change:
    def change(connection: sqlite3.Connection, entry: int) -> None:
        (found,) = connection.execute(f"SELECT {column} FROM journal WHERE id = ?", (entry,)).fetchone()
        changed = bytearray(found)
        changed[len(changed) // 2] ^= 1
        connection.execute(f"UPDATE journal SET {column} = ? WHERE id = ?", (bytes(changed), entry))

    return change


def swap_with_the_next(connection: sqlite3.Connection, entry: int) -> None:
    for old, new in ((entry, 0), (entry + 1, entry), (0, entry + 1)):
        connection.execute("UPDATE journal SET id = ? WHERE id = ?", (new, old))


def write_again(connection: sqlite3.Connection, entry: int) -> None:
    connection.execute("UPDATE journal SET id = id + 1000000 WHERE id > ?", (entry - 1,))
    query = "INSERT INTO journal SELECT ?, public, sealed, link FROM journal WHERE id = ?"
    connection.execute(query, (entry, entry - 1))
    connection.execute("UPDATE journal SET id = id - 999999 WHERE id > ?", (entry + 500_000,))


CHANGES: dict[str, Change] = {
    "a byte in clear": change_a_byte("public"),
    "a byte of the link": change_a_byte("link"),
    "taken out": lambda c, entry: c.execute("DELETE FROM journal WHERE id = ?", (entry,)),
    "swapped with the next": swap_with_the_next,
    "the one before written twice": write_again,
}


@pytest.mark.parametrize("name", CHANGES)
def test_u1_the_first_bad_entry_is_named(
    name: str, copy: tuple[sqlite3.Connection, list[int], Path], backstage: Backstage
):
    """Changed, taken out, moved or repeated: verification stops at that very entry."""
    connection, ids, place = copy
    assert first_flaw(place, backstage) is None
    entry = ids[len(ids) // 2]
    CHANGES[name](connection, entry)
    assert first_flaw(place, backstage) == (entry >> 40, entry & ((1 << 40) - 1))
