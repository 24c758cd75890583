"""Starts `tillit` commands and `python` programs: as anybody does, or from a process that has imported all.

`Command` is a `subprocess.Popen` whose process was forked from a zygote (`support.zygote`) and adopted: pid,
signals, descriptors, exit code and CPU time are a child's own, and a start takes a fiftieth of the time. What a
fork cannot be given is started as anybody does. So is everything with ``installed=True``: for tests about the
installed command itself, and for those that look at a process's arguments, environment or memory.
"""

import atexit
import ctypes
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from threading import Lock, get_native_id
from typing import Any

TILLIT = str(Path(sys.executable).with_name("tillit"))
_START_SECONDS = 60
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of <sys/prctl.h>
_READ_AT_THE_START = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "OPENSSL", "SSL_", "MALLOC_", "GLIBC_")
_PLAIN = {"env", "cwd", "stdin", "stdout", "stderr", "start_new_session", "umask"}
_TEXT = {"text", "encoding", "errors", "universal_newlines", "bufsize"}


class _Zygote:
    """The zygote of this process; it is started when it is first needed, and ends with us."""

    def __init__(self) -> None:
        self._mutex = Lock()
        self._channel: socket.socket | None = None
        self._owner = 0
        self._libc = ctypes.CDLL(None)

    def fork(self, job: dict[str, Any], descriptors: list[int]) -> int:
        """Start a command; gives the process id of what is now our child."""
        with self._mutex:
            channel = self._open()
            # Orphans come to us only as long as it takes to adopt this one.
            self._libc.prctl(_SUBREAPER, 1, 0, 0, 0)
            try:
                socket.send_fds(channel, [json.dumps(job).encode()], descriptors)
                said = {channel.recv(64), channel.recv(64)}
            finally:
                self._libc.prctl(_SUBREAPER, 0, 0, 0, 0)
        (pid,) = said - {b"adopted"}
        assert pid, "the zygote has ended: its reason stands above"
        return int(pid)

    def _open(self) -> socket.socket:
        if self._channel is None or self._owner != os.getpid():
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                program = str(Path(__file__).with_name("zygote.py"))
                process = subprocess.Popen(
                    [sys.executable, "-P", program, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
            ours.settimeout(_START_SECONDS)
            self._channel, self._owner = ours, os.getpid()
            atexit.register(_end, ours, process)
        return self._channel


def _end(channel: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    channel.close()
    process.wait()


_ZYGOTE = _Zygote()


class Command(subprocess.Popen):
    """A running command: ``Command([TILLIT, ...])``, with what `subprocess.Popen` takes.

    A program in Python may be one too: ``[sys.executable, "-c", code, ...]`` or ``[sys.executable, file, ...]``.
    """

    def __init__(self, command: list[str], *, installed: bool = False, **given: Any) -> None:
        self._forked = (
            not installed
            and sys.platform == "linux"
            and (command[0] == TILLIT or _is_program(command))
            and not given.keys() - _PLAIN - _TEXT
            and _read_at_the_start(given.get("env")) == _read_at_the_start(None)
        )
        super().__init__(command, **given)

    def _execute_child(self, args: Any, *given: Any) -> None:
        """Fork instead of executing; every other line of `subprocess` stays as it is."""
        if not self._forked:
            super()._execute_child(args, *given)
            return
        _, _, _, _, cwd, env, _, _, _, *rest = given
        *pipes, _, _, _, _, umask, start_new_session, _ = rest
        child_in, _, _, child_out, _, child_err = pipes
        job = {
            "argv": list(args),
            "cwd": os.fspath(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "umask": umask,
            "new_session": start_new_session,
            "network": f"/proc/{os.getpid()}/task/{get_native_id()}/ns/net",
        }
        streams = [
            ours if theirs == -1 else theirs for ours, theirs in enumerate((child_in, child_out, child_err))
        ]
        self.pid = _ZYGOTE.fork(job, streams)
        self._child_created = True
        self._close_pipe_fds(*pipes)


def run(
    command: list[str], *, timeout: float = 60, installed: bool = False, **given: Any
) -> "subprocess.CompletedProcess[Any]":
    """Run a command to its end, as `subprocess.run` does; ``input`` and ``capture_output`` are its own."""
    said = given.pop("input", None)
    if said is not None:
        given["stdin"] = subprocess.PIPE
    if given.pop("capture_output", False):
        given |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    check = given.pop("check", False)
    with Command(command, installed=installed, **given) as process:
        try:
            output, errors = process.communicate(said, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    if check and process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output, errors)
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def _is_program(command: list[str]) -> bool:
    return command[0] == sys.executable and (command[1] == "-c" or command[1].endswith(".py"))


def _read_at_the_start(environment: dict[str, str] | None) -> dict[str, str]:
    """The variables that Python and its libraries look at before a program runs."""
    return {
        name: value
        for name, value in (os.environ if environment is None else environment).items()
        if name.startswith(_READ_AT_THE_START)
    }
