"""Fixtures of the command line's tests."""

from pathlib import Path

import pytest

from support.service import Service
from support.shell import Shell


@pytest.fixture
def shell(service: Service, tmp_path: Path) -> Shell:
    """A terminal beside the shared service."""
    return Shell(service, tmp_path)
