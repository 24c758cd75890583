"""K1, G3: keys rotate under load, and no verifier that keeps the key set for its full max-age fails once."""

import time
from pathlib import Path

import pytest

from support.backstage import Backstage
from support.evidence import record, setting
from support.rotation import Rotations
from support.service import Service

SEED = 20261123


def rotated(home: Path, count: int, seed: int) -> Rotations:
    """So many rotations of a service of its own."""
    with Service(home) as service:
        backstage = Backstage(service)
        rotations = Rotations(service, backstage, seed)
        with rotations.load():
            for _ in range(count):
                rotations.rotate()
        backstage.close()
    return rotations


def judge(rotations: Rotations, count: int) -> None:
    """Every rotation took place, and nothing failed."""
    assert rotations.counts["failed"] == 0, rotations.counts
    assert not any(name.startswith("tokens refused") for name in rotations.counts), rotations.counts
    assert rotations.counts["asked again"] < 0.1 * rotations.counts["tokens"], rotations.counts
    assert len(rotations.kids) == count + 1
    assert rotations.counts["verifications"] > 20 * count


def test_k1_five_rotations_fail_no_verification(tmp_path: Path):
    """PyJWT and joserfc, caching for ten minutes of the service's time, accept every token over five rotations."""
    judge(rotated(tmp_path / "service", 5, SEED), 5)


@pytest.mark.long
def test_k1_a_thousand_rotations_fail_no_verification(tmp_path: Path):
    """The same a thousand times, recorded."""
    count, begun = setting("G3_ROTATIONS", 1000), time.monotonic()
    rotations = rotated(tmp_path / "service", count, SEED)
    judge(rotations, count)
    record(
        "G3 rotations under load, PyJWT and joserfc caching for max-age, accelerated time",
        seed=SEED,
        seconds=time.monotonic() - begun,
        counts=dict(rotations.counts),
    )
