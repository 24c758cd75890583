"""An installation in this process, to be backed up, lost and restored."""

import contextlib
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from support.backstage import EVERY_SCOPE
from support.service import PATIENCE
from tillit.protocol.jose import generate_key
from tillit_server.config import Settings, load_settings
from tillit_server.issuer.clients.client import client_from
from tillit_server.issuer.clients.registration import register
from tillit_server.recovery.backing_up import back_up
from tillit_server.recovery.restoring import Asked, Outcome, restore
from tillit_server.signing.custody import open_custody
from tillit_server.storage.ports import Put, Settlement
from tillit_server.wiring import Installation, build

NOW = 1_795_000_000.0
BY = {"operator": "kari", "reason": "drill"}
POINTS = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "sqlite3.connect", "socket.connect", "open"}
"""Audit events of the interpreter at which a process may be killed."""


class Home:
    """Data directory, keys and clock; with ``url`` what lasts is on a PostgreSQL server."""

    def __init__(self, place: Path, url: str | None = None, shared: str = "embedded") -> None:
        self.place = place
        self.url = url
        self.shared = shared
        self.data = place / "data"
        self.file = place / "backup"
        self.at(NOW)
        keys = place / "keys"
        open_custody(keys, passphrase_file=keys / "passphrase", make=True, scrypt_cost=1024)

    def at(self, now: float) -> None:
        """Set the clock."""
        self.now = now
        (self.place / "clock").write_text(f"{now:f}", encoding="ascii")

    @property
    def settings(self) -> Settings:
        """What the commands would read."""
        flags: dict[str, Any] = {
            "dev": True,
            "data": self.data,
            "keys": self.place / "keys",
            "clock": self.place / "clock",
            "storage_timeout": PATIENCE,
            "algorithms": "ES256",  # RSA keys take long to make and to load
        }
        if self.url:
            flags |= {"storage_url": self.url, "storage_shared_url": self.shared}
        return load_settings(flags=flags)

    @contextmanager
    def opened(self) -> Iterator[Installation]:
        """The installation, as a command has it."""
        with closing(build(self.settings)) as installation:
            yield installation

    def back_up(self) -> Path:
        """Make a backup."""
        with self.opened() as installation:
            back_up(installation, self.file, **BY)
        return self.file

    def restore(self, **asked: Any) -> Outcome:
        """Put it back."""
        return restore(self.settings, self.file, Asked(**BY, **asked))


def add_client(installation: Installation, client_id: str, *, keys: int = 1) -> None:
    """Register a client."""
    client = client_from(
        {
            "id": client_id,
            "keys": [generate_key("ES256").public.jwk for _ in range(keys)],
            "legal_entities": ["310000019"],
            "scopes": EVERY_SCOPE,
            "grants": ["client_credentials"],
        }
    )
    register(installation.services, client, replace=False, **BY)


def put(installation: Installation, kind: str, key: str, value: Any) -> None:
    """Write a record."""
    installation.services.store.settle(Settlement(puts=(Put(kind, key, value),)))


def clients_of(home: Home) -> dict[str, bool]:
    """The clients that tests registered, and whether each is disabled."""
    with home.opened() as installation:
        return {
            client.id: client.disabled
            for client in installation.services.clients.each()
            if not client.id.startswith("dev-")
        }


def restore_and_die(home: Home, point: int, told: Any, **asked: Any) -> None:
    """In a process of its own: restore, and be killed at a point; without one, tell how many there are."""
    seen = 0

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event not in POINTS or (event == "open" and str(home.place) not in str(arguments[0])):
            return
        seen += 1
        if seen == point:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)
    home.restore(**asked)
    told.put(seen)


def tables(path: Path) -> dict[str, list[Any]]:
    """What lasts, as it lies in an embedded store."""
    with closing(sqlite3.connect(path)) as connection:
        return {
            name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall())
            for name in ("record", "removed", "journal", "label")
        }


def grow_by(spare: int, path: Path) -> None:
    """From now on no file of this process may be larger than the one at ``path`` and so much more."""
    import resource

    with contextlib.suppress(FileNotFoundError):
        spare += path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (spare, resource.RLIM_INFINITY))
