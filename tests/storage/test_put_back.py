"""A database that was put back, or taken over by a standby that lagged: what it tells is not believed."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import text

from support.backstage import eventually
from support.postgres import QUICK, Postgres, as_owner
from support.redis_server import RedisServer
from support.stores import START, Hands, Servers, note, opening
from tillit_server.storage.ports import Claim, Conflict, Settlement, StorageUnavailable
from tillit_server.storage.sql_connect import Database


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A PostgreSQL server of one's own."""
    with Postgres(*QUICK) as own:
        yield own


def settle(store: Any, name: str, made: float) -> None:
    """Settle a proof, when the store has found its servers again."""

    def settled() -> bool:
        with suppress(StorageUnavailable):
            store.settle(
                Settlement(claims=(Claim("proof", name, made + 120, made=made),), entries=(note(name),))
            )
            return True
        return False

    assert eventually(settled)


def looked(store: Any) -> bool:
    """Whether the store has seen what was settled so far, as it does for `/health/ready`."""
    try:
        store.ping()
    except StorageUnavailable:
        return False
    return True


def while_stopped(server: Postgres, act: Callable[[], object]) -> None:
    server.stop()
    act()
    server.start()


def put_back_a_copy(server: Postgres) -> tuple[Callable[[], None], Callable[[], None]]:
    """Keep a copy of the whole server, and put it back; as with a standby that lagged, what came later is lost."""
    data, copy = server.home / "data", server.home / "copy"

    def keep() -> None:
        shutil.rmtree(copy, ignore_errors=True)
        while_stopped(server, lambda: subprocess.run(["cp", "-a", data, copy], check=True))

    def put_back() -> None:
        while_stopped(server, lambda: (shutil.rmtree(data), copy.rename(data)))

    return keep, put_back


def put_back_its_rows(server: Postgres, database: str) -> tuple[Callable[[], None], Callable[[], None]]:
    """Keep the rows and put them back into the running server, as from a dump."""
    tables = ("record", "journal", "settled")

    def run(statements: str) -> None:
        owner = Database(as_owner(database), timeout=10.0)
        with owner.connection(float("inf")) as connection:
            for table in tables:
                for statement in statements.format(table=table).split(";"):
                    connection.execute(text(statement))
        owner.close()

    return (
        lambda: run("CREATE TABLE kept_{table} AS TABLE {table}"),
        lambda: run("DELETE FROM {table};INSERT INTO {table} TABLE kept_{table};DROP TABLE kept_{table}"),
    )


@pytest.mark.parametrize("grown", [False, True], ids=["as it was", "and has grown again"])
@pytest.mark.parametrize("way", ["a copy", "its rows"])
def test_s3_s9_a_database_that_was_put_back_does_not_hide_what_was_settled(
    way: str, grown: bool, server: Postgres, redis: RedisServer, clock: Hands
) -> None:
    """It counts as many settlements as a worker saw once, and others in between: none of theirs is accepted again."""
    database, steady = server.migrated_database("tillit_service"), Hands(0.0)
    keep, put_back = put_back_a_copy(server) if way == "a copy" else put_back_its_rows(server, database)
    with opening(Servers(database, redis.emptied().url), clock=clock, steady=steady) as open_one:
        watching, other = open_one(slot=1), open_one(slot=2)
        settle(other, "first", START)
        keep()
        if grown:
            settle(other, "lost", START)
        assert eventually(lambda: looked(watching))
        steady.now += 60
        clock.now += 60
        if grown:
            put_back()
            settle(other, "later", clock.now)
        else:
            settle(other, "later", clock.now)
            put_back()
        redis.client.flushall()

        with pytest.raises(Conflict, match="forgotten"):
            settle(watching, "later", clock.now)
