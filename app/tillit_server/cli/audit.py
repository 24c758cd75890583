"""``tillit audit``."""

import click


@click.group()
def audit() -> None:
    """The audit: prove that it is whole."""
