"""Hosts made of network namespaces: each has an address and a cable to one switch, which can be cut and slowed.

Only inside of `tests/cluster/in_namespaces.sh`, where all of it vanishes with the processes.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NETWORK = "10.77.0."
SWITCH = "switch"
_NEW_NETWORK = 0x40000000
_WIRE = Path(__file__).with_name("slow_wire.py")
_LIBC = ctypes.CDLL(None, use_errno=True)


class Host:
    """One host. What is started, connected or run in ``with host.inside():`` is on it."""

    def __init__(self, name: str, number: int) -> None:
        """`number`: the last part of its address."""
        self.name = name
        self.address = f"{NETWORK}{number}"
        self._wire: subprocess.Popen[bytes] | None = None
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "dev", "lo", "up")
        _plug_in(self, "-n", name)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Meanwhile this thread is on the host, and so are the processes and threads that it starts."""
        with (
            Path("/proc/thread-self/ns/net").open("rb") as before,
            Path("/run/netns", self.name).open("rb") as there,
        ):
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())

    def cut(self, *, silently: bool = False) -> None:
        """No frame gets to it or from it. The host sees that its cable is dead; `silently`, it does not."""
        ip("-n", SWITCH, "link", "set", "dev", self.name, *(("nomaster",) if silently else ("down",)))

    def mend(self) -> None:
        """The end of `cut` and of `slow`."""
        if self._wire is not None:
            self._wire.kill()
            self._wire.wait()
            self._wire = None
            ip("-n", SWITCH, "link", "delete", "dev", f"{self.name}-a")
        ip("-n", SWITCH, "link", "set", "dev", self.name, "master", "bridge", "up")

    def slow(self, seconds: float) -> None:
        """Every frame to it and from it takes so much longer."""
        near, far = f"{self.name}-a", f"{self.name}-b"
        ip("-n", SWITCH, "link", "set", "dev", self.name, "nomaster")
        ip("-n", SWITCH, "link", "add", near, "type", "veth", "peer", "name", far)
        ip("-n", SWITCH, "link", "set", "dev", near, "up")
        ip("-n", SWITCH, "link", "set", "dev", far, "master", "bridge", "up")
        command = [sys.executable, str(_WIRE), self.name, near, str(seconds)]
        with _in_switch():
            self._wire = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._wire.stdout is not None
        with self._wire.stdout as said:
            assert said.readline() == b"carrying\n"

    def ignore(self, *others: "Host") -> None:
        """Nothing arrives that it sends to the others, or they to it, and nobody is told."""
        options = ("lladdr", "02:00:00:00:00:00", "nud", "permanent", "dev", "eth0")
        for one, other in self._pairs(others):
            ip("-n", one.name, "neighbour", "replace", other.address, *options)

    def heed(self, *others: "Host") -> None:
        """The end of `ignore`."""
        for one, other in self._pairs(others):
            ip("-n", one.name, "neighbour", "delete", other.address, "dev", "eth0")

    def _pairs(self, others: "Iterable[Host]") -> "list[tuple[Host, Host]]":
        return [pair for other in others for pair in ((self, other), (other, self))]

    def kill(self) -> None:
        """The host is gone, with all that ran on it, as when its power fails."""
        while pids := ip("netns", "pids", self.name).split():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            for pid in pids:
                with suppress(ChildProcessError):
                    os.waitpid(int(pid), os.WNOHANG)
        ip("netns", "delete", self.name)


def build(*names: str) -> dict[str, Host]:
    """The hosts on one switch, which know each other by name; this process stands beside it as 10.77.0.1."""
    lay_switch()
    hosts = {name: Host(name, number) for number, name in enumerate(names, 10)}
    with Path("/etc/hosts").open("a", encoding="ascii") as known:
        known.writelines(f"{host.address} {host.name}\n" for host in hosts.values())
    return hosts


def lay_switch() -> None:
    """The switch that all cables end in, unless it is there."""
    if SWITCH in ip("netns", "list").split():
        return
    ip("netns", "add", SWITCH)
    ip("-n", SWITCH, "link", "add", "bridge", "type", "bridge")
    ip("-n", SWITCH, "link", "set", "dev", "bridge", "up")
    _plug_in(None)


def ip(*words: str) -> str:
    """What `ip` says. Raises ``CalledProcessError``."""
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def _plug_in(host: Host | None, *where: str) -> None:
    """Lay a cable from a host, or from this process, to the switch."""
    port, address = (host.name, host.address) if host else ("driver", f"{NETWORK}1")
    ip(*where, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", SWITCH)
    ip("-n", SWITCH, "link", "set", "dev", port, "master", "bridge", "up")
    ip(*where, "address", "add", f"{address}/24", "dev", "eth0")
    ip(*where, "link", "set", "dev", "eth0", "up")


@contextmanager
def _in_switch() -> Iterator[None]:
    switch = Host.__new__(Host)
    switch.name = SWITCH
    with switch.inside():
        yield


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _NEW_NETWORK):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
