"""The page of evidence says what the ledger of long runs says, and no more."""

from typing import Any

import pytest

from support.evidence import LEDGER
from support.evidence_page import PAGE, Proof, page_of, row, total
from support.pages import read

PROOF = Proof("A proof", "SQLite", "G0 .*", 1_000, "rounds", total("lost"))


def line(**counts: Any) -> dict[str, Any]:
    return {"what": "G0 of a kind", "commit": "abc", "changed": False, "counts": counts}


def test_the_page_is_made_from_the_ledger():
    """`make docs` has been run since a line was added."""
    assert read(PAGE) == page_of(read(LEDGER))


@pytest.mark.parametrize(
    ("lines", "cells"),
    [
        ([], ("1,000", "0", "0", "0 of 0", "no run", "all of it")),
        ([line(rounds=400), line(rounds=100)], ("1,000", "400", "500", "0 of 2", "`abc`", "60 %")),
        ([line(rounds=400), line(rounds=900, lost=1)], ("1,000", "400", "400", "1 of 2", "`abc`", "60 %")),
        ([line(rounds=999)], ("1,000", "999", "999", "0 of 1", "`abc`", "0.1 %")),
        ([line(rounds=1_000)], ("1,000", "1,000", "1,000", "0 of 1", "`abc`", "none")),
        ([line(others=1_000)], ("1,000", "0", "0", "0 of 0", "no run", "all of it")),
    ],
)
def test_a_gap_is_told(lines: list[dict[str, Any]], cells: tuple[str, ...]):
    """What was asked, the longest clean run, their sum, how many failed, and what is missing."""
    assert row(PROOF, lines) == ("A proof", "SQLite", *cells)
