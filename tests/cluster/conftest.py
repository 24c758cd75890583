"""The test bed, built once for all tests that need many hosts."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.bed import Bed, BedEhr

LOGS = Path(__file__).parents[2] / ".cache" / "cluster" / "logs"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever stands in this directory needs the bed."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("cluster")


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """Two service hosts and all they need, up and well."""
    if "TILLIT_BED" not in os.environ:
        pytest.fail("this needs network namespaces of its own: run `make test-cluster`", pytrace=False)
    with ExitStack() as closing:
        home = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="bed-")))
        closing.callback(keep_logs, home)
        yield Bed(home, closing)


def keep_logs(home: Path) -> None:
    """What the hosts have said in the last run stays, for whoever wants to know why."""
    for log in home.glob("*/**/*log"):
        kept = LOGS / log.relative_to(home)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, kept)


@pytest.fixture
def ehrs(bed: Bed) -> list[BedEhr]:
    """A client that nobody else uses, at each service host of a bed that is well."""
    clients = bed.client()
    assert bed.well(clients)
    return clients
