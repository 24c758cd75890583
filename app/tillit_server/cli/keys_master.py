"""``tillit keys rewrap`` and ``renew-master``: a new passphrase, or a new master key."""

from pathlib import Path

import click

from tillit_server.cli.installation import (
    installation_options,
    opened,
    operator_options,
    refusing_to_start,
    settings_of,
)
from tillit_server.cli.output import UNREADABLE, fail


@click.command()
@installation_options
@click.option(
    "--new-passphrase-file",
    "new",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file of the new passphrase; made, with a random one, where it is missing.",
)
def rewrap(file: Path | None, data: Path | None, new: Path) -> None:
    """Wrap the master key under a new passphrase. The key stays the same, so nothing else changes."""
    from tillit_server.signing.master_key import rewrap_master

    settings = settings_of(file, data)
    with refusing_to_start():
        master = rewrap_master(
            settings.keys_directory, passphrase_file=settings.passphrase_of_master_key, new_file=new
        )
    click.echo(
        f"master key {master} in {settings.keys_directory} opens with {new} now, and with nothing else"
    )
    click.echo("Set passphrase_file to it, on this host and on each that gets a copy; running workers go on.")


@click.command("renew-master")
@installation_options
@click.option("--prepare", is_flag=True, help="Only make the new key, to be given to the other hosts first.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@operator_options
def renew_master(
    file: Path | None, data: Path | None, *, prepare: bool, yes: bool, operator: str, reason: str
) -> None:
    """Seal everything with a new master key. Go on with the same command if it was interrupted."""
    from tillit_server.signing.custody import CustodyError
    from tillit_server.signing.master_key import NEXT_FILE, make_next
    from tillit_server.signing.renewal import renew

    if not (prepare or reason.strip()):
        fail("keys: --reason is needed: it is kept in the audit", UNREADABLE)
    settings = settings_of(file, data)
    path = settings.keys_directory / NEXT_FILE
    with refusing_to_start():
        master = make_next(settings.keys_directory, settings.passphrase_of_master_key)
    click.echo(f"master key {master} waits in {path}; nothing is sealed with it before you say so")
    if prepare:
        click.echo("Back it up, copy it to the same place on every host, then run this without --prepare.")
        return
    click.echo("A host that has not got a copy of it signs nothing from then on, until it gets one.")
    if not (yes or click.confirm("Seal both rings with it?")):
        fail("nothing was done")
    with opened(file, data) as installation:
        services = installation.services
        try:
            renew(
                installation.custody,
                services.store.records,
                installation.secrets,
                services.signer,
                operator=operator,
                reason=reason,
            )
        except CustodyError as error:
            fail(f"keys: not finished, run it again: {error}")
    click.echo(f"everything is sealed with master key {master} now; here it is master.key")
    click.echo("Keep the old one with the backups of the database that were made before, and nowhere else.")
