"""The stores under measurement: the embedded one, and Redis + PostgreSQL, started for the purpose from their wheels.

Redis stands alone, or has a replica that must acknowledge whatever is spent.
Durable, they are set up as the pages for operators say. Otherwise nothing waits for a disk, by means that no
installation has.
"""

import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import MappingProxyType

import psycopg

from benchmarks.processes import cpu_seconds

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tests"))

from support.postgres import QUICK, Postgres  # noqa: E402 (the tests' own path comes first)
from support.redis_server import RedisServer, redis_pair, redis_server  # noqa: E402 (as above)

EMBEDDED = "sqlite"
SERVERS = "servers"
REPLICATED = "servers, a replica"
SAMPLE = 200
TABLES = ("record", "removed", "journal", "label", "settled")


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes: what lies in the database, what went through its log, what Redis holds, and for how long (seconds)."""

    database: int
    log: int
    memory: int = 0
    seconds: float = 0.0

    def since(self, before: "Stored", tokens: int) -> "Stored":
        """For each of so many tokens."""
        return Stored(
            (self.database - before.database) // tokens,
            (self.log - before.log) // tokens,
            (self.memory - before.memory) // tokens,
            self.seconds,
        )


@dataclass(frozen=True, slots=True)
class Store:
    """The embedded one: a file of each host's own."""

    name: str = EMBEDDED
    settings: Mapping[str, str] = field(default_factory=dict)
    durable: bool = True

    def cpu(self) -> dict[str, float]:
        """Seconds so far of each server."""
        return {}

    def pids(self) -> list[int]:
        """Of the servers."""
        return []

    def stored(self, data: Path) -> Stored:
        """What lies in the file; its log is measured by what the service writes."""
        with closing(sqlite3.connect(data / "tillit.sqlite", timeout=30)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            pages, size, free = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "page_size", "freelist_count")
            )
        return Stored((pages - free) * size, 0)


@dataclass(frozen=True, slots=True)
class Servers(Store):
    """One database and one Redis server for all hosts."""

    redis: RedisServer = field(kw_only=True)
    postgres: Postgres = field(kw_only=True)
    url: str = field(kw_only=True)
    replica: RedisServer | None = field(default=None, kw_only=True)

    def cpu(self) -> dict[str, float]:
        """Seconds so far of each server."""
        postgres, *redis = map(cpu_seconds, self.pids())
        return {"redis": sum(redis), "postgresql": postgres}

    def pids(self) -> list[int]:
        """Of the servers."""
        assert self.postgres.process is not None
        redis = [self.redis, self.replica] if self.replica else [self.redis]
        return [self.postgres.process.pid, *(server.pid for server in redis)]

    def stored(self, data: Path) -> Stored:
        """As the servers tell it."""
        del data
        with psycopg.connect(self.url, autocommit=True) as connection:
            log = connection.execute("SELECT pg_current_wal_lsn() - '0/0'").fetchone()
            tables = " + ".join(f"pg_total_relation_size('{table}')" for table in TABLES)
            database = connection.execute(f"SELECT {tables}").fetchone()
        with self.redis.client as client:
            keys = list(islice(client.scan_iter("*:once:*", SAMPLE), SAMPLE))
            each = [client.memory_usage(key) for key in keys]
            left = [client.pttl(key) / 1000 for key in keys]
            memory = client.dbsize() * sum(each) // max(1, len(each))
        return Stored(int(database[0]), int(log[0]), memory, max(left, default=0.0))


def on_servers(
    postgres: Postgres, redis: RedisServer, *, replica: RedisServer | None = None, durable: bool = True
) -> Servers:
    """A new installation's place on servers of this machine, reached by their sockets."""
    url = postgres.migrated_database()
    settings = {"storage_url": url, "storage_shared_url": redis.socket_url}
    name = REPLICATED if replica else SERVERS
    fixed = MappingProxyType(settings)
    return Servers(name, fixed, durable, redis=redis, replica=replica, postgres=postgres, url=url)


@contextmanager
def opened_store(name: str, *, durable: bool = True) -> Iterator[Store]:
    """The store of that name, with nothing in it; servers run as long as the block."""
    if name == EMBEDDED:
        yield Store(durable=durable)
        return
    appended = {"appendonly": "yes", "appendfsync": "everysec"} if durable else {}
    with ExitStack() as stack:
        if name == REPLICATED:
            redis, replica = stack.enter_context(redis_pair(**appended))
        else:
            redis, replica = stack.enter_context(redis_server(**appended)), None
        postgres = stack.enter_context(Postgres(*() if durable else QUICK))
        yield on_servers(postgres, redis, replica=replica, durable=durable)
