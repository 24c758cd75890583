"""A program that has imported ours, and becomes a copy that runs it for each message on its socket.

``zygote.py DESCRIPTOR``. `support.commands` starts it and speaks with it. It opens nothing, starts no thread,
and ends with whoever started it.
"""

import ctypes
import gc
import json
import os
import runpy
import signal
import socket
import sys
import threading
from importlib import import_module
from pathlib import Path
from types import ModuleType

LARGEST = 1 << 18
_NETWORK = 0x40000000  # CLONE_NEWNET of <sched.h>
PROGRAMS = (
    *("tillit_server.cli.commands", "tillit_server.serving", "tillit_server.storage.sql"),
    *("tillit_server.storage.redis", "tillit_server.storage.sql_migrate", "tillit.client.token_request"),
    *("tillit_server.signing.timeline_svg", "tillit_server.signing.doctor", "tillit_server.issuer.explain"),
    *("tillit.client", "tillit_server.audit.checkpoints", "tillit_server.storage.copying"),
)


def main() -> None:
    """Wait for messages; returns only in a copy, which has become what its message says."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    for program in PROGRAMS:
        import_module(program)
    opened = {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}
    # One more is the look itself.
    assert len(opened - {0, 1, 2, channel.fileno()}) == 1, opened
    assert threading.active_count() == 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, LARGEST, 3)
        if not message:
            sys.exit(0)
        between = os.fork()
        if between == 0:
            if os.fork() == 0:
                _become(json.loads(message), descriptors, channel)
                return
            # Its child is an orphan now, and whoever asked adopts it.
            os._exit(0)
        os.waitpid(between, 0)
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(b"adopted")


def _become(job: dict, descriptors: list[int], channel: socket.socket) -> None:
    """Be as a process that was just started."""
    if job["new_session"]:
        os.setsid()
    _enter(job["network"])
    if job["umask"] >= 0:
        os.umask(job["umask"])
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _name_streams()
    sys.argv = job["argv"]
    channel.send(str(os.getpid()).encode())
    channel.close()


def _enter(network: str) -> None:
    """Be in the network namespace of whoever asked, if it is another; see `support.namespaces`."""
    if Path(network).readlink() != Path("/proc/self/ns/net").readlink():
        with Path(network).open("rb") as namespace:
            failed = ctypes.CDLL(None).setns(namespace.fileno(), _NETWORK)
        assert not failed, network


def _name_streams() -> None:
    """Standard input, output and errors, made as Python makes them."""
    said = {"encoding": sys.stdout.encoding, "errors": sys.stdout.errors, "closefd": False}
    sys.stdin = sys.__stdin__ = os.fdopen(0, encoding=sys.stdin.encoding, closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", 1 if os.isatty(1) else -1, **said)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 1, **{**said, "errors": "backslashreplace"})


def _run(program: str, *arguments: str) -> None:
    """Run what the command line names: a `python` program, or else the installed command."""
    if program != sys.executable:
        import_module("tillit_server.cli").main()
        return
    sys.argv = list(arguments)
    if arguments[0] != "-c":
        runpy.run_path(arguments[0], run_name="__main__")
        return
    sys.path.insert(0, "")
    sys.argv[:2] = ["-c"]
    module = sys.modules["__main__"] = ModuleType("__main__")
    exec(compile(arguments[1], "<string>", "exec"), vars(module))  # noqa: S102 (as `python -c` does)


if __name__ == "__main__":
    main()
    _run(*sys.argv)
