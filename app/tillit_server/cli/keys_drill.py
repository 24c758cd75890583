"""``tillit keys drill``: rotations, a stolen key and kill -9, rehearsed where nothing can go wrong."""

import os
import random
import shlex
import signal
import sys
import tempfile
from pathlib import Path

import click

from tillit_server.cli.output import UNREADABLE, fail, output_option


@click.command()
@click.option("--rotations", type=click.IntRange(1, 10_000), default=5, show_default=True, help="How many.")
@click.option("--kills", type=click.IntRange(0), default=None, help="With kill -9 inside; else every fifth.")
@click.option("--seed", type=int, default=None, help="Repeat a drill: the number that its report names.")
@click.option(
    "--verifier",
    "verifiers",
    multiple=True,
    metavar="NAME=COMMAND",
    help="A further verifier: a program that answers lines of JSON. May be repeated.",
)
@click.option(
    "--report",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Also write what is printed to a file.",
)
@output_option
def drill(
    rotations: int,
    kills: int | None,
    seed: int | None,
    verifiers: tuple[str, ...],
    file: Path | None,
    output: str,
) -> None:
    """Rotate keys under load on an installation made for it; your own is not touched.

    Clients ask for tokens, and verifiers that are not ours keep the key set for as long as they may. One key
    is stolen and revoked. Leaves with 0 if no verification failed and nothing else was wrong, with 1 if
    something was.
    """
    import orjson

    from tillit_server.rehearsal.drill import Plan, rehearse
    from tillit_server.rehearsal.lines import ProgramEnded
    from tillit_server.rehearsal.report import judged, page
    from tillit_server.rehearsal.scratch import CannotRehearse

    kills = (rotations + 4) // 5 if kills is None else kills
    if kills > rotations:
        fail(f"keys drill: --kills: at most {rotations} of {rotations} rotations", UNREADABLE)
    commands = {}
    for text in verifiers:
        name, _, command = text.partition("=")
        if not (name and command):
            fail("keys drill: --verifier: NAME=COMMAND needed", UNREADABLE)
        commands[name] = tuple(shlex.split(command))
    if file is not None and not os.access(file.parent, os.W_OK):
        fail(f"{file}: cannot be written", UNREADABLE)
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(UNREADABLE))  # what was started is ended, too
    with tempfile.TemporaryDirectory(prefix="tillit-drill-") as scratch:
        try:
            drilled = rehearse(
                Plan(rotations, kills, seed, commands),
                Path(scratch) / "installation",
                lambda text: click.echo(text, err=True),
            )
        except (CannotRehearse, ProgramEnded) as error:
            fail(f"keys drill: broken off: {error}", UNREADABLE)
    report = judged(drilled)
    told = orjson.dumps(report, option=orjson.OPT_INDENT_2).decode() if output == "json" else page(report)
    click.echo(told)
    if file is not None:
        try:
            file.write_text(told + "\n", encoding="utf-8")
        except OSError as error:
            fail(f"{file}: cannot be written ({error.strerror})", UNREADABLE)
    raise SystemExit(0 if report["passed"] else 1)
