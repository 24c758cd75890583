"""The page that leads to two hosts does, block by block, on machines of the test bed."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.machines import Machine
from support.namespaces import lay_switch
from support.next_release import make_release
from support.pages import ROOT
from support.walk import MACHINES, seen, steps

WHEELS = ROOT / ".cache" / "cluster" / "wheels"


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
