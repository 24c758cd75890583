"""What tests of the server share: the installation behind the shared service."""

from collections.abc import Iterator

import pytest

from support.backstage import Backstage
from support.service import Service


@pytest.fixture(scope="session")
def backstage(service: Service) -> Iterator[Backstage]:
    """The installation of the shared service."""
    opened = Backstage(service)
    yield opened
    opened.close()
