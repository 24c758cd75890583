"""The page on real clients names tests that exist, and has a row for each line of the acceptance list."""

import re

from support.pages import DOCS, ROOT, code_words, read, section, tables

PAGE = DOCS / "real-clients.md"
JOURNEYS = ROOT / "tests" / "journeys"
NOT_BUILT = {"15"}


def test_every_line_of_the_list_has_tests_that_exist():
    """Each line names a file and tests of that file, or says that it is not built yet."""
    (_, *rows) = tables(section(read(PAGE), "## The acceptance list"))

    assert [number for number, _, _ in rows] == [str(number) for number in range(1, 17)]
    for number, _, place in rows:
        assert (place == "not built yet") is (number in NOT_BUILT), number
        source = ""
        for word in code_words(place):
            if word.endswith(".py"):
                source = read(JOURNEYS / word)
            else:
                assert re.search(rf"^def {word}\(", source, re.MULTILINE), word
                assert word.startswith((f"test_{number}_", "test_14_")), word


def test_every_place_on_the_page_exists():
    """A file or directory that the page names is there."""
    for place in re.findall(r"`((?:tests|config|docs)/[^`]*)`", read(PAGE)):
        assert (ROOT / place).exists(), place
