"""Threat S8: kill -9, a damaged file, a file from the future."""

import random
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from support.stores import (
    AUDIT_SECRET,
    START,
    Place,
    Servers,
    note,
    open_store,
    start_writer,
)
from tillit_server.audit.chain import chain_secret, verify
from tillit_server.storage.ports import (
    Claim,
    Put,
    Settlement,
    StorageCorrupt,
    StorageRefused,
    StorageTooNew,
)
from tillit_server.storage.sqlite_file import SCHEMA_VERSION

WRITERS = 2
THREADS = 4


def kill_writers(place: Place, kills: int) -> set[str]:
    """Let writers settle, kill each after a random number of acknowledgements; everything acknowledged."""
    open_store(place).close()
    chance = random.Random(kills)
    ledger: set[str] = set()
    for first in range(0, kills, WRITERS):
        writers = [start_writer(place, who, THREADS) for who in range(first, min(first + WRITERS, kills))]
        for process, ours in writers:
            for _ in range(chance.randrange(1, 60)):
                ledger.add(ours.recv())
            process.kill()
            process.join()
            try:
                # What was acknowledged before the end, and had not been read yet.
                while True:
                    ledger.add(ours.recv())
            except (EOFError, OSError):
                ours.close()
    return ledger


def check_ledger(place: Place, ledger: set[str]) -> None:
    """Nothing acknowledged is lost, nothing is half there, and every chain is whole."""
    store = open_store(place)
    report = verify(store.journal, chain_secret(AUDIT_SECRET))
    assert report.flaw is None
    written = [
        entry.public for head in report.heads for entry in store.journal.read(head.slot, limit=1_000_000)
    ]
    names = {text[9:-2].decode() for text in written if not text.startswith(b'{"note":"second')}
    assert ledger <= names
    for name in names:
        assert store.seen("assertion", name)
        assert store.tickets.peek("code", name).value == {"name": name}
        assert note("second of " + name).public in written
    assert len(written) == 2 * len(names)
    store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where the writers write."""
    path = tmp_path / "store.sqlite"
    if request.param == "sqlite":
        return path
    return Servers(request.getfixturevalue("postgres").emptied_database(), path)


def test_s8_ten_kills_lose_nothing(place: Place) -> None:
    """The ledger of ten killed writers is in the store, entry by entry, and no settlement is there in part."""
    ledger = kill_writers(place, 10)

    assert len(ledger) >= 10
    check_ledger(place, ledger)


@pytest.mark.long
def test_s8_five_hundred_kills_lose_nothing(place: Place) -> None:
    """The same in its full count."""
    from support.evidence import record, setting

    kills, begin = setting("KILLS", 500), time.monotonic()
    ledger = kill_writers(place, kills)
    check_ledger(place, ledger)
    store = "PostgreSQL" if isinstance(place, Servers) else "SQLite"
    counts = {"store": store, "kills": kills, "acknowledged": len(ledger), "lost": 0, "in part": 0}
    record("G4 kill -9 of writers (storage)", seed=kills, seconds=time.monotonic() - begin, counts=counts)


def filled(path: Path) -> Path:
    """A store with a few hundred entries, as a process that was killed leaves it: much of it in the log alone."""
    store = open_store(path)
    store.settle(Settlement(entries=[note(f"{n} " + "x" * 500) for n in range(300)]))
    store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.settle(Settlement(entries=[note(f"{n} " + "y" * 500) for n in range(50)]))
    left = path.with_name("left-" + path.name)
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", f"{left}{end}")
    store.close()
    return left


@pytest.mark.parametrize("keep", [0, 31, 40, 4_000, 0.5, 0.95])
def test_s8_a_truncated_log_leaves_a_whole_beginning(tmp_path: Path, keep: float) -> None:
    """After losing the end of the log the store opens at an earlier commit, whole, and can be written."""
    path = filled(tmp_path / "store.sqlite")
    log = Path(f"{path}-wal")
    size = log.stat().st_size
    with log.open("r+b") as file:
        file.truncate(int(keep * size) if isinstance(keep, float) else keep)
    store = open_store(path)
    report = verify(store.journal, chain_secret(AUDIT_SECRET))

    assert report.intact
    assert report.entries == 300
    store.journal.append(note("and on"))
    assert store.journal.heads()[0].seq == 301
    store.close()


@pytest.mark.parametrize("page", [1, 2, 3, -1])
def test_s8_a_flipped_page_refuses_to_start_with_a_hint(tmp_path: Path, page: int) -> None:
    """A page of rubbish is found at the start, and the operator reads what to do."""
    path = filled(tmp_path / "store.sqlite")
    Path(f"{path}-wal").unlink()
    data = bytearray(path.read_bytes())
    begin = (page - 1) * 4096 if page > 0 else len(data) // 2 // 4096 * 4096
    data[begin : begin + 4096] = bytes(byte ^ 0xFF for byte in data[begin : begin + 4096])
    path.write_bytes(data)
    with pytest.raises(StorageRefused) as refused:
        open_store(path)

    assert isinstance(refused.value, StorageCorrupt)
    assert "backup" in refused.value.hint


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to be looked at" * 99, b"\0" * 8192]
)
def test_s8_a_file_of_another_kind_is_left_alone(tmp_path: Path, content: bytes) -> None:
    """What is not a database is refused and not overwritten."""
    path = tmp_path / "store.sqlite"
    path.write_bytes(content)
    with pytest.raises(StorageRefused):
        open_store(path)

    assert path.read_bytes() == content


def test_s8_a_foreign_database_is_left_alone(tmp_path: Path) -> None:
    """Somebody else's SQLite file is refused."""
    path = tmp_path / "store.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(StorageRefused, match="not a store of this service"):
        open_store(path)


def test_s8_a_newer_schema_refuses_to_start(tmp_path: Path) -> None:
    """A file of a later release is not touched, and the hint says how to go on."""
    path = tmp_path / "store.sqlite"
    open_store(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(StorageTooNew) as refused:
        open_store(path)

    assert "newer release" in refused.value.hint


FIRST_SCHEMA = """
CREATE TABLE once (digest BLOB PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX once_until ON once (until);
CREATE TABLE pruned (low REAL NOT NULL, high REAL NOT NULL);
CREATE TABLE ticket (
    digest BLOB PRIMARY KEY, value BLOB NOT NULL, until REAL NOT NULL, redeemed INTEGER NOT NULL
);
CREATE INDEX ticket_until ON ticket (until);
CREATE TABLE record (
    kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (kind,
    key)
);
CREATE TABLE removed (kind TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE journal (id INTEGER PRIMARY KEY, public BLOB NOT NULL, sealed BLOB NOT NULL, link BLOB NOT NULL);
CREATE TABLE label (
    period TEXT NOT NULL, label BLOB NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (period, label, id)
) WITHOUT ROWID;
PRAGMA application_id=0x54494C54;
PRAGMA user_version=1;
"""


def test_a_file_of_the_first_release_goes_on(tmp_path: Path) -> None:
    """It is brought to the present schema once; what it holds is there, and its records stay for ever."""
    path = tmp_path / "store.sqlite"
    store = open_store(path)
    store.settle(
        Settlement(
            claims=(Claim("proof", "p", START + 60),),
            puts=(Put("client", "ehr", {"v": 1}), Put("client", "gone", 1)),
            entries=(note("then"),),
        )
    )
    store.close()
    # Values are sealed by key and not by schema, so the rows of today are those of then.
    older = sqlite3.connect(tmp_path / "older.sqlite")
    older.executescript(FIRST_SCHEMA)
    older.execute("ATTACH ? AS today", (str(path),))
    older.execute("INSERT INTO once SELECT * FROM today.once")
    older.execute("INSERT INTO journal SELECT * FROM today.journal")
    older.execute("INSERT INTO record SELECT kind, key, value, version FROM today.record")
    older.commit()
    older.close()
    for _ in range(2):
        store = open_store(tmp_path / "older.sqlite")
        assert store.seen("proof", "p")
        assert store.records.get("client", "ehr").value == {"v": 1}
        assert verify(store.journal, chain_secret(AUDIT_SECRET)).entries == 1
        store.close()
    store = open_store(tmp_path / "older.sqlite", clock=lambda: START + 10**9)
    assert [key for key, _ in store.records.each("client")] == ["ehr", "gone"]
    store.records.put("family", "f", 1, until=START + 10**9 - 1)
    assert store.records.get("family", "f") is None
    schema = "SELECT type, name FROM sqlite_master ORDER BY type, name"
    assert store._readers.rows("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    migrated = store._readers.rows(schema)
    store.close()
    store = open_store(path)
    assert store._readers.rows(schema) == migrated
    store.close()


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Database, log and lock files have mode 0600."""
    store = open_store(tmp_path / "store.sqlite")
    store.once.claim("a", "b", START)

    assert {p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {0o600}
    store.close()
