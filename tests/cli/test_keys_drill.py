"""`tillit keys drill` says in one line why it cannot begin; what it does when it can is K1."""

from pathlib import Path

import pytest

from support.service import run_cli


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--rotations", "2", "--kills", "3"), "keys drill: --kills: at most 2 of 2 rotations"),
        (("--verifier", "node verify.mjs"), "keys drill: --verifier: NAME=COMMAND needed"),
        (("--verifier", "mine="), "keys drill: --verifier: NAME=COMMAND needed"),
        (("--verifier", "mine=/nowhere/verify"), "keys drill: broken off: mine: cannot be started"),
    ],
)
def test_a_drill_that_cannot_begin_leaves_with_2(arguments: tuple[str, ...], told: str):
    """One readable line, and nothing was rehearsed."""
    done = run_cli("keys", "drill", *arguments, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(told)
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_a_report_that_could_not_be_written_is_known_before_the_drill(tmp_path: Path):
    """A minute's work is not lost to a directory that does not exist."""
    done = run_cli("keys", "drill", "--report", str(tmp_path / "nowhere" / "report"), check=False)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert done.stdout == ""
