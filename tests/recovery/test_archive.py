"""The file of a backup: one moment of a store in use, whole or not there, and found out if it was touched."""

import multiprocessing
import random
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from support.disks import small_disk
from support.evidence import record, setting
from support.postgres import Postgres
from support.recovery import grow_by, tables
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
from tillit_server.recovery.archive import Archive, opened_archive, write_archive
from tillit_server.recovery.manifest import BackupDamaged, Manifest
from tillit_server.signing.custody import Custody, open_custody
from tillit_server.storage.copying import Walk, embedded_rows
from tillit_server.storage.ports import Entry, Issue, Put, Settlement, StorageRefused, StorageUnavailable
from tillit_server.storage.sealed_file import SealedFile
from tillit_server.storage.sql_copying import server_rows, write_server

KILLS = 3
KILLS_LONG = setting("KILLS", 300)
ISSUER = "https://sts.example.test"
FORKED = multiprocessing.get_context("fork")
"""Whoever is ended in the middle has imported everything before."""


@pytest.fixture(params=["embedded", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where a store is that has a little of everything, in two chains."""
    place: Place = tmp_path / "store.sqlite"
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        place = Servers(postgres.emptied_database(), tmp_path / "short.sqlite")
    fill(place)
    return place


def fill(place: Place) -> None:
    for slot in (1, 3):
        with closing(open_store(place, slot=slot)) as store:
            store.settle(
                Settlement(
                    issues=(Issue("code", f"c{slot}", {"secret": 1}, START + 60),),
                    puts=(
                        Put("client", f"æ{slot}", {"name": "ø"}),
                        Put("family", f"f{slot}", {"person": 1}, until=START + 60),
                        Put("revoked_token", f"j{slot}", {}, until=START + 60),
                    ),
                    entries=(note("one"), Entry(b'{"n":2}', b"sealed", "2026-11", (b"label" * 3,))),
                )
            )
            store.records.put("client", f"gone{slot}", {})
            store.records.remove("client", f"gone{slot}")


@contextmanager
def rows(place: Place) -> Iterator[Walk]:
    with server_rows(place.url) if isinstance(place, Servers) else embedded_rows(place) as walk:
        yield walk


def back_up(place: Place, path: Path, custody: Custody) -> Manifest:
    with rows(place) as walk:
        return write_archive(path, walk, custody, issuer=ISSUER, release="1", now=START)


def refused(path: Path, custody: Custody) -> str:
    with pytest.raises(BackupDamaged) as caught, opened_archive(path, custody):
        pass
    return str(caught.value)


@pytest.fixture
def archive(tmp_path: Path, custody: Custody) -> Path:
    """The backup of an embedded store."""
    fill(tmp_path / "small.sqlite")
    back_up(tmp_path / "small.sqlite", tmp_path / "backup", custody)
    return tmp_path / "backup"


def test_a_backup_holds_what_lasts_and_nobody_s_login(place: Place, tmp_path: Path, custody: Custody):
    """Records, versions, audit and labels are there bit by bit, for their owner alone; refresh families are not."""
    path = tmp_path / "backup"
    manifest = back_up(place, path, custody)
    with opened_archive(path, custody) as archive, closing(SealedFile(path)) as file:
        archive.extract(tmp_path / "out.sqlite")
        intact = verify(file.journal, chain_secret(AUDIT_SECRET))
    found = tables(tmp_path / "out.sqlite")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.glob("*.part*")) == []
    assert {row[0] for row in found["record"]} == {"client", "revoked_token"}
    assert {name: len(rows) for name, rows in found.items()} == dict(manifest.rows)
    assert (intact.flaw, intact.heads) == (None, manifest.heads)
    assert manifest.rows == {"record": 4, "removed": 1, "journal": 4, "label": 2}
    if isinstance(place, Path):
        whole = tables(place)
        whole["record"] = [row for row in whole["record"] if row[0] != "family"]
        assert found == whole


def test_there_and_back_again(place: Place, tmp_path: Path, custody: Custody, postgres: Postgres):
    """From any store to a backup, to a server and to a backup again, the rows are the same."""
    back_up(place, tmp_path / "one", custody)
    url = postgres.migrated_database()
    with opened_archive(tmp_path / "one", custody) as archive:
        archive.extract(tmp_path / "one.sqlite")
    with embedded_rows(tmp_path / "one.sqlite", alone=True) as walk:
        write_server(walk, url)
    back_up(Servers(url, tmp_path / "unused.sqlite"), tmp_path / "two", custody)
    with opened_archive(tmp_path / "two", custody) as archive:
        archive.extract(tmp_path / "two.sqlite")

    assert tables(tmp_path / "one.sqlite") == tables(tmp_path / "two.sqlite")


def test_a_backup_is_one_moment_of_a_store_in_use(place: Place, tmp_path: Path, custody: Custody):
    """While writers write, every chain in it is whole and every record belongs to the entries that are there."""
    written = threading.Event()
    stop = threading.Event()

    def write() -> None:
        with closing(open_store(place, slot=5, timeout=20.0)) as store:
            for number in range(1, 10_000):
                store.settle(Settlement(puts=(Put("last", "of 5", {"n": number}),), entries=(note("on"),)))
                written.set()
                if stop.is_set():
                    return

    writer = threading.Thread(target=write)
    writer.start()
    written.wait()
    heads = []
    for number in range(3):
        manifest = back_up(place, tmp_path / f"b{number}", custody)
        with opened_archive(tmp_path / f"b{number}", custody) as archive:
            archive.extract(tmp_path / f"b{number}.sqlite")
        with closing(open_store(tmp_path / f"b{number}.sqlite")) as store:
            intact = verify(store.journal, chain_secret(AUDIT_SECRET))
            count = {head.slot: head.seq for head in intact.heads}[5]
            assert (intact.flaw, intact.heads) == (None, manifest.heads)
            assert store.records.get("last", "of 5").value == {"n": count}
        heads.append(count)
    stop.set()
    writer.join()

    assert heads == sorted(heads)


def test_every_part_of_the_file_counts(archive: Path, custody: Custody):
    """A bit turned anywhere, a byte too few or too many, a piece cut out: refused, and said which file."""
    good = archive.read_bytes()
    size = len(good)
    chance = random.Random(7)
    places = {*range(40), *range(size - 500, size, 3), *(chance.randrange(size) for _ in range(100))}
    broken = [good[:at] + bytes((good[at] ^ 1 << at % 8,)) + good[at + 1 :] for at in places]
    broken += [good[:length] for length in (0, 1, 25, 26, 4096, size - 600, size - 27, size - 26, size - 1)]
    broken += [good + b"\n", good + good, good[4096:], good[: size // 2] + good[size // 2 + 4096 :]]
    for content in broken:
        archive.write_bytes(content)
        assert refused(archive, custody).startswith(f"{archive}: ")
    archive.write_bytes(good)
    with opened_archive(archive, custody) as opened:
        assert opened.manifest.issuer == ISSUER


def test_parts_of_two_backups_make_none(archive: Path, tmp_path: Path, custody: Custody):
    """The database of one with the manifest of another, of the same size and master key, is refused."""
    fill(tmp_path / "other.sqlite")
    back_up(tmp_path / "other.sqlite", tmp_path / "other", custody)
    one, other = archive.read_bytes(), (tmp_path / "other").read_bytes()
    cut = one.rindex(b'{"database"')
    archive.write_bytes(other[:cut] + one[cut:])

    assert "the database in it was changed" in refused(archive, custody)


def test_a_file_that_changes_while_it_is_restored_is_not(archive: Path, tmp_path: Path, custody: Custody):
    """What is put in place is what was verified."""
    with opened_archive(archive, custody) as opened:
        with archive.open("r+b") as file:
            file.seek(5000)
            file.write(b"changed")
        with pytest.raises(BackupDamaged, match="changed while"):
            opened.extract(tmp_path / "out.sqlite")


def test_only_a_new_file_is_written(archive: Path, tmp_path: Path, custody: Custody):
    """A backup overwrites nothing, neither another backup nor one that is being written."""
    before = archive.read_bytes()
    (tmp_path / "next.part").touch()
    for path, hint in ((archive, "new file"), (tmp_path / "next", "next.part")):
        with pytest.raises(StorageRefused, match=hint):
            back_up(tmp_path / "small.sqlite", path, custody)

    assert archive.read_bytes() == before
    assert (tmp_path / "next.part").exists()


def test_no_backup_without_the_master_key(archive: Path, tmp_path: Path):
    """With another installation's key it is told apart from damage, and nothing is read."""
    other = open_custody(tmp_path / "other keys", make=True, scrypt_cost=1024)

    assert "made with master key" in refused(archive, other)


def on_a_small_disk(place: Place, path: Path, spare: int, told: Any) -> None:
    """In a process of its own, whose files cannot grow far: the reason why there is no backup."""
    custody = open_custody(path.parent / "keys", make=True, scrypt_cost=1024)
    grow_by(spare, path)
    try:
        back_up(place, path, custody)
    except StorageUnavailable as error:
        told.put(str(error))
    else:
        told.put("")


@pytest.mark.parametrize("spare", [3_000, 40_000, 53_300])
def test_s7_a_full_disk_leaves_no_half_file(place: Place, tmp_path: Path, spare: int):
    """Whether the schema, the rows or the manifest find no room: one line, and nothing under either name."""
    told = FORKED.SimpleQueue()
    process = FORKED.Process(target=on_a_small_disk, args=(place, tmp_path / "backup", spare, told))
    process.start()
    reason = told.get()
    process.join()

    assert reason
    assert list(tmp_path.glob("backup*")) == []


def test_s7_a_disk_that_is_really_full(tmp_path: Path, custody: Custody, disk: Path):
    """On a disk of one megabyte the reason is named, and what was there is all that is there."""
    with closing(open_store(tmp_path / "store.sqlite")) as store:
        for _ in range(20):
            store.journal.append(note("x" * 60_000))
    with pytest.raises(StorageUnavailable, match="disk is full"):
        back_up(tmp_path / "store.sqlite", disk / "backup", custody)

    assert list(disk.iterdir()) == []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 1, stand_in="test_s7_a_full_disk_leaves_no_half_file") as place:
        yield place


def again_and_again(place: Place, directory: Path, told: Any) -> None:
    """In a process of its own: one backup after another, until somebody ends us."""
    custody = open_custody(directory / "keys", make=True, scrypt_cost=1024)
    told.send(True)
    for number in range(10_000):
        back_up(place, directory / f"b{number}", custody)
        told.send(True)


def kill_backups(place: Place, directory: Path, kills: int, seed: int) -> int:
    """Kill backups at random moments; what has a final name is whole. Gives how many there are."""
    chance = random.Random(seed)
    whole = 0
    for number in range(kills):
        home = directory / str(number)
        home.mkdir()
        ours, theirs = FORKED.Pipe(duplex=False)
        process = FORKED.Process(target=again_and_again, args=(place, home, theirs))
        process.start()
        theirs.close()
        for _ in range(chance.randrange(1, 4)):
            ours.recv()
        ours.poll(chance.random() * 0.03)
        process.kill()
        process.join()
        custody = open_custody(home / "keys")
        for path in home.glob("b*"):
            if path.suffix != ".part":
                with opened_archive(path, custody) as archive:
                    assert isinstance(archive, Archive)
                whole += 1
    return whole


def test_a_killed_backup_is_no_backup(place: Path, tmp_path: Path):
    """Whatever moment kill -9 comes at, a file of the final name is a whole backup."""
    kill_backups(place, tmp_path, KILLS, 1)


def drain(told: Any) -> None:
    """Hear what a writer says until it is ended."""
    with suppress(EOFError, OSError):
        while True:
            told.recv()


@pytest.mark.long
def test_a_killed_backup_is_no_backup_at_full_length(place: Path, tmp_path: Path, request: Any):
    """As above, some hundred times, while the store is written to."""
    writer, told = start_writer(place, 1, 2)
    threading.Thread(target=drain, args=(told,), daemon=True).start()
    begun = time.monotonic()
    whole = kill_backups(place, tmp_path, KILLS_LONG, 2)
    writer.kill()
    counts = {"store": request.node.callspec.id, "kills": KILLS_LONG, "whole": whole, "broken": 0}
    record("S9 backups killed", seed=2, seconds=time.monotonic() - begun, counts=counts)
