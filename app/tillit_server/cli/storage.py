"""``tillit storage``: from the embedded database to the servers, and back."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tillit_server.cli.installation import installation_options, refusing_to_start
from tillit_server.cli.migrate import server_of
from tillit_server.cli.output import UNREADABLE, fail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tillit_server.config import Settings


@click.group()
def storage() -> None:
    """Where the installation keeps what must be remembered."""


@storage.command()
@installation_options
@click.option("--back", is_flag=True, help="From the server to the data directory of this host.")
def copy(file: Path | None, data: Path | None, *, back: bool) -> None:
    """Move records and audit from the data directory to the server that storage_url names.

    All of it or nothing, while the service is stopped; then the audit is verified where it is now. What they
    were moved from stays as it was; an embedded database is marked as moved.
    """
    from tillit_server.audit.slots import in_use
    from tillit_server.backends import opened_database
    from tillit_server.recovery.moving import move_back, move_to_server
    from tillit_server.storage.sql_schema import require_schema
    from tillit_server.storage.sqlite_file import DATABASE
    from tillit_server.storage.switching import MOVED

    settings, url = server_of(file, data)
    if back:
        with refusing_to_start():
            rows, aside = move_back(settings, url)
        _verify(replace(settings, storage_url=None, storage_shared_url=None), rows)
        click.echo(f"Now take storage_url and storage_shared_url out of the settings. Kept: {aside or url}")
        return
    mark = settings.data / MOVED
    if mark.exists():
        fail(f"storage: the records of {settings.data} were moved before", UNREADABLE)
    if not (settings.data / DATABASE).exists():
        fail(f"storage: there is no database in {settings.data}", UNREADABLE)
    if in_use(settings.data / "slots"):
        fail("storage: the service is running on this database: stop it first", UNREADABLE)
    with refusing_to_start():
        with opened_database(settings, url) as database:
            require_schema(database)
        rows = move_to_server(settings, url)
    _verify(settings, rows)
    mark.touch(mode=0o600)


def _verify(settings: "Settings", rows: "Mapping[str, int]") -> None:
    """Walk the audit where it is now, and tell; leaves with one line at a flaw."""
    from tillit_server.audit.chain import chain_secret, verify
    from tillit_server.audit.checkpoints import CheckpointInvalid, known_heads
    from tillit_server.audit.restores import judged
    from tillit_server.wiring import build

    with refusing_to_start():
        installation = build(settings)
    try:
        last = installation.checkpoints.last()
        seen, _ = judged([last] if last else [], installation.restores)
        secret = chain_secret(installation.audit_secret)
        report = verify(installation.services.store.journal, secret, known=known_heads(seen))
    except CheckpointInvalid as error:
        fail(f"storage: copied, but the checkpoint cannot be used: {error}")
    finally:
        installation.close()
    if report.flaw is not None:
        fail(f"storage: copied, but slot {report.flaw.slot}, entry {report.flaw.seq}: {report.flaw.reason}")
    click.echo(", ".join(f"{name}: {count}" for name, count in rows.items()))
    click.echo(f"intact: {report.entries} entries in {len(report.heads)} chains")
