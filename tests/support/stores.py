"""Stores for tests: opened with fixed synthetic secrets, also in processes of their own."""

import hashlib
import itertools
import multiprocessing
import resource
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from tillit_server.audit.chain import ChainLinker, chain_secret
from tillit_server.audit.log import AuditLog
from tillit_server.audit.slots import SlotLease
from tillit_server.storage.ports import (
    Claim,
    Conflict,
    Entry,
    Issue,
    Put,
    Redemption,
    Settlement,
    StorageUnavailable,
)
from tillit_server.storage.sealing import Sealer, SealingKeys
from tillit_server.storage.sqlite import SqliteStore

START = 1_790_000_000.0


def secret(name: str) -> bytes:
    """A synthetic secret of 32 bytes."""
    return hashlib.sha256(f"test secret {name}".encode()).digest()


AUDIT_SECRET = secret("audit")
KEYS = SealingKeys("k1", {"k1": secret("sealing")})


class PlainSealer(Sealer):
    """Seals nothing, to show that no promise of a store rests on sealing."""

    def __init__(self) -> None:
        super().__init__(lambda: KEYS)

    def seal(self, kind: str, key: str, value: Any) -> bytes:  # noqa: ARG002 (the signature of its base)
        """Plain JSON."""
        return orjson.dumps(value)

    def open(self, kind: str, key: str, sealed: bytes) -> Any:  # noqa: ARG002 (the signature of its base)
        """Plain JSON."""
        return orjson.loads(sealed)


@dataclass
class Hands:
    """A clock whose hands are moved by the test."""

    now: float = START

    def __call__(self) -> float:
        """Where the hands are."""
        return self.now


@dataclass(frozen=True)
class Halves:
    """What lasts, in an embedded file; what is short-lived, on a Redis server."""

    url: str
    lasting: Path


@dataclass(frozen=True)
class Servers:
    """What lasts, on a PostgreSQL server; what is short-lived, on a Redis server or in an embedded file."""

    url: str
    short_lived: str | Path


Place = Path | Halves | Servers
"""Where a store is: embedded in a file, or in two halves."""


def open_store(
    place: Place,
    *,
    clock: Callable[[], float] = lambda: START,
    sealed: bool = True,
    slot: int | None = 1,
    timeout: float = 0.8,
    **options: Any,
) -> Any:
    """A store at `place`; with `slot` as its audit chain, or the lowest that is free."""
    if isinstance(place, Halves):
        from support.redis_stores import HalvedStore

        return HalvedStore(place, clock=clock, sealed=sealed, slot=slot, timeout=timeout, **options)
    make = partial(
        SqliteStore,
        clock=clock,
        sealer=Sealer(lambda: KEYS) if sealed else PlainSealer(),
        key_hash_secret=secret("key hash"),
        **options,
    )
    if isinstance(place, Servers):
        from support.sql_stores import open_shared

        return open_shared(place, make, slot, timeout)
    if slot is None:
        slot = SlotLease(place.parent / "slots").slot
    return make(place, linker=linker(slot), timeout=timeout)


@contextmanager
def opening(place: Place, **fixed: Any) -> Iterator[Callable[..., Any]]:
    """Opens further instances of one and the same store; all are closed in the end."""
    opened: list[Any] = []

    def open_one(**options: Any) -> Any:
        opened.append(open_store(place, **fixed, **options))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


def linker(slot: int) -> ChainLinker:
    """What chains the entries of a slot."""
    return ChainLinker(chain_secret(AUDIT_SECRET), slot)


def open_audit(store: Any, clock: Callable[[], float], slot: int = 1) -> AuditLog:
    """The audit on a store."""
    return AuditLog(store, clock=clock, pseudonym_secret=secret("pseudonym"), slot=slot)


def note(text: str) -> Entry:
    """An entry that means nothing."""
    return Entry(orjson.dumps({"note": text}))


PROCESSES = multiprocessing.get_context("forkserver")
"""Processes that start in milliseconds from a clean one that has these modules loaded, and hold no locks of ours."""

PROCESSES.set_forkserver_preload(["support.stores", "support.redis_stores", "support.sql_stores"])


def settlement_for(kind: str, number: int, *, who: str) -> Settlement:
    """What everybody tries to settle in round `number` of a race; only one may."""
    entries = (note(f"{kind} {number} {who}"),)
    if kind == "claim":
        claims = (Claim("assertion", f"a{number}", START + 60), Claim("proof", f"p{number}", START + 60))
        return Settlement(claims=claims, entries=entries)
    if kind == "redemption":
        return Settlement(redemptions=(Redemption("code", f"c{number}"),), entries=entries)
    return Settlement(puts=(Put("family", f"f{number}", {"who": who}, expect=1),), entries=entries)


def race(
    place: Place, kind: str, rounds: int, gate: Any, results: Any, *, threads: int, slot: int, sealed: bool
) -> None:
    """In a process of its own: `threads` threads try the same settlement in every round, released together.

    Puts a list of wins per round into `results`; anything but a win or a conflict shows as -1000.
    """
    store = open_store(place, slot=slot, sealed=sealed, timeout=20.0)
    store.ping()  # a first look at a Redis server is for one thread; others would not wait for it long
    wins = [0] * rounds
    start = threading.Barrier(threads, action=gate.wait)
    mutex = threading.Lock()

    def run(thread: int) -> None:
        for number in range(rounds):
            settlement = settlement_for(kind, number, who=f"{slot}.{thread}")
            start.wait()
            try:
                store.settle(settlement)
                score = 1
            except Conflict:
                score = 0
            except Exception:  # noqa: BLE001  (any other end of a round is a failure of the test)
                score = -1000
            with mutex:
                wins[number] += score

    crowd = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    store.close()
    results.put(wins)


def _write_until_killed(place: Place, told: Any, who: int, threads: int) -> None:
    """In a process of its own: settle and tell what was acknowledged, until somebody ends us."""
    store = open_store(place, slot=None, timeout=20.0)

    def run(thread: int) -> None:
        for number in itertools.count():
            name = f"{who}.{thread}.{number}"
            store.settle(
                Settlement(
                    claims=(Claim("assertion", name, START + 60),),
                    issues=(Issue("code", name, {"name": name}, START + 60),),
                    puts=(Put("last", f"{who}.{thread}", {"number": number}),),
                    entries=(note(name), note("second of " + name)),
                )
            )
            told.send(name)

    for thread in range(threads):
        threading.Thread(target=run, args=(thread,)).start()


def start_writer(place: Place, who: int, threads: int) -> tuple[Any, Any]:
    """A process that settles until it is killed, and the end of a pipe at which it tells what was acknowledged."""
    ours, theirs = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=_write_until_killed, args=(place, theirs, who, threads), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def hold_exclusively(path: Path, held: Any, let_go: Any) -> None:
    """In a process of its own: keep SQLite's own exclusive lock, as a careless backup script would."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    held.set()
    let_go.wait()
    connection.execute("ROLLBACK")
    connection.close()


def fill_up(path: Path, spare: int, results: Any) -> None:
    """In a process of its own, whose files may grow by `spare` bytes only: settle until the disk is full.

    Puts (acknowledged while full, error texts, whether reading went on, seconds until writing worked again).
    """
    store = open_store(path)
    store.journal.append(note("before"))
    largest = max(p.stat().st_size for p in path.parent.iterdir())
    acknowledged: list[str] = []
    errors: set[str] = set()
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + spare, resource.RLIM_INFINITY))
    for number in range(300):
        name = f"full {number}"
        try:
            store.settle(Settlement(claims=(Claim("a", name, START + 60),), entries=(note(name * 100),)))
            acknowledged.append(name)
        except StorageUnavailable as error:
            errors.add(error.reason)
            if len(errors) == 1 and number > 250:
                break
    readable = store.seen("a", acknowledged[0]) and not store.seen("a", "never")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    begin = time.monotonic()
    store.settle(Settlement(claims=(Claim("a", "after", START + 60),), entries=(note("after"),)))
    results.put((acknowledged, sorted(errors), readable, time.monotonic() - begin))
    store.close()


def settle_once(path: Path) -> None:
    """In a process of its own: one settlement, with nothing to soften a failing disk."""
    open_store(path).journal.append(note("one"))
