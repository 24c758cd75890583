"""Which installation a command speaks of: the options they share, and opening it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tillit_server.cli.output import UNREADABLE, fail

if TYPE_CHECKING:
    from tillit_server.config import Settings
    from tillit_server.wiring import Installation


def installation_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--data DIR`` (development) or ``--config FILE`` (production)."""
    for option in (
        click.option(
            "--config",
            "file",
            type=click.Path(path_type=Path, dir_okay=False),
            default=None,
            help="Settings file (TOML) of a production installation.",
        ),
        click.option(
            "--data",
            type=click.Path(path_type=Path, file_okay=False),
            default=None,
            help="Directory of a development installation; made where missing.",
        ),
    ):
        function = option(function)
    return function


def operator_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--operator`` and ``--reason``: who changes something and why, for the audit."""
    for option in (
        click.option("--reason", default="", help="Why, for the audit."),
        click.option(
            "--operator", default=lambda: os.environ.get("USER", "unknown"), help="Who, for the audit."
        ),
    ):
        function = option(function)
    return function


def settings_of(file: Path | None, data: Path | None, **flags: Any) -> "Settings":
    """The settings of the installation meant; a directory alone means development mode.

    Leaves with one line per fault.
    """
    from tillit_server.config import SettingsError, load_settings

    if file is None and data is not None:
        flags.setdefault("dev", True)
    try:
        return load_settings(file=file, environment=os.environ, flags={"data": data, **flags})
    except SettingsError as error:
        fail("\n".join(error.faults), UNREADABLE)


@contextmanager
def opened(file: Path | None, data: Path | None) -> Iterator["Installation"]:
    """The installation, built for one command and closed after it.

    Leaves with one line if it cannot be used, or if somebody else changed the same thing meanwhile.
    """
    from tillit_server.storage.ports import Conflict, StorageUnavailable
    from tillit_server.wiring import build

    settings = settings_of(file, data)
    with refusing_to_start():
        installation = build(settings)
    try:
        yield installation
    except StorageUnavailable as error:
        fail(f"tillit: the store cannot be used now: {error}", UNREADABLE)
    except Conflict:
        fail("tillit: changed by somebody else at the same time, nothing was done: try again")
    finally:
        installation.close()


@contextmanager
def refusing_to_start() -> Iterator[None]:
    """Turn whatever makes an installation unusable into one readable line and exit code 2."""
    from tillit_server.wiring import UNUSABLE

    try:
        yield
    except UNUSABLE as error:
        fail(f"tillit: refusing to start: {' '.join(str(error).split())}", UNREADABLE)
