"""One fixture decides which backends the contract is run against."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from support.stores import Hands, open_store
from tillit_server.storage.sqlite import SqliteStore

OpenStore = Callable[..., SqliteStore]


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture(params=["sqlite-sealed", "sqlite-plain"])
def opener(request: pytest.FixtureRequest, tmp_path: Path, clock: Hands) -> Iterator[OpenStore]:
    """Opens further instances of one and the same store; a new backend is a line in the parameters."""
    opened: list[SqliteStore] = []

    def open_one(**options: object) -> SqliteStore:
        make = partial(open_store, clock=clock, sealed=request.param == "sqlite-sealed")
        opened.append(make(tmp_path / "store.sqlite", **options))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(opener: OpenStore) -> SqliteStore:
    return opener()
