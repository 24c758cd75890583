"""What the mirrors of certification modules share: a running service, its authorization endpoint, its clock."""

from collections.abc import Iterator

import pytest

from support.backstage import Backstage, Timeline
from support.login import Reception
from support.service import Service


@pytest.fixture(scope="session")
def backstage(service: Service) -> Iterator[Backstage]:
    """The installation of the shared service."""
    opened = Backstage(service)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def reception(backstage: Backstage) -> Reception:
    """The authorization endpoint of the shared service."""
    return Reception(backstage)


@pytest.fixture(scope="session")
def timeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Timeline]:
    """A service with a clock that only tests move, for modules that wait."""
    with Service(tmp_path_factory.mktemp("timeline"), frozen=1768465800.0) as running:
        opened = Backstage(running)
        yield Timeline(running, opened)
        opened.close()
