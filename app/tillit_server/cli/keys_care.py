"""``tillit keys doctor`` and ``rewrap``: is everything in order that keys need, and a new passphrase."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tillit_server.cli.installation import installation_options, refusing_to_start, settings_of
from tillit_server.cli.output import output_option, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tillit_server.config import Settings
    from tillit_server.signing.doctor import Finding


@click.command()
@installation_options
@output_option
def doctor(file: Path | None, data: Path | None, output: str) -> None:
    """Look at everything that keys need. One line each; exit code 1 if something is bad. Changes nothing."""
    findings = list(_examine(settings_of(file, data)))
    if output == "json":
        print_json([{"verdict": f.verdict, "what": f.what, "text": f.text} for f in findings])
    else:
        print_table(("verdict", "what", "finding"), [(f.verdict, f.what, f.text) for f in findings])
    raise SystemExit(1 if any(finding.verdict == "BAD" for finding in findings) else 0)


def _examine(settings: "Settings") -> "Iterator[Finding]":
    from tillit_server.clock import make_clock
    from tillit_server.issuer.apis import MAX_TOKEN_LIFETIME
    from tillit_server.signing.custody import CustodyError, open_custody
    from tillit_server.signing.doctor import Finding, examine
    from tillit_server.signing.key_life import Policy
    from tillit_server.storage.ports import StorageRefused, StorageUnavailable
    from tillit_server.storage.ring import RingStore
    from tillit_server.wiring import DATABASE

    passphrase, keys = settings.passphrase_of_master_key, settings.keys_directory
    try:
        custody = open_custody(keys, passphrase_file=passphrase)
    except CustodyError as error:
        yield Finding("BAD", "master key", error.line)
        return
    yield Finding("ok", "master key", f"{custody.master_id}, closed to others, opens with its passphrase")
    if passphrase is not None and passphrase.parent == keys and not settings.dev:
        text = f"{passphrase} lies beside the master key: whoever copies the directory has both"
        yield Finding("look", "passphrase", text)
    path = settings.data / DATABASE
    if not path.exists():
        yield Finding("look", "database", f"{path} is not there yet: the first start makes it")
        return
    clock = make_clock(settings.clock)
    policy = Policy(jwks_max_age=settings.jwks_max_age, longest_token=MAX_TOKEN_LIFETIME)
    try:
        with RingStore(path, clock=clock, timeout=settings.storage_timeout) as view:
            yield from examine(view.records, custody, policy, settings.algorithms, clock())
    except (StorageRefused, StorageUnavailable) as error:
        yield Finding("BAD", "database", " ".join(str(error).split()))


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
    from tillit_server.signing.custody import rewrap_master

    settings = settings_of(file, data)
    with refusing_to_start():
        master = rewrap_master(
            settings.keys_directory, passphrase_file=settings.passphrase_of_master_key, new_file=new
        )
    click.echo(
        f"master key {master} in {settings.keys_directory} opens with {new} now, and with nothing else"
    )
    click.echo("Set passphrase_file to it, on this host and on each that gets a copy; running workers go on.")
