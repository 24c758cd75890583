"""Programs in other languages as clients: built once outside the repository, spoken with by lines of JSON.

A language that a machine lacks is named in the reason of a skip, so that a run says what it has not run.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.pages import ROOT
from support.service import clean_environment

SOURCES = ROOT / "tests/journeys/foreign"
EXAMPLES = ROOT / "docs/examples"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tillit-tests"
BUILD_SECONDS = 600
PATIENCE = 60.0
NOT_HERE = "a foreign client is not run here: "


def need(*tools: str) -> None:
    """Skip, and say so, on a machine without the tools."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{NOT_HERE}{', '.join(missing)} is not on this machine")


def built(name: str, sources: Iterable[Path], base: Path, command: Sequence[str]) -> Path:
    """A directory with copies of the sources in which ``command`` has been run; one for each state of the sources."""
    contents = [(path.relative_to(base), path.read_bytes()) for path in sorted(sources)]
    digest = hashlib.sha256(repr([command, contents]).encode()).hexdigest()[:16]
    place = CACHE / f"{name}-{digest}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / ".built").exists():
            shutil.rmtree(place, ignore_errors=True)
            for path, content in contents:
                (place / path).parent.mkdir(parents=True, exist_ok=True)
                (place / path).write_bytes(content)
            done = subprocess.run(
                command,
                cwd=place,
                env=clean_environment(),
                capture_output=True,
                text=True,
                timeout=BUILD_SECONDS,
                check=False,
            )
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
            (place / ".built").touch()
    return place


def go_program() -> list[str]:
    """The command that runs the Go client."""
    need("go")
    base = SOURCES / "go"
    place = built("go", base.iterdir(), base, ["go", "build", "-buildvcs=false", "-o", "client", "."])
    return [str(place / "client")]


def java_program() -> list[str]:
    """The command that runs the Java client."""
    need("java", "javac", "mvn")
    base = SOURCES / "java"
    sources = [path for path in base.rglob("*") if path.is_file()]
    place = built("java", sources, base, ["mvn", "-q", "-B", "compile"])
    libraries = (place / "target/class-path").read_text(encoding="utf-8").strip()
    return ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{place / 'target/classes'}:{libraries}", "JavaClient"]


def node_program(name: str) -> list[str]:
    """The command that runs an example in JavaScript."""
    need("node", "npm")
    # The program lies beside its packages, for that is where it looks for them.
    sources = [EXAMPLES / "package.json", EXAMPLES / "package-lock.json", EXAMPLES / name]
    install = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    return ["node", "--use-openssl-ca", str(built("node", sources, EXAMPLES, install) / name)]


class Conversation:
    """A running program: it says what happens in lines of JSON, and is told where the browser ended."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def heard(self, step: str) -> dict[str, Any]:
        """The next line, which must be about ``step``."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(PATIENCE)
            assert self.process.stderr
            raise AssertionError(f"ended before {step!r}: {self.process.stderr.read()[-3000:]}")
        said: dict[str, Any] = json.loads(line)
        assert said["step"] == step, said
        return said

    def tell(self, text: str) -> None:
        """Say something to the program."""
        assert self.process.stdin
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()


@contextmanager
def running(command: Sequence[str]) -> Iterator[Conversation]:
    """A program, which must end well within its time."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    limit = threading.Timer(PATIENCE, process.kill)
    limit.start()
    try:
        yield Conversation(process)
        _, complaint = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, complaint[-3000:]
    finally:
        limit.cancel()
        process.kill()
        process.communicate()
