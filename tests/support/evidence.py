"""Long runs leave their result in the ledger of docs/evidence, so that totals grow from run to run."""

import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LEDGER = ROOT / "docs" / "evidence" / "ledger.jsonl"


def setting(name: str, default: int) -> int:
    """A count for a long run: ``TILLIT_`` and ``name`` in the environment, or the full count."""
    return int(os.environ.get(f"TILLIT_{name}", default))


def budget() -> float:
    """Seconds after which a long run stops and records what it has reached: ``TILLIT_BUDGET``, or no end."""
    return float(os.environ.get("TILLIT_BUDGET", "inf"))


def record(what: str, *, seed: int | None, seconds: float, counts: dict[str, Any]) -> None:
    """Append one result: what ran, at which commit, from which seed, on what machine, how long, and the counts."""
    line = {
        "what": what,
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no", "app")),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seed": seed,
        "machine": {
            "cpus": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
        },
        "seconds": round(seconds, 1),
        "counts": counts,
    }
    LEDGER.parent.mkdir(parents=True, exist_ok=True)
    with LEDGER.open("a", encoding="utf-8") as ledger:
        ledger.write(json.dumps(line) + "\n")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
