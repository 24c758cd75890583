"""One fixture decides which backends the contract is run against."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.redis_server import RedisServer, redis_server
from support.stores import Halves, Hands, Place, open_store

OpenStore = Callable[..., Any]


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    """A Redis server that nobody stops."""
    with redis_server() as server:
        yield server


@pytest.fixture(params=["sqlite-sealed", "sqlite-plain", "redis-sealed", "redis-plain"])
def opener(request: pytest.FixtureRequest, tmp_path: Path, clock: Hands) -> Iterator[OpenStore]:
    """Opens further instances of one and the same store; a new backend is a line in the parameters."""
    opened: list[Any] = []
    backend, _, sealing = request.param.partition("-")
    place: Place = tmp_path / "store.sqlite"
    if backend == "redis":
        place = Halves(request.getfixturevalue("redis").emptied().url, place)

    def open_one(**options: object) -> Any:
        opened.append(open_store(place, clock=clock, sealed=sealing == "sealed", **options))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(opener: OpenStore) -> Any:
    return opener()
