"""A running service that knows a stand-in provider beside the test provider, and a client of it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.backstage import Backstage
from support.login import Reception
from support.provider import NAME, StandInProvider, callback
from support.relying_party import RelyingParty, authorize_url
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
        self.legacy = self.rp(profile="legacy")
        # The worker reads the provider's documents once; one that fails at it rests for two seconds.
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


@contextmanager
def open_house(home: Path) -> Iterator[House]:
    """One in a directory of its own."""
    standin = StandInProvider()
    with Service(home / "data", workers=1, arguments=configured(home, standin)) as service:
        house = House(service, standin)
        yield house
        house.close()
    standin.close()
