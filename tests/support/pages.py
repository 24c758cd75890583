"""The pages under `docs/` as tests read them; run as a program, it writes the test column of `docs/security.md`."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SECURITY = DOCS / "security.md"

_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"[A-Z][0-9]{1,2}")
# A test may stand against several rows: test_c2_d2_a_restart_forgets_nothing
_TEST = re.compile(r"^ *(?:async )?def test_((?:[a-z][0-9]{1,2}_)+)", re.MULTILINE)
_LINK = re.compile(r"\]\(\.\./(?P<file>tests/[^)#]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, further words after it, and its text."""

    language: str
    words: frozenset[str]
    code: str


def pages() -> list[Path]:
    """Every page for readers, in the root and below `docs/`."""
    return [*sorted(ROOT.glob("*.md")), ROOT / "keys" / "README.md", *sorted(DOCS.rglob("*.md"))]


def read(page: Path) -> str:
    """The text of a page."""
    return page.read_text(encoding="utf-8")


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", text)


def blocks(text: str, *languages: str) -> Iterator[Block]:
    """The fenced blocks of a page in one of the languages."""
    for found in _FENCE.finditer(text):
        language, *words = found["info"].split() or [""]
        if language in languages:
            yield Block(language, frozenset(words), found["code"])


def tables(text: str) -> Iterator[list[str]]:
    """The cells of every row of every table, heads included."""
    for line in prose(text).splitlines():
        if line.startswith("|") and not set(line) <= set("|- :"):
            yield [cell.strip() for cell in line.strip().strip("|").split("|")]


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of the same level or above."""
    level = heading.split(" ", maxsplit=1)[0]
    _, _, rest = text.partition(f"\n{heading}\n")
    assert rest, f"no heading {heading}"
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def code_words(cell: str) -> list[str]:
    """What a cell holds between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def threat_rows(text: str) -> dict[str, list[str]]:
    """The threat rows of the security page, and the test files that each one names."""
    return {cells[0]: _LINK.findall(cells[-1]) for cells in tables(text) if _ROW.fullmatch(cells[0])}


@cache
def proofs_by_row() -> dict[str, list[str]]:
    """Threat rows, and the files with tests that carry their id."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for rows in _TEST.findall(path.read_text(encoding="utf-8")):
            for row in rows.upper().split("_")[:-1]:
                found.setdefault(row, set()).add(path.relative_to(ROOT).as_posix())
    return {row: sorted(files) for row, files in found.items()}


def with_tests(text: str, found: dict[str, list[str]]) -> str:
    """The security page with its last column as the tests say."""

    def line_of(line: str) -> str:
        cells = line.strip().strip("|").split("|")
        if not line.startswith("|") or not _ROW.fullmatch(cells[0].strip()):
            return line
        links = _links(found.get(cells[0].strip(), []))
        return "|" + "|".join(cells[:-1]) + f"| {links} |"

    return "\n".join(line_of(line) for line in text.splitlines()) + "\n"


def _links(files: Iterable[str]) -> str:
    return " · ".join(f"[{file.removeprefix('tests/')}](../{file})" for file in files)


if __name__ == "__main__":
    SECURITY.write_text(with_tests(read(SECURITY), proofs_by_row()), encoding="utf-8")
