"""``tillit demo``."""

import click


@click.command()
def demo() -> None:
    """The main job, once."""
