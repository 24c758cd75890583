"""``tillit keys doctor``: is everything in order that keys need."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tillit_server.cli.installation import installation_options, settings_of
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
    show_findings(list(examine_keys(settings_of(file, data))), output)


def show_findings(findings: "list[Finding]", output: str) -> None:
    """Tell what was found, and leave with exit code 1 if something is bad."""
    if output == "json":
        print_json([{"verdict": f.verdict, "what": f.what, "text": f.text} for f in findings])
    else:
        print_table(("verdict", "what", "finding"), [(f.verdict, f.what, f.text) for f in findings])
    raise SystemExit(1 if any(finding.verdict == "BAD" for finding in findings) else 0)


def examine_keys(settings: "Settings") -> "Iterator[Finding]":
    """The findings about keys, and about the store as far as their rings lie in it."""
    from tillit_server.backends import opened_ring
    from tillit_server.clock import make_clock
    from tillit_server.issuer.apis import MAX_TOKEN_LIFETIME
    from tillit_server.signing.custody import CustodyError, open_custody
    from tillit_server.signing.doctor import Finding, examine
    from tillit_server.signing.key_life import Policy
    from tillit_server.signing.key_stores import open_key_stores
    from tillit_server.signing.master_key import NEXT_FILE
    from tillit_server.storage.ports import StorageRefused, StorageUnavailable
    from tillit_server.storage.sqlite_file import DATABASE

    passphrase, keys = settings.passphrase_of_master_key, settings.keys_directory
    try:
        custody = open_custody(keys, passphrase_file=passphrase)
    except CustodyError as error:
        yield Finding("BAD", "master key", error.line)
        return
    try:
        stores = open_key_stores(custody, settings.custody, settings.token_place)
    except CustodyError as error:
        yield Finding("BAD", "pkcs11 token", error.line)
        return
    yield Finding("ok", "master key", f"{custody.master_id}, closed to others, opens with its passphrase")
    if following := custody.next_id:
        text = f"{following} waits in {keys / NEXT_FILE}: tillit keys renew-master seals with it"
        yield Finding("look", "next master key", text)
    if passphrase is not None and passphrase.parent == keys and not settings.dev:
        text = f"{passphrase} lies beside the master key: whoever copies the directory has both"
        yield Finding("look", "passphrase", text)
    path = settings.data / DATABASE
    if not settings.storage_url and not path.exists():
        yield Finding("look", "database", f"{path} is not there yet: the first start makes it")
        return
    clock = make_clock(settings.clock)
    policy = Policy(jwks_max_age=settings.jwks_max_age, longest_token=MAX_TOKEN_LIFETIME)
    try:
        with opened_ring(settings, clock) as view:
            now, algorithms = clock(), settings.algorithms
            yield from examine(view.records, custody, policy, algorithms, now, stores=stores)
    except (StorageRefused, StorageUnavailable) as error:
        yield Finding("BAD", "database", " ".join(str(error).split()))
