"""``tillit storage``: from the embedded database to the servers."""

from pathlib import Path

import click

from tillit_server.cli.installation import installation_options, refusing_to_start
from tillit_server.cli.migrate import server_of
from tillit_server.cli.output import UNREADABLE, fail


@click.group()
def storage() -> None:
    """Where the installation keeps what must be remembered."""


@storage.command()
@installation_options
def copy(file: Path | None, data: Path | None) -> None:
    """Move records and audit from the data directory to the server that storage_url names.

    All of it or nothing, while the service is stopped; then the audit is verified on the server. The embedded
    database stays as it was, marked as moved.
    """
    from tillit_server.audit.chain import chain_secret, verify
    from tillit_server.audit.checkpoints import CheckpointInvalid, known_heads
    from tillit_server.audit.slots import in_use
    from tillit_server.backends import DATABASE, MOVED, opened_database
    from tillit_server.storage.copying import copy_to_server
    from tillit_server.storage.sql_schema import require_schema
    from tillit_server.wiring import build

    settings, url = server_of(file, data)
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
        rows = copy_to_server(settings.data / DATABASE, url)
        installation = build(settings)
    try:
        last = installation.checkpoints.last()
        known = known_heads([last] if last else [])
        secret = chain_secret(installation.audit_secret)
        report = verify(installation.services.store.journal, secret, known=known)
    except CheckpointInvalid as error:
        fail(f"storage: copied, but the checkpoint cannot be used: {error}")
    finally:
        installation.close()
    if report.flaw is not None:
        fail(f"storage: copied, but slot {report.flaw.slot}, entry {report.flaw.seq}: {report.flaw.reason}")
    mark.touch(mode=0o600)
    click.echo(", ".join(f"{name}: {count}" for name, count in rows.items()))
    click.echo(f"intact: {report.entries} entries in {len(report.heads)} chains")
