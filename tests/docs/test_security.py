"""The page of threats names tests that stand against them."""

import re

import pytest

from support.pages import DOCS, ROOT, proofs_by_row, read, section, tables, threat_rows

PAGE = read(DOCS / "security.md")
LISTED = threat_rows(PAGE)


def rows(letter: str, last: int) -> list[str]:
    """The ids of a group of rows."""
    return [f"{letter}{number}" for number in range(1, last + 1)]


IN_SCOPE = [
    *rows("J", 19),
    *rows("C", 9),
    *rows("D", 9),
    *rows("A", 8),
    *rows("P", 11),
    *rows("T", 5),
    *rows("K", 8),
    *("S6", "S7", "S8"),
    *rows("X", 7),
    *("U1", "U3", "U5"),
]


def test_every_row_in_scope_is_on_the_page():
    """No threat that this release answers for is left out."""
    assert set(IN_SCOPE) <= set(LISTED)


@pytest.mark.parametrize("row", IN_SCOPE)
def test_every_row_has_tests(row: str):
    """Each threat in scope has at least one test that carries its id."""
    assert proofs_by_row().get(row), f"no test is called test_{row.lower()}_…"


@pytest.mark.parametrize("row", sorted(LISTED))
def test_the_page_names_tests_of_the_row(row: str):
    """Each row names files, and each of them holds a test of that row; `make docs` brings them up to date."""
    assert LISTED[row]
    assert set(LISTED[row]) <= set(proofs_by_row().get(row, ()))


def test_every_class_of_bugs_is_held_by_rows_of_the_page():
    """A class of known bugs names rows, and the rows are on the page."""
    classes = [cells for cells in tables(section(PAGE, "## Classes of known bugs")) if cells[0] != "Class"]

    assert len(classes) > 15
    for name, seen, held_by in classes:
        assert re.search(r"CVE-\d{4}-\d+|GHSA-", seen), name
        assert set(held_by.split(", ")) <= set(LISTED), name


def test_no_file_is_named_that_is_gone():
    """Every file that the page names exists."""
    for files in LISTED.values():
        for file in files:
            assert (ROOT / file).is_file(), file
