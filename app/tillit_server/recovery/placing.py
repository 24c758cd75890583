"""Where a restored store goes: into the data directory by a rename, or onto the server in one transaction."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tillit_server.audit.slots import in_use
from tillit_server.backends import fill_server, require_server
from tillit_server.config import Settings
from tillit_server.storage import switching
from tillit_server.storage.copying import embedded_rows
from tillit_server.storage.ports import StorageRefused, StorageUnavailable
from tillit_server.storage.sqlite_file import DATABASE, connect, fold


@contextmanager
def stopped(settings: Settings, *, over: bool) -> Iterator[Path]:
    """An empty directory to make a store in, while nobody uses the installation and nobody can start it.

    With ``over`` there may be a store already. It is gone when something is raised inside. Raises
    ``StorageRefused``, ``StorageUnavailable``.
    """
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        switching.finish(settings.data)
        scratch = switching.begin(settings.data)
    except OSError as error:
        raise StorageUnavailable(f"{settings.data} cannot be used: {error.strerror}") from error
    try:
        _require_room(settings, over=over)
        yield scratch
    except OSError as error:
        switching.give_up(settings.data)
        raise StorageUnavailable(f"{settings.data} cannot be written: {error.strerror}") from error
    except BaseException:
        switching.give_up(settings.data)
        raise


def put_in_place(settings: Settings, scratch: Path, name: str, *, over: bool) -> str:
    """Make the store in ``scratch`` the installation's; where what was there is kept, if there was anything.

    ``name`` is the key of its own record of this restore. Raises ``StorageRefused``, ``StorageUnavailable``,
    ``OSError``; then nothing was put in place.
    """
    aside = f"replaced_{datetime.fromtimestamp(int(name), UTC):%Y%m%dt%H%M%Sz}"
    try:
        fold(scratch / DATABASE)
        if settings.storage_url is None:
            switching.put_in_place(settings.data, aside)
            return str(settings.data / aside) if (settings.data / aside).exists() else ""
        _forget_tickets(settings.data / DATABASE)
    except sqlite3.Error as error:
        raise StorageUnavailable(f"the restored file cannot be used: {error}") from error
    switching.note(settings.data, name)
    with embedded_rows(scratch / DATABASE, alone=True) as walk:
        fill_server(walk, settings.storage_url, aside=aside if over else "")
    switching.give_up(settings.data)
    return f"tables {aside}_… of the database" if over else ""


def _require_room(settings: Settings, *, over: bool) -> None:
    if in_use(settings.data / "slots"):
        raise StorageRefused("the service is running", "Stop it, on every host")
    if settings.storage_url:
        require_server(settings, settings.storage_url)
    elif (settings.data / DATABASE).exists() and not over:
        hint = "--replace keeps it aside and restores"
        raise StorageRefused(f"there is a database in {settings.data}", hint)


def _forget_tickets(database: Path) -> None:
    """Sessions and codes of a host that keeps them in its own file; spent ids stay where they are."""
    if database.exists():
        with closing(connect(database)) as connection:
            connection.execute("DELETE FROM ticket")
