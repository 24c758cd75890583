"""Installations to be broken, and attempts to start them: real processes, forked from one that has imported all."""

import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from support.service import clean_environment, free_port
from tillit_server.config import SHIPPED_CONFIG, load_settings
from tillit_server.wiring import build

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


@dataclass(frozen=True, slots=True)
class Setup:
    """A development installation that a test may break: `home/data`, `home/config`, `home/clock`."""

    home: Path

    @property
    def data(self) -> Path:
        """The directory of the database."""
        return self.home / "data"

    @property
    def keys(self) -> Path:
        """The directory of the master key."""
        return self.data / "keys"

    @property
    def master(self) -> Path:
        """The master key's file."""
        return self.keys / "master.key"

    @property
    def passphrase(self) -> Path:
        """The file of the passphrase that opens the master key."""
        return self.keys / "passphrase"

    @property
    def database(self) -> Path:
        """The database's file."""
        return self.data / "tillit.sqlite"

    @property
    def config(self) -> Path:
        """APIs, registers and clients."""
        return self.home / "config"

    @property
    def clock(self) -> Path:
        """The clock file."""
        return self.home / "clock"

    def build(self) -> None:
        """Build the installation once, as a start does, and let it go again."""
        flags = {"dev": True, "data": self.data, "config": self.config, "clock": self.clock}
        build(load_settings(flags=flags)).close()

    def arguments(self) -> list[str]:
        """How such an installation is started."""
        settings = self.home / "tillit.toml"
        settings.write_text(f'config = "{self.config}"\n', encoding="utf-8")
        return [
            *("serve", "--dev", "--config", str(settings), "--data", str(self.data)),
            *("--clock", str(self.clock), "--port", str(free_port())),
        ]


def make(home: Path) -> Setup:
    """Make an installation."""
    setup = Setup(home)
    for room in ("apis", "registers", "clients"):
        shutil.copytree(SHIPPED_CONFIG / room, setup.config / room)
    setup.clock.write_text("+0", encoding="ascii")
    setup.build()
    return setup


def copied(made: Setup, home: Path) -> Setup:
    """A copy of an installation that was made before; making keys takes a second."""
    shutil.copytree(made.home, home, dirs_exist_ok=True)
    return Setup(home)
