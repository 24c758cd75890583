"""Services whose people log in at stand-in providers."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.backstage import Backstage
from support.login import Reception
from support.provider import NAME, StandInProvider, callback
from support.rp import RelyingParty, authorize_url
from support.service import Service
from support.visitor import Visitor
from tillit_server.config import SHIPPED_CONFIG


class House:
    """A running service, its stand-in provider, and a client."""

    def __init__(self, service: Service, standin: StandInProvider) -> None:
        self.service = service
        self.standin = standin
        self.backstage = Backstage(service)
        self.reception = Reception(self.backstage)
        self.client = self.rp()
        # Every worker reads the provider's documents once; one that fails at it rests for two seconds.
        for _ in range(20):
            visitor = Visitor(service)
            visitor.open(authorize_url(self.client, self.client.request_uri(acr_values=f"idp:{NAME}")))
            visitor.open(callback(service, code="c", state=standin.pushed[-1]["state"]))

    def rp(self, **members: object) -> RelyingParty:
        """A client of its own."""
        return RelyingParty.of(self.reception.client(**members))

    def close(self) -> None:
        """Let go of the installation."""
        self.backstage.close()


def configured(home: Path, standin: StandInProvider) -> list[str]:
    """The arguments of a service that knows the stand-in beside the test provider."""
    home.mkdir(exist_ok=True)
    shutil.copytree(SHIPPED_CONFIG, home / "config", dirs_exist_ok=True)
    standin.describe(home / "config" / "idps")
    file = home / "tillit.toml"
    file.write_text(f'config = "{home / "config"}"\n', encoding="utf-8")
    return ["--config", str(file)]


@pytest.fixture(scope="session")
def shared_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One service and one stand-in for all tests of a process."""
    home = tmp_path_factory.mktemp("house")
    standin = StandInProvider()
    with Service(home / "data", arguments=configured(home, standin)) as service:
        opened = House(service, standin)
        yield opened
        opened.close()
    standin.close()


@pytest.fixture
def house(shared_house: House) -> Iterator[House]:
    """The same, with a stand-in that is good and has seen nothing."""
    shared_house.standin.reset()
    yield shared_house
    shared_house.standin.reset()
