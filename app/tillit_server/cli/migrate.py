"""``tillit migrate``: bring the database server to the schema of this release."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tillit_server.cli.installation import installation_options, refusing_to_start, settings_of
from tillit_server.cli.output import UNREADABLE, fail, output_option, print_json

if TYPE_CHECKING:
    from tillit_server.config import Settings


@click.group()
def migrate() -> None:
    """The schema of the database server. The embedded database needs no migration by hand."""


@migrate.command()
@installation_options
def up(file: Path | None, data: Path | None) -> None:
    """Take every step up that is missing, all or none. Running services go on meanwhile."""
    from tillit_server.storage.sql_migrate import migrate_up
    from tillit_server.storage.sql_schema import SCHEMA

    settings, url = server_of(file, data)
    with refusing_to_start():
        schema, _ = _found(settings, url)
        if schema < SCHEMA:
            migrate_up(url)
        now, _ = _found(settings, url)
    click.echo(f"schema {now}" if now == schema else f"schema {schema} -> {now}")


@migrate.command()
@installation_options
@output_option
def status(file: Path | None, data: Path | None, output: str) -> None:
    """Say which schema the database has, and whether this release can use it. Exit code 1 if not."""
    from tillit_server.storage.sql_schema import SCHEMA, UP

    settings, url = server_of(file, data)
    with refusing_to_start():
        schema, floor = _found(settings, url)
    usable = schema >= SCHEMA >= floor
    if output == "json":
        print_json({"schema": schema, "floor": floor, "release": SCHEMA, "usable": usable})
    else:
        remedy = "" if usable else f". {UP}" if schema < SCHEMA else ". Start the newer release"
        click.echo(
            f"schema {schema}, for releases from schema {floor}; this release has {SCHEMA}: "
            f"{'usable' if usable else 'not usable'}{remedy}"
        )
    raise SystemExit(0 if usable else 1)


def server_of(file: Path | None, data: Path | None) -> "tuple[Settings, str]":
    """The settings and the address of their database server; leaves with one line where there is none."""
    settings = settings_of(file, data)
    if not settings.storage_url:
        fail("storage_url is not set: there is no database server, only the embedded database", UNREADABLE)
    return settings, settings.storage_url


def _found(settings: "Settings", url: str) -> tuple[int, int]:
    from tillit_server.backends import opened_database
    from tillit_server.storage.sql_schema import found_schema

    with opened_database(settings, url) as database:
        return found_schema(database)
