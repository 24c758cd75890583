"""``tillit config``: what an installation is set to, and where each value comes from."""

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tillit_server.cli.installation import installation_options, settings_of
from tillit_server.cli.output import output_option, print_json, print_table

if TYPE_CHECKING:
    from tillit_server.config import Settings

_SECRET = re.compile(
    r"(?P<before>://[^/@\s]*?:)\S*(?=@)|(?P<named>(?:password|secret|token)=)[^&\s]*", re.IGNORECASE
)


@click.group()
def config() -> None:
    """The settings: check them, show them."""


@config.command()
@installation_options
def check(file: Path | None, data: Path | None) -> None:
    """Read and check all settings; every fault is a line. Exit code 2 if there is one."""
    settings = settings_of(file, data)
    click.echo(f"ok: {settings.issuer} ({'development' if settings.dev else 'production'})")


@config.command()
@installation_options
@click.option("--origin", is_flag=True, help="Also tell where each value comes from.")
@output_option
def show(file: Path | None, data: Path | None, output: str, *, origin: bool) -> None:
    """Show every setting as it holds. Passwords in addresses are masked."""
    settings = settings_of(file, data)
    rows = list(_rows(settings, file, data))
    if output == "json":
        print_json({name: {"value": value, "origin": of} if origin else value for name, value, of in rows})
    else:
        head = ("setting", "value", "origin") if origin else ("setting", "value")
        print_table(head, [row[: len(head)] for row in rows])


def _rows(settings: "Settings", file: Path | None, data: Path | None) -> Iterator[tuple[str, str, str]]:
    import dataclasses

    from tillit_server.config import ENVIRONMENT_PREFIX

    # It could be read a moment ago.
    in_file = {} if file is None else tomllib.loads(file.read_text(encoding="utf-8"))
    flags = {"data": data, "dev": True if file is None and data is not None else None}
    for member in dataclasses.fields(settings):
        value = getattr(settings, member.name)
        variable = ENVIRONMENT_PREFIX + member.name.upper()
        if flags.get(member.name) is not None:
            origin = "flag"
        elif variable in os.environ:
            origin = f"environment {variable}"
        elif member.name in in_file:
            origin = f"file {file}"
        elif value == member.default:
            origin = "default"
        else:
            origin = "default of development mode"
        yield member.name, masked(_text(value)), origin


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def masked(text: str) -> str:
    """``text`` without the passwords that an address may hold."""
    return _SECRET.sub(lambda found: f"{found['before'] or found['named']}***", text)
