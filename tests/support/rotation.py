"""The product's own drill of key changes, with npm `jose` as a third verifier where there is Node.js."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

from support.commands import TILLIT, run
from support.foreign_programs import node_program
from support.service import clean_environment


def drill(home: Path, *arguments: str, seed: int, seconds: float = 300) -> dict[str, Any]:
    """The report of a drill that came to its end, whatever the verdict; its temporary files lie in ``home``."""
    command = [TILLIT, "keys", "drill", "--output", "json", "--seed", str(seed), *arguments]
    if shutil.which("node") and shutil.which("npm"):
        command += ["--verifier", f"jose={shlex.join(node_program('drill-verifier.mjs'))}"]
    home.mkdir(exist_ok=True)
    environment = {**clean_environment(), "TMPDIR": str(home)}
    done = run(command, capture_output=True, text=True, timeout=seconds, env=environment)
    assert done.returncode in {0, 1}, done.stderr[-3000:]
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["passed"] is (done.returncode == 0)
    assert not list(home.iterdir())
    return report
