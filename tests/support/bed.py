"""The test bed of many hosts: service hosts in production mode, Redis with replica and Sentinels, PostgreSQL, each on a host.

Those who drive and judge it stand beside the switch, on no host. Every host knows the others by name.
"""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr, eventually
from support.commands import TILLIT, run
from support.ehr import Answer
from support.load import Ledger, load
from support.namespaces import Host, build
from support.postgres import Postgres
from support.redis_server import RedisServer
from support.service import PATIENCE, Service, clean_environment
from tillit_server.config import SHIPPED_CONFIG

ISSUER = "https://tillit.example.no"
SERVICE_PORT, MANAGEMENT_PORT = 8080, 8081
DOWN_AFTER = 2000
"""Milliseconds until a Sentinel takes the master for dead; `docs/redis.md` allows five thousand."""
SERVICES = ("tillit-1", "tillit-2")
SENTINELS = ("sentinel-1", "sentinel-2", "sentinel-3")
_HOSTS = ("postgres", "redis-1", "redis-2", *SENTINELS, "tillit-1", "tillit-2", "tillit-3", "proxy")
WORKERS = 2
SECOND_CHANCE = 40.0
"""Seconds in which an installation is well again by itself, the fence included, however busy the machine."""


class ServiceHost(Service):
    """`tillit serve` in production mode on a host of its own, with its own data and key directories."""

    def __init__(self, host: Host, home: Path, *, storage_url: str, shared_url: str, **settings: Any) -> None:
        """Writes the settings file; `settings` stand beside those that a host of the bed needs anyway."""
        # The process that commands are forked from is on no host.
        super().__init__(home / "data", workers=WORKERS, patience=None, installed=True)
        self.host = host
        self.home = home
        self.address, self.port = host.address, SERVICE_PORT
        self.origin = f"http://{self.address}:{self.port}"
        self.management = f"http://{self.address}:{MANAGEMENT_PORT}"
        self.issuer = ISSUER
        self.settings = home / "tillit.toml"
        self.values: dict[str, Any] = {
            "issuer": ISSUER,
            "host": self.address,
            "port": SERVICE_PORT,
            "management_host": self.address,
            "management_port": MANAGEMENT_PORT,
            "data": str(self.data),
            "keys": str(home / "keys"),
            "passphrase_file": str(home / "passphrase"),
            "config": str(home / "config"),
            "workers": WORKERS,
            "address_limits": [],
            "client_limits": [],
            "storage_url": storage_url,
            "storage_shared_url": shared_url,
            **settings,
        }
        for room in ("apis", "registers"):
            shutil.copytree(SHIPPED_CONFIG / room, home / "config" / room)
        self.write_settings()

    def write_settings(self, **changes: Any) -> None:
        """Write the settings file, with some of it changed; read at the next start."""
        self.values |= changes
        lines = [f"{name} = {_toml(value)}\n" for name, value in self.values.items()]
        self.settings.write_text("".join(lines), encoding="utf-8")

    def command(self) -> list[str]:
        """How it is started."""
        return [TILLIT, "serve", "--config", str(self.settings)]

    def start(self) -> None:
        """Start on its host, and wait until it answers; once more when it gives up, as systemd does."""
        with self.host.inside():
            try:
                super().start()
            except AssertionError:
                super().start()

    def tillit(self, *arguments: str, check: bool = True) -> CompletedProcess[str]:
        """Run a `tillit` command on the host, with its settings."""
        with self.host.inside():
            command = [TILLIT, *arguments, "--config", str(self.settings)]
            environment = clean_environment(None)
            done = run(command, capture_output=True, text=True, timeout=120, env=environment)
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def take_keys_of(self, other: "ServiceHost") -> None:
        """Be given the master key and its passphrase."""
        shutil.copytree(other.home / "keys", self.home / "keys")
        shutil.copy2(other.home / "passphrase", self.home / "passphrase")


class BedEhr(SwiftEhr):
    """A client that goes to one service host with what it addresses to the issuer."""

    def at(self, service: Service) -> "BedEhr":
        """The same client, who goes to another host."""
        return BedEhr(service, self.client_id, self.key, self.dpop_key)

    def assertion(self, **claims: Any) -> str:
        """One that is good for as long as any can be, so that what refuses it later is not its age."""
        return super().assertion(**{"exp": int(self.service.now()) + 60, **claims})

    def send(
        self,
        form: Mapping[str, str] | Sequence[tuple[str, str]] | bytes,
        proof: str | None,
        *,
        url: str | None = None,
        **more: Any,
    ) -> Answer:
        """Send to this host."""
        address = (url or self.endpoint).replace(self.service.issuer, self.service.origin, 1)
        return super().send(form, proof, url=address, **more)

    def request(self) -> tuple[dict[str, str], str]:
        """A request for a token that has not been sent yet."""
        return self.form(self.assertion(), scope=SELF_SERVICE), self.proof()

    def ask(self) -> Answer:
        """The answer to a new request for a token. Raises ``OSError`` when there is none."""
        return self.send(*self.request())


class Behind(Backstage):
    """The installation of the bed, opened beside the switch."""

    ehr = BedEhr


class Bed:
    """All of it, running. `hosts` are the namespaces by name, `services` the service hosts that have been started."""

    def __init__(self, home: Path, closing: ExitStack, names: Sequence[str] = SERVICES) -> None:
        """Whatever runs is stopped by `closing`."""
        self.home = home
        self.hosts = build(*_HOSTS)
        self._closing = closing
        self.postgres = self._start_postgres()
        self.redis = tuple(self._start_redis(name) for name in ("redis-1", "redis-2"))
        self.redis[1].follow(self.redis[0])
        self.sentinels = [self._start_sentinel(name) for name in SENTINELS]
        for sentinel in self.sentinels:
            sentinel.wait_for(lambda found: (found.get("slaves"), found.get("sentinels")) == (1, 3))
        addresses = ",".join(f"{sentinel.address}:{sentinel.port}" for sentinel in self.sentinels)
        self._urls = {
            "storage_url": self.postgres.new_database(),
            "shared_url": f"redis+sentinel://{addresses}/service/0",
        }
        first = self.new_service(names[0])
        first.tillit("keys", "init")
        first.tillit("migrate", "up")
        first.start()
        self.services = [first]
        for name in names[1:]:
            self.add_service(name)
        self.behind = self._open_behind()

    def new_service(self, name: str, **settings: Any) -> ServiceHost:
        """A further service host with its settings, neither with keys nor started."""
        service = ServiceHost(self.hosts[name], self.home / name, **self._urls, **settings)
        self._closing.callback(service.kill)
        return service

    def add_service(self, name: str, **settings: Any) -> ServiceHost:
        """A further service host that has been given the master key, started."""
        service = self.new_service(name, **settings)
        service.take_keys_of(self.services[0])
        service.start()
        self.services.append(service)
        return service

    def lose(self, service: ServiceHost) -> None:
        """The host of a service is gone, with all that ran on it, and does not come back."""
        self.services.remove(service)
        self.hosts.pop(service.host.name).kill()

    def client(self, **members: Any) -> list[BedEhr]:
        """A new registered client: itself at every service host."""
        ehr = self.behind.client(**members)
        assert isinstance(ehr, BedEhr)
        return [ehr.at(service) for service in self.services]

    def master(self) -> RedisServer:
        """The Redis server that is master in the eyes of most Sentinels."""
        said = [
            tuple(sentinel.client.sentinel_get_master_addr_by_name("service")) for sentinel in self.sentinels
        ]
        address = max(said, key=said.count)[0]
        return next(server for server in self.redis if server.address == address)

    def host_of(self, server: RedisServer | Postgres | Service) -> Host:
        """The host that something runs on."""
        return next(host for host in self.hosts.values() if host.address == server.address)

    def heal(self) -> None:
        """Wait until Redis has a master with a replica again."""
        assert eventually(self._redis_is_whole, seconds=SECOND_CHANCE)

    def well(self, ehrs: Sequence[BedEhr], *, seconds: float = SECOND_CHANCE) -> bool:
        """Whether every host issues tokens, or does so in time by itself."""
        return eventually(lambda: all(issues(ehr) for ehr in ehrs), seconds=seconds)

    def _redis_is_whole(self) -> bool:
        said = self.master().client.info("replication")
        return said["role"] == "master" and said.get("slave0", {}).get("state") == "online"

    def _start_postgres(self) -> Postgres:
        host = self.hosts["postgres"]
        with host.inside():
            return self._closing.enter_context(Postgres(address=host.address))

    def _start_redis(self, name: str) -> RedisServer:
        host = self.hosts[name]
        with host.inside():
            server = RedisServer(
                self.home / name, 6379, host.address, appendonly="yes", min_replicas_max_lag="10"
            )
        self._closing.callback(server.kill)
        return server

    def _start_sentinel(self, name: str) -> RedisServer:
        host = self.hosts[name]
        with host.inside():
            server = RedisServer.sentinel(
                self.home / name, 26379, self.redis[0], 2, address=host.address, down_after=DOWN_AFTER
            )
        self._closing.callback(server.kill)
        return server

    def _open_behind(self) -> Behind:
        beside = ServiceHost(self.services[0].host, self.home / "beside", **self._urls)
        beside.take_keys_of(self.services[0])
        behind = Behind(self.services[0], beside.settings, {"storage_timeout": PATIENCE})
        self._closing.callback(behind.close)
        return behind


def issues(ehr: BedEhr) -> bool:
    """Whether a host gives this client a token."""
    try:
        if ehr.ask().status == 200:
            return True
    except (OSError, AssertionError):
        pass  # no answer, or 503 where a nonce was asked for
    ehr.forget_nonce()
    return False


@contextmanager
def loads(ehrs: Sequence[BedEhr], **options: Any) -> Iterator[list[Ledger]]:
    """A load on every host, and the ledger of each; options as `load` has them."""
    with ExitStack() as running:
        yield [running.enter_context(load(ehr, **options)) for ehr in ehrs]


def seconds_until(true: Any, *, patience: float = SECOND_CHANCE) -> float:
    """How long it takes until something is true."""
    begun = time.monotonic()
    assert eventually(true, seconds=patience)
    return time.monotonic() - begun


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
