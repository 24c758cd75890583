"""A disk small enough to be filled."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, megabytes: int, stand_in: str) -> Iterator[Path]:
    """A disk mounted at `place`, which only root can do; else the test is skipped, and names the one that does without."""
    place.mkdir()
    options = f"size={megabytes}m,mode=700"
    mounting = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mounting, check=False, capture_output=True).returncode:
        pytest.skip(f"mounting a small disk needs root; {stand_in} does without")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
