"""Many hands, one winner: exactly one, never none (a dead store has no winner either)."""

import threading
import time
from pathlib import Path

import pytest

from support.stores import AUDIT_SECRET, PROCESSES, START, Halves, Place, Servers, open_store, race
from tillit_server.audit.chain import chain_secret, verify
from tillit_server.storage.ports import StorageRefused, StorageUnavailable
from tillit_server.storage.sqlite_file import open_for_writing

PROCESS_COUNT = 4
THREADS = 8


def run_race(place: Place, kind: str, rounds: int, *, sealed: bool) -> list[int]:
    """Wins per round, all processes and threads together."""
    gate = PROCESSES.Barrier(PROCESS_COUNT)
    results = PROCESSES.SimpleQueue()
    with_slot = [
        PROCESSES.Process(
            target=race,
            args=(place, kind, rounds, gate, results),
            kwargs={"threads": THREADS, "slot": slot, "sealed": sealed},
        )
        for slot in range(1, PROCESS_COUNT + 1)
    ]
    for process in with_slot:
        process.start()
    wins = [results.get() for _ in with_slot]
    for process in with_slot:
        process.join()
    return [sum(round_) for round_ in zip(*wins, strict=True)]


def prepare(place: Place, kind: str, rounds: int, *, sealed: bool) -> None:
    store = open_store(place, sealed=sealed)
    for number in range(rounds):
        if kind == "redemption":
            store.tickets.issue("code", f"c{number}", {"n": number}, START + 60)
        elif kind == "put":
            store.records.put("family", f"f{number}", {"who": "nobody"}, expect=0)
    store.close()


def check(place: Place, kind: str, rounds: int, *, sealed: bool) -> None:
    prepare(place, kind, rounds, sealed=sealed)
    wins = run_race(place, kind, rounds, sealed=sealed)
    store = open_store(place, sealed=sealed)
    report = verify(store.journal, chain_secret(AUDIT_SECRET))
    store.close()

    assert wins == [1] * rounds
    assert report.intact
    assert report.entries == rounds


@pytest.fixture(params=["sqlite", "redis", "servers"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where the racers meet."""
    path = tmp_path / "store.sqlite"
    if request.param == "redis":
        return Halves(request.getfixturevalue("redis").emptied().url, path)
    if request.param == "servers":
        redis = request.getfixturevalue("redis").emptied()
        return Servers(request.getfixturevalue("postgres").emptied_database(), redis.url)
    return path


@pytest.mark.parametrize("kind", ["claim", "redemption", "put"])
@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "plain"])
def test_exactly_one_of_32_in_4_processes_wins(place: Place, kind: str, sealed: bool) -> None:
    """Twenty rounds per shape; every win has its audit entry and no loser has one."""
    check(place, kind, 20, sealed=sealed)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["claim", "redemption", "put"])
def test_exactly_one_wins_ten_thousand_times(place: Place, kind: str) -> None:
    """The same in its full count."""
    from support.evidence import record, setting

    rounds, begin = setting("RACE_ROUNDS", 10_000), time.monotonic()
    check(place, kind, rounds, sealed=True)
    counts = {
        "kind": kind,
        "store": {Halves: "Redis", Servers: "Redis and PostgreSQL"}.get(type(place), "SQLite"),
        "rounds": rounds,
        "processes": PROCESS_COUNT,
        "threads": THREADS,
        "winners": rounds,
    }
    record("G2 one winner (storage)", seed=None, seconds=time.monotonic() - begin, counts=counts)


def test_whoever_finds_no_store_makes_it_and_nobody_starts_in_vain(tmp_path: Path) -> None:
    """Eight at once, many times: a file that is just being made is neither somebody else's nor locked."""
    rounds = 20
    gate = threading.Barrier(THREADS)
    refused: list[Exception] = []

    def open_each() -> None:
        for number in range(rounds):
            gate.wait()
            try:
                open_for_writing(tmp_path / f"{number}.sqlite").close()
            except (StorageRefused, StorageUnavailable) as error:
                refused.append(error)

    threads = [threading.Thread(target=open_each) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert refused == []
