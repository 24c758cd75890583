"""K1, G3: keys rotate under load, and no verifier that keeps the key set for its full max-age fails once."""

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.evidence import record, setting
from support.rotation import drill

SEED = 20261123
INSTALLATIONS = 4
VERIFICATIONS = 500


def judge(report: dict[str, Any], rotations: int, kills: int) -> None:
    """Everything took place, and nothing failed."""
    assert report["faults"] == []
    assert report["passed"]
    assert report["failed"] == 0
    done = Counter(report["rehearsed"])
    assert (done["rotations"], done["keys revoked"]) == (rotations, 1)
    assert done["operators killed"] + done["workers killed"] == kills
    assert len(report["keys"]) == rotations + 3  # the first, one after the theft, and the standby
    assert sum(report["asked_again"].values()) < 0.1 * report["tokens"]
    assert {"PyJWT", "joserfc"} <= {verifier["name"] for verifier in report["verifiers"]}
    assert max(verifier["oldest_cache"] for verifier in report["verifiers"]) > 0.8 * report["max_age"]


def test_k1_five_rotations_fail_no_verification(tmp_path: Path):
    """Foreign verifiers, caching for ten minutes of service time, accept every token over five rotations, one killed."""
    report = drill(tmp_path / "drill", "--rotations", "5", "--kills", "1", seed=SEED)
    judge(report, 5, 1)
    assert report["verifications"] > 5 * VERIFICATIONS


@pytest.mark.long
def test_k1_a_thousand_rotations_fail_no_verification(tmp_path: Path):
    """The same a thousand times, 200 of them with kill -9 inside, on several installations at once; recorded."""
    count, begun = setting("G3_ROTATIONS", 1000), time.monotonic()
    share, kills = count // INSTALLATIONS, count // INSTALLATIONS // 5

    def one(number: int) -> dict[str, Any]:
        arguments = ("--rotations", str(share), "--kills", str(kills))
        return drill(tmp_path / str(number), *arguments, seed=SEED + number, seconds=4 * 3600)

    with ThreadPoolExecutor(INSTALLATIONS) as pool:
        reports = list(pool.map(one, range(INSTALLATIONS)))
    record(
        f"G3 rotations under load, {names(reports)} caching for max-age, accelerated time",
        seed=SEED,
        seconds=time.monotonic() - begun,
        counts=totals(reports),
    )
    for report in reports:
        judge(report, share, kills)
    assert sum(report["verifications"] for report in reports) > VERIFICATIONS * count


def names(reports: Sequence[dict[str, Any]]) -> str:
    """Who verified."""
    return ", ".join(verifier["name"] for verifier in reports[0]["verifiers"])


def totals(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The counts of all drills together, and the longest gap of each kind."""
    counts: Counter[str] = Counter()
    gaps: Counter[str] = Counter()
    for report in reports:
        counts.update(report["rehearsed"])
        counts.update(report["asked_again"])
        counts.update({name: report[name] for name in ("tokens", "verifications", "failed")})
        counts["faults"] += len(report["faults"])
        gaps |= Counter({f"longest gap s, {act}": gap for act, gap in report["gaps"].items()})
    return {**counts, **gaps}
