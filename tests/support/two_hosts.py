"""Two hosts of one installation on any store: two supervisors with ports, keys directories and logs of their own."""

import shutil
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from support.backstage import Backstage
from support.postgres import Postgres
from support.redis_server import RedisServer, redis_server
from support.service import Service
from tillit_server.audit.chain import chain_secret, verify
from tillit_server.audit.checkpoints import known_heads
from tillit_server.storage.spending import AHEAD

SQLITE, SERVERS = "SQLite", "Redis + PostgreSQL"
STORES = (SQLITE, SERVERS)
WORKERS = 2


@dataclass
class TwoHosts:
    """What is shared: issuer, clients, signing keys, and the store."""

    store: str
    hosts: tuple[Service, Service]
    backstage: Backstage
    redis: RedisServer | None = None
    postgres: Postgres | None = None
    offset: float = 0.0

    @property
    def issuer(self) -> str:
        """What both call themselves."""
        return self.hosts[0].issuer

    @property
    def ports(self) -> list[int]:
        """Where they listen."""
        return [host.port for host in self.hosts]

    def worker_pids(self) -> list[int]:
        """The process ids of all workers."""
        return [pid for host in self.hosts for pid in host.worker_pids()]

    def pass_the_fence(self) -> None:
        """Let so much time pass that what is made now was certainly made after a fence of Redis."""
        self.offset += AHEAD + 2
        for host in self.hosts:
            host.set_clock(offset=self.offset)

    def sizes(self) -> dict[str, int]:
        """Octets that the store takes up."""
        if self.redis is None or self.postgres is None:
            files = self.hosts[0].data.glob("tillit.sqlite*")
            return {"SQLite": sum(file.stat().st_size for file in files)}
        name = self.backstage.installation.settings.storage_url.partition("@/")[2].partition("?")[0]
        ((size,),) = self.postgres.command(f"SELECT pg_database_size('{name}')")
        with self.redis.client as client:
            return {"Redis": int(client.info("memory")["used_memory"]), "PostgreSQL": int(str(size))}

    def issued(self, client_ids: Collection[str]) -> int:
        """How many entries of the audit say that one of these clients was given a token."""
        journal = self.backstage.services.store.journal
        found = 0
        for head in journal.heads():
            after = 0
            while page := journal.read(head.slot, after=after):
                after = page[-1].seq
                public = map(orjson.loads, [entry.public for entry in page])
                found += sum(
                    said["event"] == "issuer.token.issued" and said["client_id"] in client_ids
                    for said in public
                )
        return found

    def audit_is_intact(self) -> bool:
        """Whether every chain is whole, against the checkpoint of the first host."""
        installation = self.backstage.installation
        last = installation.checkpoints.last()
        heads = known_heads([last] if last else [])
        journal = self.backstage.services.store.journal
        return verify(journal, chain_secret(installation.audit_secret), known=heads).intact


@contextmanager
def two_hosts(home: Path, store: str, *, workers: int = WORKERS) -> Iterator[TwoHosts]:
    """Both up, with so many workers each; the servers write to disk as they should in production."""
    with ExitStack() as stack:
        redis = postgres = None
        lines = ["dev = true"]
        if store == SERVERS:
            postgres = stack.enter_context(Postgres())
            redis = stack.enter_context(redis_server(appendonly="yes"))
            lines += [
                f'storage_url = "{postgres.migrated_database()}"',
                f'storage_shared_url = "{redis.url}"',
            ]
        first = Service(home / "first", workers=workers, arguments=("--config", str(home / "first.toml")))
        second = Service(
            home / ("second" if store == SERVERS else "first"),
            workers=workers,
            arguments=("--config", str(home / "second.toml"), "--issuer", first.issuer),
        )
        second.log_file, second.clock_file = home / "second.log", home / "second-clock"
        second.set_clock()
        for name in ("first", "second"):
            keys = f'keys = "{home / name}-keys"'
            (home / f"{name}.toml").write_text("\n".join([*lines, keys]) + "\n", encoding="utf-8")
        stack.enter_context(first)
        shutil.copytree(home / "first-keys", home / "second-keys")
        stack.enter_context(second)
        backstage = Backstage(first, home / "first.toml")
        stack.callback(backstage.close)
        found = TwoHosts(store, (first, second), backstage, redis, postgres)
        if redis:
            found.pass_the_fence()
        yield found
