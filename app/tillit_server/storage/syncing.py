"""What has been written or renamed, brought to disk."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Bring a file, or the names in a directory, to disk. Raises ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
