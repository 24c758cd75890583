"""Two hosts as in production: both servers over TLS, the rights that the pages name, management ports, traces."""

import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.backstage import Backstage
from support.collector import Collector, collecting
from support.managed import ManagedService
from support.postgres import SERVICE_ROLE, Postgres
from support.redis_server import RedisServer, redis_server
from support.tls import TlsServer, make_certificate


@dataclass
class WatchedHouse:
    """What is there; `tls` are the two doors that everything goes through."""

    redis: RedisServer
    collector: Collector
    tls: tuple[TlsServer, TlsServer]
    hosts: tuple[ManagedService, ManagedService]
    backstage: Backstage
    settings: dict[str, Any]


@contextmanager
def watched_house(home: Path, postgres: Postgres, **more: Any) -> Iterator[WatchedHouse]:
    """Both hosts up; `more` are settings."""
    certificate = make_certificate(home)

    def to_postgres() -> socket.socket:
        opened = socket.socket(socket.AF_UNIX)
        opened.connect(f"{postgres.home}/.s.PGSQL.5432")
        return opened

    with ExitStack() as stack:
        redis = stack.enter_context(redis_server()).restrict()
        of_redis = TlsServer(certificate, lambda: socket.create_connection(("127.0.0.1", redis.port)))
        of_postgres = TlsServer(certificate, to_postgres, postgres=True)
        collector = stack.enter_context(collecting())
        for door in (of_redis, of_postgres):
            stack.enter_context(door)
        name = postgres.migrated_database().partition("@/")[2].partition("?")[0]
        settings = {
            "dev": True,
            "storage_url": f"postgresql://{SERVICE_ROLE}@localhost:{of_postgres.port}/{name}"
            f"?hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert={certificate}",
            "storage_shared_url": f"rediss://tillit:PASSWORD@localhost:{of_redis.port}/0?ssl_ca_certs={certificate}",
            "trusted_proxies": ["127.0.0.1"],
            "traces_url": collector.url,
            "traces_from_proxy": True,
            **more,
        }
        first = ManagedService(home / "first", workers=1, settings=settings, patience=5.0)
        settings["issuer"] = first.issuer
        second = ManagedService(home / "second", workers=1, settings=settings, patience=5.0)
        for host in (first, second):
            host.environment["OTEL_BSP_SCHEDULE_DELAY"] = "50"
        stack.enter_context(first)
        shutil.copytree(first.data / "keys", second.data / "keys")
        second.start()
        stack.callback(second.stop)
        backstage = Backstage(first, first.data / "settings.toml")
        stack.callback(backstage.close)
        yield WatchedHouse(redis, collector, (of_redis, of_postgres), (first, second), backstage, settings)
