"""``tillit keys``: make the master key of a new installation, list the signing keys and their instants."""

from datetime import UTC, datetime
from pathlib import Path

import click

from tillit_server.cli.installation import installation_options, opened, refusing_to_start, settings_of
from tillit_server.cli.output import output_option, print_json, print_table


@click.group()
def keys() -> None:
    """Keys: the master key, and the life of the signing keys."""


@keys.command()
@installation_options
def init(file: Path | None, data: Path | None) -> None:
    """Make the master key where there is none, and a passphrase if its file is missing."""
    from tillit_server.signing.custody import open_custody

    settings = settings_of(file, data)
    with refusing_to_start():
        custody = open_custody(
            settings.keys_directory, passphrase_file=settings.passphrase_of_master_key, make=True
        )
    click.echo(
        f"master key {custody.master_id} in {settings.keys_directory}: back it up, with its passphrase"
    )


@keys.command("list")
@installation_options
@output_option
def list_(file: Path | None, data: Path | None, output: str) -> None:
    """List the signing keys: their state now, and when it changes."""
    with opened(file, data) as installation:
        now = installation.services.clock()
        rows = [
            {
                "kid": entry.kid,
                "alg": entry.alg,
                "state": entry.state(now).value,
                "announced": _instant(entry.announced_at),
                "signs from": _instant(entry.active_from),
                "signs until": _instant(entry.retire_from),
                "gone": _instant(entry.gone_at),
            }
            for entry in installation.services.signer.ring().entries
        ]
    if output == "json":
        print_json(rows)
    else:
        print_table(tuple(rows[0]), [tuple(row.values()) for row in rows])


def _instant(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
