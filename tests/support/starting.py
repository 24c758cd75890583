"""Attempts to start that must fail: real processes, forked from one that has imported everything."""

import multiprocessing
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from support.service import clean_environment

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tillit_server.cli.commands", "tillit_server.serving"])
_PATIENCE = 15.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """How a start ended. `code` is None when the service ran, and had to be stopped. `cpu` and `wall` are seconds."""

    code: int | None
    output: str
    wall: float
    cpu: float


def attempt(*arguments: str, output: Path, environment: Mapping[str, str] | None = None) -> Attempt:
    """Run a `tillit` command to its end, or stop it when it has not ended in time; what it says goes to a file."""
    process = _CONTEXT.Process(
        target=_run, args=(arguments, str(output), {**clean_environment(), **(environment or {})})
    )
    begun = time.monotonic()
    process.start()
    process.join(_PATIENCE)
    wall = time.monotonic() - begun
    code = process.exitcode
    while process.is_alive():
        process.terminate()
        process.join(1)
    said = output.read_text(encoding="utf-8", errors="replace")
    cpu = output.with_suffix(".cpu")
    return Attempt(code, said, wall, float(cpu.read_text()) if cpu.exists() else 0.0)


def _run(arguments: tuple[str, ...], output: str, environment: Mapping[str, str]) -> None:
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["tillit", *arguments]
    from tillit_server.cli import main

    begun = time.process_time()
    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        Path(output).with_suffix(".cpu").write_text(str(time.process_time() - begun), encoding="ascii")
