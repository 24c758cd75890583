"""An installation on each store."""

from pathlib import Path

import pytest

from support.recovery import Home
from tillit_server.signing.custody import Custody, open_custody


@pytest.fixture(params=["embedded", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    """One that has not been started yet."""
    url = None
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").migrated_database()
    return Home(tmp_path, url)


@pytest.fixture(scope="session")
def custody(tmp_path_factory: pytest.TempPathFactory) -> Custody:
    """A master key."""
    return open_custody(tmp_path_factory.mktemp("keys") / "keys", make=True)
