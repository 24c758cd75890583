"""The page that leads to two hosts does, block by block, on machines of the test bed."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.machines import Machine
from support.namespaces import lay_switch
from support.next_release import make_release
from support.pages import DOCS, ROOT, read

MACHINES = {
    name: number for number, name in enumerate(("build", "front", "host-a", "host-b", "db-1", "db-2"), 40)
}
WHEELS = ROOT / ".cache" / "cluster" / "wheels"
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


@pytest.fixture
def machines() -> Iterator[dict[str, Machine]]:
    """The machines of the page, with nothing on them; a clone of this tree and of the release to come on one."""
    lay_switch()
    with ExitStack() as closing:
        home = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="machines-")))
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WHEELS)}
        made = {
            name: Machine(name, number, home, closing, **(offline if name == "build" else {}))
            for name, number in MACHINES.items()
        }
        clone = made["build"].root / "srv"
        tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(
            ["xargs", "-0", "cp", "-pP", "--parents", "-t", str(clone)], input=tracked, cwd=ROOT, check=True
        )
        (clone / ".venv").symlink_to(ROOT / ".venv")
        os.utime(clone / "pyproject.toml", (0, 0))  # what it asks for has been installed
        make_release(2, home / "tillit-next")
        shutil.move(home / "tillit-next", made["build"].root / "opt" / "tillit-next")
        yield made


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


def test_the_page_leads_to_two_hosts(machines: dict[str, Machine]):
    """Every command does what the page says, on every machine it names, and every line that it promises is seen."""
    said: list[tuple[str, str, str]] = []
    for step in steps():
        if not step.where:
            for name, code, text in said:
                assert seen(text, step.text), (
                    f"on {name}:\n{code}\ndid not say\n{step.text}\nbut\n{text[-3000:]}"
                )
        elif step.file is not None:
            for name in step.where:
                machines[name].write(step.file, step.text)
        else:
            begun = [(name, machines[name].start(step.text)) for name in step.where]
            said = [(name, step.text, machines[name].ended(process)) for name, process in begun]
