"""The page that leads to two hosts as steps: what to do on which machine, and what is seen then."""

import re
from dataclasses import dataclass

from support.pages import DOCS, read

MACHINES = {
    name: number for number, name in enumerate(("build", "front", "host-a", "host-b", "db-1", "db-2"), 40)
}
_BLOCK = re.compile(
    r"^(?P<before>[^\n]+)\n\n```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
_SEEN = "You should see:"
_EVERYWHERE = "On every machine:"


@dataclass(frozen=True, slots=True)
class Step:
    """A block of the page: commands on machines, a file there, or what the commands before it must have said."""

    where: tuple[str, ...]
    file: str | None
    text: str


def steps() -> list[Step]:
    """Every block of the page; none is left out."""
    page = read(DOCS / "two-hosts.md")
    found: list[Step] = []
    for block in _BLOCK.finditer(page):
        before, words = block["before"], re.findall(r"`([^`]+)`", block["before"])
        if before == _SEEN:
            found.append(Step((), None, block["code"]))
        elif before == _EVERYWHERE:
            found.append(Step(tuple(MACHINES), None, block["code"]))
        elif re.fullmatch(r"On (`[\w-]+`(, | and )?)+:", before):
            found.append(Step(tuple(words), None, block["code"]))
        else:
            assert re.fullmatch(r"`/[^`]+` on (`[\w-]+`(, | and )?)+:", before), before
            found.append(Step(tuple(words[1:]), words[0], block["code"]))
    assert len(found) == page.count("```") // 2
    return found


def seen(said: str, expected: str) -> bool:
    """Whether lines that look like the expected ones stand there in this order; ``…`` is whatever is not told."""
    rest = said.splitlines()
    for line in expected.splitlines():
        pattern = ".*".join(re.escape(part) for part in line.split("…"))
        at = next((number for number, text in enumerate(rest) if re.search(pattern, text)), None)
        if at is None:
            return False
        rest = rest[at + (line != "…") :]
    return True
