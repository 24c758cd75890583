"""``tillit serve``: run the service."""

import sys
from pathlib import Path

import click

from tillit_server.cli.installation import installation_options, refusing_to_start, settings_of


@click.command()
@installation_options
@click.option(
    "--dev", is_flag=True, default=None, help="Development mode: loopback only, keys made at run time."
)
@click.option("--port", type=click.IntRange(1, 65535), default=None)
@click.option("--host", default=None)
@click.option("--issuer", default=None, help="Public base URL; in development http://127.0.0.1:PORT.")
@click.option(
    "--management-port", type=click.IntRange(0, 65535), default=None, help="Health and metrics; 0: none."
)
@click.option("--workers", type=int, default=None, help="Worker processes.")
@click.option("--threads", type=int, default=None, help="Threads in each worker.")
@click.option(
    "--clock",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Development: a file with +SECONDS, -SECONDS (offset) or an instant (frozen).",
)
def serve(file: Path | None, data: Path | None, **flags: object) -> None:
    """Serve tokens until stopped (SIGTERM or Ctrl-C)."""
    from tillit_server.serving import serve as run

    settings = settings_of(file, data, **flags)
    if sys.stdout.isatty():
        click.echo(f"tillit: {settings.issuer} ({'development' if settings.dev else 'production'})")
    with refusing_to_start():
        run(settings)
