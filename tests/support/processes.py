"""What /proc tells about the processes of a running service."""

from pathlib import Path

from support.service import Service

_LISTEN = "0A"


def listeners(port: int) -> int:
    """How many sockets listen on a port of 127.0.0.1: workers have one each."""
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    sockets = [line.split()[1:4] for line in lines]
    return sum(local.endswith(f":{port:04X}") and state == _LISTEN for local, _, state in sockets)


def processes_of(group: int | Service) -> list[int]:
    """The processes of a process group, or of a service, that have not ended."""
    if isinstance(group, Service):
        assert group.process is not None
        group = group.process.pid
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text(encoding="ascii", errors="replace")
            except OSError:
                continue
            fields = text.rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def waiting_for_a_lock(service: Service) -> int:
    """How many locks the workers of a service wait for."""
    workers = service.worker_pids()
    lines = [line.split() for line in Path("/proc/locks").read_text(encoding="ascii").splitlines()]
    return sum(fields[1] == "->" and int(fields[5]) in workers for fields in lines)


def rss_mib(pid: int) -> float:
    """The memory a process has of its own and shared, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def open_files(pid: int) -> int:
    """How many files, sockets and pipes a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
