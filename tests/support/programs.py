"""Programs that `tests/cluster/get_programs.sh` gets, where it can: of the system, or unpacked in the cache."""

from pathlib import Path

import pytest

NOT_GOT = "could not be got on this machine"
_ROOTS = (Path("/"), Path(__file__).parents[2] / ".cache" / "cluster")


def nginx() -> Path:
    """The reverse proxy. Skips the test where there is none."""
    return _found("usr/sbin/nginx")


def libfaketime() -> Path:
    """What gives a process another time of day. Skips the test where there is none."""
    return _found("usr/lib/*/faketime/libfaketimeMT.so.1")


def _found(pattern: str) -> Path:
    for root in _ROOTS:
        for path in root.glob(pattern):
            return path
    pytest.skip(f"{pattern.rpartition('/')[2]} {NOT_GOT}")
