"""A service whose people log in at a stand-in provider."""

from collections.abc import Iterator

import pytest

from support.house import House, open_house


@pytest.fixture(scope="session")
def shared_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One service and one stand-in for all tests of a process."""
    with open_house(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture
def house(shared_house: House) -> Iterator[House]:
    """The same, with a stand-in that is good and has seen nothing."""
    shared_house.standin.reset()
    yield shared_house
    shared_house.standin.reset()
