"""What processes have cost, from /proc: CPU seconds and bytes written, of those that have ended too."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all its descendants, those included that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICK + sum(map(cpu_seconds, children(pid)))


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def written(pid: int) -> int:
    """Bytes that a process and its living descendants have sent to the disk's cache."""
    found = re.search(r"^write_bytes: (\d+)", Path(f"/proc/{pid}/io").read_text(), re.MULTILINE)
    return int(found[1] if found else 0) + sum(map(written, children(pid)))


def children(pid: int) -> list[int]:
    """Of every thread of the process."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def family(pid: int) -> list[int]:
    """The process and its living descendants."""
    return [pid, *(member for child in children(pid) for member in family(child))]


@contextmanager
def counting_fsyncs(pids: Sequence[int]) -> Iterator[list[int]]:
    """How often these processes and their descendants call fsync or fdatasync; empty where strace is missing.

    What is counted runs far slower meanwhile.
    """
    found: list[int] = []
    if not (strace := shutil.which("strace")):
        yield found
        return
    members = [str(member) for pid in pids for member in family(pid)]
    with TemporaryDirectory() as directory:
        report = Path(directory) / "report"
        attached = [option for member in members for option in ("-p", member)]
        command = [strace, "-f", "-qq", "-c", "-o", str(report), "-e", "trace=fsync,fdatasync", *attached]
        tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while tracer.poll() is None and not _traced(int(members[-1])):
                pass
            yield found
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(30)
        calls = re.findall(
            r"^\s*\S+\s+\S+\s+\S+\s+(\d+)\s+(?:\d+\s+)?f(?:data)?sync$", report.read_text(), re.MULTILINE
        )
        found.append(sum(map(int, calls)))


def _traced(pid: int) -> bool:
    return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()
