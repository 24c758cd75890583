"""``tillit backup`` and ``tillit restore``: a copy of everything that lasts, and the way back."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tillit_server.cli.installation import installation_options, opened, operator_options, settings_of
from tillit_server.cli.output import UNREADABLE, fail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tillit_server.recovery.examining import Examined
    from tillit_server.recovery.manifest import Manifest
    from tillit_server.recovery.restoring import Outcome

CHECKS = (
    "no client was disabled in that time, no key of one removed: tillit clients disable, clients keys remove",
    "no month of the audit was destroyed in that time: tillit audit destroy-month",
    "clients and keys registered in that time are registered again: tillit clients add, clients keys add",
)


@click.command()
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@installation_options
@operator_options
def backup(path: Path, file: Path | None, data: Path | None, operator: str, reason: str) -> None:
    """Copy everything that lasts, as it is at one moment, to a new FILE, while the service runs.

    Secrets are sealed in it. Keep the master key and its passphrase elsewhere: it is worth nothing alone.
    """
    from tillit_server.recovery.backing_up import back_up

    with opened(file, data) as installation, _readably("backup"):
        manifest = back_up(installation, path, operator=operator, reason=reason)
    click.echo(f"{path}: {_said(manifest)}")
    click.echo(
        f"Kept apart from it: the master key {manifest.master}, its passphrase, and the audit's checkpoint."
    )


@click.command()
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--check", is_flag=True, help="Verify and open everything in it, and change nothing.")
@click.option("--replace", "over", is_flag=True, help="Also where there is a store; that one is kept aside.")
@click.option(
    "--audit-from",
    "trail",
    default=None,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The database of the lost store, or a later backup: what ended since ends again.",
)
@click.option(
    "--keep-keys",
    is_flag=True,
    help="You know that no signing key was revoked since; else new ones are made.",
)
@installation_options
@operator_options
def restore(
    path: Path,
    file: Path | None,
    data: Path | None,
    *,
    check: bool,
    over: bool,
    trail: Path | None,
    keep_keys: bool,
    operator: str,
    reason: str,
) -> None:
    """Put the backup FILE back, all of it or nothing. Nothing that was used up or ended revives."""
    from tillit_server.recovery.restoring import Asked, examined
    from tillit_server.recovery.restoring import restore as put_back

    settings = settings_of(file, data)
    if check:
        with _readably("restore"), examined(settings, path) as (archive, found):
            _show(archive.manifest, found)
        raise SystemExit(0 if found.audit.intact else 1)
    if not reason.strip():
        fail("restore: --reason is needed: it is kept in the audit", UNREADABLE)
    with _readably("restore"):
        outcome = put_back(
            settings, path, Asked(operator, reason, over=over, keep_keys=keep_keys, trail=trail)
        )
    _show(outcome.manifest, outcome.examined)
    _tell(outcome)


@contextmanager
def _readably(command: str) -> "Iterator[None]":
    from tillit_server.recovery.manifest import BackupDamaged
    from tillit_server.wiring import UNUSABLE

    try:
        yield
    except (*UNUSABLE, BackupDamaged) as error:
        fail(f"{command}: nothing was done: {' '.join(str(error).split())}", UNREADABLE)


def _said(manifest: "Manifest") -> str:
    from tillit_server.signing.key_moves import instant

    return (
        f"{manifest.rows['record']} records and {manifest.rows['journal']} entries in {len(manifest.heads)} "
        f"chains, as of {instant(manifest.made_at)}; sha256 {manifest.sha256}"
    )


def _show(manifest: "Manifest", found: "Examined") -> None:
    click.echo(f"backup of {manifest.issuer}, release {manifest.release}: {_said(manifest)}")
    flaw = found.audit.flaw
    if flaw is None:
        click.echo(f"it opens: {found.records} records, and the audit is intact")
    else:
        click.echo(f"it opens: {found.records} records, but its audit is NOT INTACT since before the backup:")
        click.echo(f"  slot {flaw.slot}, entry {flaw.seq}: {flaw.reason}")
    if found.same_keys:
        click.echo("signing keys: no later ones were seen on this host, so they go on")
    else:
        click.echo(
            "signing keys: this host has seen later ones, or knows of none; a restore ends those in it"
        )


def _tell(outcome: "Outcome") -> None:
    from tillit_server.signing.key_moves import instant
    from tillit_server.signing.timeline import span

    made_at, at = outcome.manifest.made_at, outcome.at
    click.echo(f"done: restored at {instant(at)}")
    if outcome.aside:
        click.echo(f"What was there is kept: {outcome.aside}")
    click.echo(
        f"LOST: whatever was written between {instant(made_at)} and {instant(at)}, {span(at - made_at)}"
    )
    click.echo("Ended: every login, session, code and refresh token; access tokens of before are inactive.")
    for kid in outcome.ended_keys:
        click.echo(f"Ended: signing key {kid}; document sources fetch the new ones when they meet them")
    for line in outcome.redone:
        click.echo(f"Ended again: {line}")
    trail = outcome.trail
    if trail is not None and trail.entries:
        click.echo(
            f"Read in the audit of the lost store: {trail.entries} entries, until {instant(trail.last_at)}"
        )
        for line in trail.again:
            click.echo(f"LOST: {line}")
    if trail is None or trail.fault:
        why = "" if trail is None else f" (the lost audit was not read to its end: {trail.fault})"
        click.echo(f"See by hand{why} that")
        for line in CHECKS:
            click.echo(f"  {line}")
