"""What only a store on a PostgreSQL server has to promise: chains over hosts, guards, forgetting, bound values."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from support.backstage import eventually
from support.postgres import Postgres, as_owner
from support.stores import AUDIT_SECRET, START, Hands, Servers, note, opening
from tillit_server.audit.chain import chain_secret, verify
from tillit_server.issuer.families import FAMILY, settle_with_family
from tillit_server.storage.forgetting import KEEP
from tillit_server.storage.ports import (
    Claim,
    Conflict,
    Entry,
    Issue,
    Put,
    Settlement,
    StorageRefused,
    StorageTooNew,
    StorageUnavailable,
)
from tillit_server.storage.spending import Guard, GuardMoved
from tillit_server.storage.sql_connect import Database
from tillit_server.storage.sql_schema import SCHEMA, raise_floor, require_schema

Open = Callable[..., Any]


@pytest.fixture
def owner(postgres: Postgres) -> Iterator[Database]:
    """The same database for whoever may change its schema."""
    database = Database(as_owner(postgres.emptied_database()), timeout=5.0)
    yield database
    database.close()


@pytest.fixture
def opener(postgres: Postgres, tmp_path: Path, clock: Hands) -> Iterator[Open]:
    """Opens further instances of one store."""
    with opening(Servers(postgres.emptied_database(), tmp_path / "store.sqlite"), clock=clock) as open_one:
        yield open_one


def whole(store: Any) -> int:
    """How many entries the chains have, all of them intact."""
    report = verify(store.journal, chain_secret(AUDIT_SECRET))
    assert report.intact, report.flaw
    return report.entries


def test_what_is_acknowledged_is_on_disk_whatever_is_usual_there(opener: Open, owner: Database) -> None:
    """Where the database lets commits be lost in a power cut, ours are waited for all the same."""
    usual = text("SHOW synchronous_commit")
    assert owner.rows(usual) == [("off",)]
    store = opener()
    for _ in range(2):
        with store.writer.connection(time.monotonic() + 5) as connection:
            assert connection.execute(usual).scalar() == "on"
        store.writer.close()  # and so it is on the next connection


def test_what_is_acknowledged_is_on_disk_whatever_becomes_usual_there(
    opener: Open, postgres: Postgres
) -> None:
    """Somebody turns synchronous_commit off while we are connected: our commits are waited for as before."""
    # The server's file is no use here, since its command line says "off" already: a role's default is.
    postgres.command("ALTER ROLE tillit_service SET synchronous_commit = local")
    try:
        store = opener()
    finally:
        postgres.command("ALTER ROLE tillit_service RESET synchronous_commit")
    with store.writer.connection(time.monotonic() + 5) as connection:
        source = text("SELECT setting, source FROM pg_settings WHERE name = 'synchronous_commit'")
        # Of the session itself: no reload of anybody's file reaches it.
        assert connection.execute(source).one() == ("on", "session")


def test_slots_go_from_process_to_process(opener: Open) -> None:
    """The lowest free slot is taken, held as long as its owner lives, and gone on with by the next."""
    first, second = opener(slot=None), opener(slot=None)
    assert (first.writer.slot, second.writer.slot) == (1, 2)
    first.journal.append(note("a"))
    first.close()
    third = opener(slot=None)
    third.journal.append(note("b"))

    assert third.writer.slot == 1
    assert [entry.seq for entry in third.journal.read(1)] == [1, 2]


def test_two_processes_in_one_slot_leave_a_whole_chain(opener: Open) -> None:
    """Even if a slot were held by two, every entry is acknowledged once and none is lost."""
    stores = [opener(slot=1), opener(slot=1)]

    def write(store: Any) -> None:
        for number in range(20):
            store.settle(Settlement(entries=(note(str(number)),)))

    writers = [threading.Thread(target=write, args=(store,)) for store in stores]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert whole(stores[0]) == 40


def test_a_lost_connection_costs_one_answer_at_most(opener: Open, postgres: Postgres) -> None:
    """A connection that the server has ended in the meantime is replaced before it is used."""
    store = opener()
    store.journal.append(note("before"))
    postgres.command(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tillit'"
    )
    # The end of a connection is on its way for a moment.
    deadline = time.monotonic() + 5
    while not store.writer._held.connection.dbapi_connection.is_stale() and time.monotonic() < deadline:
        time.sleep(0.01)
    store.journal.append(note("after"))

    assert store.records.get("client", "nobody") is None
    assert whole(store) == 2


class Elsewhere:
    """A spending that counts how often it hears that the guard has moved."""

    def __init__(self, guard: Guard) -> None:
        self.guard, self.heard = guard, 0
        self.once = self.tickets = None

    def spend(self, *_: object) -> Guard:
        """Everything is spent, under the guard."""
        return self.guard

    def moved(self) -> None:
        """Count."""
        self.heard += 1


@pytest.mark.parametrize("puts", [(), (Put("family", "f", 1),)], ids=["entries", "puts"])
def test_nothing_is_written_under_a_guard_that_has_moved(
    opener: Open, puts: tuple[Put, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A settlement whose ids were spent at a server that is no longer the one leaves no trace."""
    store = opener()
    version = store.records.put("fence", "redis", {"number": 1})
    monkeypatch.setattr(store, "spending", Elsewhere(Guard("fence", "redis", version)))
    seen = [store.lasting.settled()]  # by this other hosts learn that something was spent
    good = Settlement(claims=(Claim("proof", "p", START),), puts=puts, entries=(note("x"),))
    for settlement in (good, Settlement(claims=good.claims)):
        store.settle(settlement)
        seen.append(store.lasting.settled())
    assert len(set(seen)) == 3
    store.records.put("fence", "redis", {"number": 2})
    for settlement in (good, Settlement(claims=good.claims)):
        with pytest.raises(GuardMoved):
            store.settle(settlement)

    assert store.spending.heard == 2
    assert store.lasting.settled() == seen[-1]
    assert whole(store) == 1
    assert getattr(store.records.get("family", "f"), "version", 0) == len(puts)


def test_a_moved_guard_of_one_does_not_fail_the_others_of_a_batch(opener: Open) -> None:
    """Settlements that were spent under the old guard and under the new one can share a transaction."""
    store = opener(timeout=10.0)
    old = store.records.put("fence", "redis", 1)
    new = store.records.put("fence", "redis", 2)
    outcomes: dict[int, int] = {old: 0, new: 0}
    start = threading.Barrier(16)

    def run(version: int) -> None:
        write = store.lasting.prepare(Settlement(entries=(note("x"),)))
        start.wait()
        try:
            write(Guard("fence", "redis", version))
        except GuardMoved:
            return
        outcomes[version] += 1

    threads = [threading.Thread(target=run, args=(version,)) for version in [old, new] * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes == {old: 0, new: 8}
    assert whole(store) == 8


@pytest.mark.parametrize(
    "more", [{}, {"issues": (Issue("token", "t", 1, START),)}], ids=["ids", "and tickets"]
)
def test_s3_who_settles_again_rests_on_the_server_that_spent_the_ids(
    more: dict[str, Any], opener: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a lost race for a record the ids are not spent again, and another server knows nothing of them."""
    store = opener()
    server = Elsewhere(Guard("fence", "redis", store.records.put("fence", "redis", {"number": 1})))
    monkeypatch.setattr(store, "spending", server)
    versions = iter((7, 0, 7, 0))

    def make() -> Settlement:
        put = Put(FAMILY, "f", 1, expect=next(versions))
        return Settlement((Claim("proof", "p", START),), puts=(put,), entries=(note("x"),), **more)

    def fail_over() -> None:
        server.guard = Guard("fence", "redis", store.records.put("fence", "redis", {"number": 2}))

    with pytest.raises(GuardMoved):
        settle_with_family(store, make, fail_over)
    assert store.records.get(FAMILY, "f") is None
    settle_with_family(store, make)
    assert whole(store) == 1


@pytest.mark.parametrize("puts", [(), (Put("family", "f", 1),)], ids=["entries", "puts"])
def test_who_moves_the_guard_waits_for_those_who_rest_on_it(
    opener: Open, postgres: Postgres, puts: tuple[Put, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the look at the guard to the commit nobody moves it, so what is settled is settled before or after."""
    url = as_owner(postgres.emptied_database())
    store = opener(timeout=20.0)
    guard = Guard("fence", "redis", store.records.put("fence", "redis", {"number": 1}))
    monkeypatch.setattr(store, "spending", Elsewhere(guard))
    settling = threading.Thread(
        target=store.settle,
        args=(Settlement((Claim("proof", "p", START),), puts=puts, entries=(note("x"),)),),
    )
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'tillit'"
    with psycopg.connect(url) as in_the_way, psycopg.connect(url) as mover:
        in_the_way.execute("INSERT INTO journal VALUES (1, 1, '', '', '')")
        settling.start()
        assert eventually(lambda: postgres.command(waiting))
        with pytest.raises(psycopg.errors.LockNotAvailable):
            mover.execute("SELECT FROM record WHERE kind = 'fence' FOR UPDATE NOWAIT")
        in_the_way.rollback()
    settling.join()

    assert whole(store) == 1


def test_records_whose_time_is_over_are_forgotten(opener: Open, clock: Hands) -> None:
    """Their rows go, a while after their time, when the clock is to be trusted; no version is given twice."""
    steady = Hands(0.0)
    store = opener(steady=steady)
    versions = [store.records.put("family", f"f{n}", n, until=START + n) for n in range(8)]
    store.records.put("client", "ehr", 1)
    clock.now += KEEP + 100
    store.journal.append(note("the clock has jumped"))
    rows = text("SELECT count(*) FROM record")
    assert store.database.rows(rows)[0][0] == 9
    for _ in range(2):
        steady.now += KEEP + 1
        clock.now += KEEP + 1
        store.journal.append(note("time goes by"))

    assert store.database.rows(rows)[0][0] == 1
    assert store.records.put("family", "f1", 2, expect=0) > max(versions)


def test_values_are_bound_and_never_part_of_a_statement(
    opener: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is stored and asked for, the statements are the same, and none holds a word of it."""
    store = opener()
    seen: set[str] = set()

    execute = psycopg.Cursor.execute

    def listen(cursor: Any, statement: str, *values: Any, **options: Any) -> Any:
        seen.add(statement)
        return execute(cursor, statement, *values, **options)

    def use(word: str) -> None:
        store.records.put(word, word, word, until=START)
        store.records.get(word, word)
        list(store.records.each(word))
        store.records.remove(word, word)
        store.settle(Settlement(entries=(Entry(word.encode(), word.encode(), word, (word.encode(),)),)))
        store.journal.find(word, word.encode())
        store.journal.forget(word)

    monkeypatch.setattr(psycopg.Cursor, "execute", listen)
    use("harmless")
    known = set(seen)
    for word in (
        "'; DROP TABLE journal; --",
        "canary:0",
        "%(canary)s",
        '\N{GREEK SMALL LETTER ALPHA}"$1',
        "{0}",
    ):
        use(word)

    assert seen == known
    assert not any("canary" in statement for statement in seen)
    assert whole(store) == 6


def test_a_key_with_nul_is_a_key_like_any_other(opener: Open) -> None:
    """Ids come from strangers before anybody has judged them; none of them is an error of the database."""
    store = opener()
    store.records.put("client", "a\0b", 1)

    assert store.records.get("client", "a\0b").value == 1
    assert store.records.get("client", "a") is None
    assert [key for key, _ in store.records.each("client")] == ["a\0b"]


@pytest.mark.parametrize(
    ("schema", "floor", "error"),
    [
        (SCHEMA, SCHEMA, None),
        (SCHEMA + 1, SCHEMA, None),
        (SCHEMA + 1, SCHEMA + 1, StorageTooNew),
        (0, 0, StorageRefused),
    ],
    ids=["ours", "expanded by the next release", "contracted by the next release", "older"],
)
def test_which_schemas_are_started_on(
    opener: Open, owner: Database, schema: int, floor: int, error: type[Exception] | None
) -> None:
    """Ours, and a later one that still serves us; any other is refused with the command to run."""
    database = opener().database
    move = text(
        "WITH s AS (UPDATE tillit_schema SET floor = :floor RETURNING 1)"
        " UPDATE tillit_migration SET version_num = :schema FROM s RETURNING 1"
    )
    owner.rows(move, {"schema": f"{schema:04}", "floor": floor})
    try:
        if error is None:
            require_schema(database)
        else:
            with pytest.raises(error, match="tillit migrate"):
                require_schema(database)
    finally:
        owner.rows(move, {"schema": f"{SCHEMA:04}", "floor": SCHEMA})


def test_nothing_is_taken_away_from_a_release_that_runs(opener: Open, owner: Database) -> None:
    """A step that contracts is refused while a process of ours is connected; one that was not stays out after it."""
    store = opener()

    def contract() -> bool:
        with owner.connection(time.monotonic() + 5) as connection:
            connection.exec_driver_sql("BEGIN")
            try:
                raise_floor(connection, SCHEMA + 1)
            except StorageRefused:
                connection.exec_driver_sql("ROLLBACK")
                return False
            else:
                connection.exec_driver_sql("COMMIT")
                return True

    assert not contract()
    store.journal.append(note("before"))
    store.writer.close()  # as when the server has dropped it, of which it knows in a moment
    assert eventually(contract)
    try:
        with pytest.raises(StorageUnavailable, match="later releases"):
            store.journal.append(note("after"))
        assert whole(store) == 1
    finally:
        owner.rows(text("UPDATE tillit_schema SET floor = :floor RETURNING 1"), {"floor": SCHEMA})


def test_s9_a_server_that_cannot_be_written_to_is_not_read_either(postgres: Postgres) -> None:
    """A standby lags behind what was revoked and settled; of several hosts in the URL it is passed over."""
    url = postgres.migrated_database()
    name = url.partition("@/")[2].partition("?")[0]
    postgres.command(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(StorageUnavailable, match="standby"):
        Database(url, timeout=10.0)


def test_a_server_that_stands_still_is_given_up_in_time(opener: Open, postgres: Postgres) -> None:
    """Writers and readers hear of it at their deadline, many at once too; afterwards all is well, and whole."""
    store = opener()
    store.journal.append(note("before"))
    waits: list[float] = []

    def ask(use: Callable[[], object]) -> None:
        begun = time.monotonic()
        with pytest.raises(StorageUnavailable):
            use()
        waits.append(time.monotonic() - begun)

    uses = [lambda: store.journal.append(note("lost")), lambda: store.records.get("client", "a")] * 4
    with postgres.frozen():
        callers = [threading.Thread(target=ask, args=(use,)) for use in uses]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            store.records.put("client", "a", 1, expect=0)
            break
        except StorageUnavailable:
            continue
        except Conflict:
            break

    assert len(waits) == len(uses)
    assert sorted(waits)[len(waits) // 2] < 1.5
    assert store.records.get("client", "a").value == 1
    assert whole(store) >= 1
