"""An installation of the test bed whose two hosts run releases of their own, behind the proxy."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from support.backstage import eventually
from support.bed import ISSUER, Bed, BedEhr, Behind, ServiceHost
from support.front import Front
from support.load import Ledger, load
from support.namespaces import NETWORK, Host
from support.pages import ROOT
from support.service import PATIENCE, TILLIT, clean_environment, http

APP = ROOT / "app"
READY_SECONDS = 120.0
BESIDE = f"{NETWORK}1"
"""The address of the tests' process beside the switch, where the proxy runs too."""
_DATABASE = 1
"""Of Redis: the bed's own installation has the issuer's keys in another."""


class Upgradable(ServiceHost):
    """A service host that runs whatever release it is told to."""

    app = APP

    def __init__(self, host: Host, home: Path, **settings: Any) -> None:
        super().__init__(host, home, **settings)
        self.become(APP)

    def become(self, app: Path) -> None:
        """Run this release from the next start on."""
        self.app = app
        self.environment["PYTHONPATH"] = str(app)

    def command_of(self, app: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a `tillit` command of a release on this host."""
        environment = {**clean_environment(None), "PYTHONPATH": str(app)}
        command = [TILLIT, *arguments, "--config", str(self.settings)]
        with self.host.inside():
            return subprocess.run(
                command, capture_output=True, text=True, timeout=120, check=False, env=environment
            )

    def unready(self) -> str:
        """Why requests should not be sent here; nothing when they should."""
        try:
            status, _, said = http("GET", self.management + "/health/ready", timeout=5)
        except OSError as error:
            return repr(error)
        return "" if status == 200 else said.decode()


class Pair:
    """Two hosts, the proxy before them, and a client of the proxy's."""

    def __init__(self, bed: Bed, home: Path, numbers: tuple[int, int], closing: ExitStack) -> None:
        """`numbers`: the last parts of the hosts' addresses, which names them too."""
        database = bed.postgres.new_database()
        shared = bed.services[0].values["storage_shared_url"].rpartition("/")[0] + f"/{_DATABASE}"
        self.database = database
        self.hosts: list[Upgradable] = []
        settings = {"drain": 1.0, "storage_timeout": PATIENCE}
        for number in numbers:
            host = Host(f"release-{number}", number)
            made = Upgradable(host, home / host.name, storage_url=database, shared_url=shared, **settings)
            closing.callback(made.kill)
            self.hosts.append(made)
        first, second = self.hosts
        for command in (("keys", "init"), ("migrate", "up")):
            done = first.command_of(APP, *command)
            assert done.returncode == 0, done.stderr
        shutil.copytree(first.home / "keys", second.home / "keys")
        shutil.copy2(first.home / "passphrase", second.home / "passphrase")
        for made in self.hosts:
            made.start()
        places = [f"{host.address}:{host.port}" for host in self.hosts]
        self.front = closing.enter_context(Front(home / "front", places, address=BESIDE))
        self._home, self._urls = home, {"storage_url": database, "shared_url": shared}

    @contextmanager
    def behind(self) -> Iterator[Behind]:
        """The process of the tests as a part of the installation, of this tree's release."""
        beside = ServiceHost(self.hosts[0].host, self._home / "beside", **self._urls)
        beside.take_keys_of(self.hosts[0])
        behind = Behind(self.hosts[0], beside.settings, {"storage_timeout": PATIENCE})
        try:
            yield behind
        finally:
            behind.close()
            shutil.rmtree(beside.home)

    def at_front(self, ehr: BedEhr) -> BedEhr:
        """The same client, who goes to the proxy."""
        return ehr.at(_Proxy(self.front, self.hosts[0]))

    @contextmanager
    def load(self, ehr: BedEhr, *, clients: int = 4) -> Iterator[Ledger]:
        """Clients of the proxy's who ask again and again; all of them have been answered before this goes on."""
        with load(self.at_front(ehr), clients=clients, pause=0.02, repeat=True) as ledger:
            assert eventually(lambda: len(ledger.told) > clients, seconds=60)
            yield ledger

    def replace(self, host: Upgradable, app: Path | None = None) -> int:
        """Take a host out, stop it, start it with another release or the same, take it in; its exit code."""
        name = f"{host.address}:{host.port}"
        self.front.serves(name, so=False)
        code = host.stop()
        if app is not None:
            host.become(app)
        host.start()
        assert eventually(lambda: not host.unready(), seconds=READY_SECONDS), (
            host.unready() + host.log()[-3000:]
        )
        self.front.serves(name, so=True)
        return code


class _Proxy:
    """The installation as it is seen through the proxy."""

    def __init__(self, front: Front, host: Upgradable) -> None:
        self.address, self.port, self.issuer = front.address, front.port, ISSUER
        self.origin = f"http://{front.address}:{front.port}"
        self.now = host.now


def failed(ledger: Ledger) -> list[Any]:
    """What was not answered with a token."""
    return [told for told in ledger.told if told.status != 200]


def answered(ledger: Ledger, count: int) -> bool:
    """Whether so many more requests are answered, with time to do so."""
    had = len(ledger.told)
    return eventually(lambda: len(ledger.told) >= had + count, seconds=60)
