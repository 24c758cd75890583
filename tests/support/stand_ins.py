"""Programs that stand in for what a host of the test bed has not: packages, users, `systemctl` and `scp`.

Run as ``stand_ins.py PROGRAM ARGUMENTS…``; whoever cannot do exactly what was asked fails. Users are the hard
part: where the kernel gives namespaces to everybody, root is the only one.
"""

import configparser
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("apt-get", "chown", "runuser", "scp", "systemctl", "useradd")
HOSTS = "BED_HOSTS"
"""In the environment: a directory with a link to the file system of each host."""
UNITS = Path("/run/units")
PATIENCE = 60
PG_ETC, PG_DATA = Path("/etc/postgresql/15/main"), Path("/var/lib/postgresql/15/main")
POSTGRES = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]  # it refuses root
NGINX = "BED_NGINX"


def apt_get(verb: str, yes: str, *packages: str) -> None:
    """The programs are there; lay out what Debian's packages lay out."""
    assert (verb, yes) == ("install", "-y")
    for package in packages:
        _LAYOUTS[package]()


def _redis() -> None:
    for place in ("/etc/redis", "/var/lib/redis"):
        Path(place).mkdir(exist_ok=True)


def _nginx() -> None:
    for place in ("/var/log/nginx", "/var/lib/nginx"):
        Path(place).mkdir(exist_ok=True)
    root = Path(os.environ[NGINX]).parents[2]
    if root != Path("/"):
        shutil.copytree(root / "etc" / "nginx", "/etc/nginx", dirs_exist_ok=True, symlinks=True)
    main = Path("/etc/nginx/nginx.conf")
    dropped = ("user ", "include /etc/nginx/modules-enabled")
    kept = [line for line in main.read_text().splitlines() if not line.startswith(dropped)]
    main.write_text("\n".join(["user root;", *kept, ""]))
    for site in Path("/etc/nginx/sites-enabled").glob("*"):
        site.unlink()


def _postgresql() -> None:
    PG_DATA.mkdir(parents=True)
    (PG_ETC / "conf.d").mkdir(parents=True)
    given = ["-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8", "--locale=C"]
    subprocess.run([*POSTGRES, "initdb", "-D", PG_DATA, "-N", *given], check=True, stdout=subprocess.DEVNULL)
    shutil.move(PG_DATA / "pg_hba.conf", PG_ETC)
    with (PG_DATA / "postgresql.conf").open("a") as settings:
        settings.write(f"hba_file = '{PG_ETC}/pg_hba.conf'\ninclude_dir = '{PG_ETC}/conf.d'\n")


_LAYOUTS: Mapping[str, Callable[[], None]] = {
    "nginx": _nginx,
    "postgresql": _postgresql,
    "redis-sentinel": _redis,
    "redis-server": _redis,
}


def chown(*_: str) -> None:
    """Everything is root's."""


def useradd(*_: str) -> None:
    """Root is everybody."""


def runuser(dash_u: str, user: str, dashes: str, *command: str) -> None:
    """Run it all the same; PostgreSQL hears who it would have been."""
    assert (dash_u, dashes) == ("-u", "--")
    os.execvpe(command[0], command, {**os.environ, "USER": user, "PGUSER": user})  # noqa: S606 (as `runuser` does)


def scp(*words: str) -> None:
    """Copy between hosts; a name without a slash before it is in the home directory."""
    options = {word for word in words if word.startswith("-")}
    assert options <= {"-q", "-r"}
    *sources, target = (_place(word) for word in words if word not in options)
    subprocess.run(["cp", *({"-r"} & options), *sources, target], check=True)


def _place(word: str) -> str:
    host, colon, path = word.rpartition(":")
    return (
        str(Path(os.environ[HOSTS], host, "srv" if not path.startswith("/") else "", path.lstrip("/")))
        if colon
        else word
    )


def systemctl(verb: str, *words: str) -> None:
    """Start, stop and reload what the units say, in the order that systemd has."""
    names = [word for word in words if not word.startswith("-")]
    UNITS.mkdir(exist_ok=True)
    for name in names:
        unit = _UNITS.get(name) or _unit_file(name)
        if verb in {"stop", "restart"}:
            _stop(name, unit)
        if verb in {"start", "restart"} or (verb == "enable" and "--now" in words):
            _start(name, unit)
        if verb == "reload":
            subprocess.run(shlex.split(unit["ExecReload"].replace("$MAINPID", str(_main(name)))), check=True)


_UNITS: Mapping[str, Mapping[str, str]] = {
    "nginx": {"ExecStart": "nginx -g 'daemon off;'", "ExecReload": "nginx -s reload", "Port": "443"},
    "postgresql": {
        "ExecStart": shlex.join([*POSTGRES, "postgres", "-D", str(PG_DATA), "-k", "/run/postgresql"]),
        "RuntimeDirectory": "postgresql",
        "Port": "5432",
        "KillSignal": "SIGINT",
    },
    "redis-server": {"ExecStart": "redis-server /etc/redis/redis.conf", "Port": "6379"},
    "redis-sentinel": {"ExecStart": "redis-server /etc/redis/sentinel.conf --sentinel", "Port": "26379"},
}


class _Unit(configparser.ConfigParser):
    """A file whose settings keep their capital letters."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def _unit_file(name: str) -> Mapping[str, str]:
    parser = _Unit(strict=False, interpolation=None)
    parser.read_string(Path(f"/etc/systemd/system/{name}.service").read_text())
    return parser["Service"]


def _start(name: str, unit: Mapping[str, str]) -> None:
    assert not _runs(_main(name)), f"{name} is running"
    for key, root in (("StateDirectory", "/var/lib"), ("RuntimeDirectory", "/run")):
        if key in unit:
            Path(root, unit[key]).mkdir(mode=0o700, exist_ok=True)
    os.umask(int(unit.get("UMask", "022"), 8))
    environment = {variable: os.environ[variable] for variable in ("PATH", NGINX) if variable in os.environ}
    with Path(f"/var/log/{name}.log").open("ab") as log:
        given = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "env": environment, "cwd": "/"}
        if "ExecStartPre" in unit:
            subprocess.run(shlex.split(unit["ExecStartPre"]), check=True, **given)
        process = subprocess.Popen(shlex.split(unit["ExecStart"]), start_new_session=True, **given)
    (UNITS / name).write_text(str(process.pid))
    end = time.monotonic() + PATIENCE
    while "Port" in unit and not _listens(int(unit["Port"])):
        assert process.poll() is None, Path(f"/var/log/{name}.log").read_text()[-2000:]
        assert time.monotonic() < end
        time.sleep(0.05)


def _stop(name: str, unit: Mapping[str, str]) -> None:
    pid = _main(name)
    end = time.monotonic() + float(unit.get("TimeoutStopSec", PATIENCE))
    if _runs(pid):
        os.kill(pid, signal.Signals[unit.get("KillSignal", "SIGTERM")])
    while _runs(pid):
        assert time.monotonic() < end, f"{name} does not stop"
        time.sleep(0.05)


def _main(name: str) -> int:
    with suppress(OSError):
        return int((UNITS / name).read_text())
    return 0


def _runs(pid: int) -> bool:
    with suppress(OSError):
        return pid > 0 and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _listens(port: int) -> bool:
    try:
        socket.create_connection((socket.gethostname(), port), 1).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    globals()[sys.argv[1].replace("-", "_")](*sys.argv[2:])
