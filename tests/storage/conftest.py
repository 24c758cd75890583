"""One fixture decides which backends the contract is run against."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.redis_server import RedisServer, redis_server
from support.stores import Halves, Hands, Place, Servers, opening

OpenStore = Callable[..., Any]


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    """A Redis server that nobody stops, which the store may use as the page says and not more."""
    with redis_server() as server:
        yield server.restrict()


BACKENDS = ("sqlite", "redis", "postgresql", "servers")


@pytest.fixture(params=[f"{name}-{sealing}" for name in BACKENDS for sealing in ("sealed", "plain")])
def opener(request: pytest.FixtureRequest, tmp_path: Path, clock: Hands) -> Iterator[OpenStore]:
    """Opens further instances of one and the same store; a new backend is a line in the parameters."""
    backend, _, sealing = request.param.partition("-")
    place: Place = tmp_path / "store.sqlite"
    if backend == "redis":
        place = Halves(request.getfixturevalue("redis").emptied().url, place)
    elif backend == "postgresql":
        place = Servers(request.getfixturevalue("postgres").emptied_database(), place)
    elif backend == "servers":
        redis = request.getfixturevalue("redis").emptied()
        place = Servers(request.getfixturevalue("postgres").emptied_database(), redis.url)
    with opening(place, clock=clock, sealed=sealing == "sealed") as open_one:
        yield open_one


@pytest.fixture
def store(opener: OpenStore) -> Any:
    return opener()
