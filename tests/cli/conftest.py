"""Fixtures of the command line's tests."""

from pathlib import Path

import pytest

from support.service import Service
from support.shell import Shell
from support.starting import Setup, make


@pytest.fixture
def shell(service: Service, tmp_path: Path) -> Shell:
    """A terminal beside the shared service."""
    return Shell(service, tmp_path)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    """An installation that nobody changes; tests take copies of it."""
    return make(tmp_path_factory.mktemp("made"))
