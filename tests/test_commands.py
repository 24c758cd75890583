"""Commands that tests start from a zygote are processes like those that an operator starts."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from support.backstage import eventually
from support.commands import TILLIT, Command, run
from support.processes import open_files
from support.service import Service, clean_environment


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--version",), None),
        (("nonsense",), None),
        (("keys", "list", "--data", "/dev/null"), None),
        (("audit", "find", "--data", "{}", "--reason", "a test"), b"05825031016\n"),
        (("attest", "rules"), b""),
    ],
)
def test_both_ways_to_start_a_command_end_alike(
    arguments: tuple[str, ...], said: bytes | None, tmp_path: Path
):
    """Exit code, output and errors are the same, octet for octet."""
    ends = []
    for installed in (True, False):
        place = tmp_path / str(installed)
        command = [TILLIT, *(argument.format(place) for argument in arguments)]
        done = run(command, installed=installed, input=said, capture_output=True, env=clean_environment())
        ends.append((done.returncode, done.stdout, done.stderr))
    assert ends[0] == ends[1]


def test_a_command_has_the_place_and_the_variables_it_was_given(tmp_path: Path):
    """Working directory, environment and umask are the caller's choice, of each start anew."""
    (tmp_path / "here").mkdir()
    given = {"cwd": tmp_path, "env": {**clean_environment(), "TILLIT_DATA": "here", "TILLIT_DEV": "true"}}
    run([TILLIT, "keys", "init"], check=True, capture_output=True, **given)
    assert (tmp_path / "here" / "keys" / "master.key").exists()
    refused = run([TILLIT, "keys", "init"], capture_output=True, cwd=tmp_path, env=clean_environment())
    assert refused.returncode == 2


def test_a_service_is_a_child_with_a_session_of_its_own(service: Service, frozen_service: Service):
    """It leads its group, holds as many descriptors as one that an operator started, and tells how it ended."""
    forked, installed = frozen_service.process, service.process
    assert isinstance(forked, Command)
    assert isinstance(installed, subprocess.Popen)
    stat = Path(f"/proc/{forked.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    assert int(stat[1]) == os.getpid()
    assert int(stat[2]) == int(stat[3]) == forked.pid
    assert open_files(forked.pid) == open_files(installed.pid)
    workers = frozen_service.worker_pids()
    assert len(workers) == 2
    forked.send_signal(signal.SIGKILL)
    assert forked.wait(10) == -signal.SIGKILL
    assert eventually(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
