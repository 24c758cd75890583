"""How commands speak: a table for people, JSON for programs, one line for what went wrong."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import click
import orjson

UNREADABLE = 2


def output_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--output text|json``, the same for every command that prints data."""
    return click.option(
        "--output", type=click.Choice(("text", "json")), default="text", help="For people, or for programs."
    )(function)


def print_json(value: Any) -> None:
    """``value`` as indented JSON on standard output."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Left-aligned columns, two blanks apart."""
    lines = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def fail(message: str, code: int = 1) -> NoReturn:
    """Say what is wrong in one line on standard error and leave with ``code``."""
    click.echo(message, err=True)
    raise SystemExit(code)


class ManyValues(click.Command):
    """A command whose repeatable options take several values: ``--scope a b`` is ``--scope a --scope b``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option before each further value."""
        repeatable = {
            name for option in self.params if getattr(option, "multiple", False) for name in option.opts
        }
        spread: list[str] = []
        current: str | None = None
        for argument in args:
            if argument.startswith("-"):
                current = argument if argument in repeatable else None
            elif current is not None and spread[-1] != current:
                spread.append(current)
            spread.append(argument)
        return super().parse_args(ctx, spread)
