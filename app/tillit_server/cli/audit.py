"""``tillit audit``: prove that the record is whole, read it, find a person in it, end a month's retention."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tillit_server.cli.installation import installation_options, opened, operator_options
from tillit_server.cli.output import UNREADABLE, fail, output_option, print_json

if TYPE_CHECKING:
    from tillit_server.audit.log import AuditEntry, AuditLog
    from tillit_server.storage.ports import Head

_PAGE = 500
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])", re.ASCII)


@click.group()
def audit() -> None:
    """The audit: prove that it is whole, read it, search it."""


@audit.command()
@installation_options
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A checkpoint kept elsewhere; repeat for several. The installation's own is always used.",
)
@output_option
def verify(file: Path | None, data: Path | None, checkpoints: tuple[Path, ...], output: str) -> None:
    """Walk every chain and compare it with the checkpoints. Exit code 1 at the first flaw."""
    from tillit_server.audit.chain import chain_secret
    from tillit_server.audit.chain import verify as walk
    from tillit_server.audit.checkpoints import (
        CheckpointInvalid,
        checkpoint_secret,
        known_heads,
        read_checkpoint,
    )
    from tillit_server.audit.restores import judged
    from tillit_server.signing.key_moves import instant

    with opened(file, data) as installation:
        secret = installation.audit_secret
        try:
            own = installation.checkpoints.last()
            kept = [
                read_checkpoint(path.read_text(encoding="utf-8"), checkpoint_secret(secret))
                for path in checkpoints
            ]
        except (CheckpointInvalid, OSError, UnicodeDecodeError) as error:
            fail(f"checkpoint: {error}", UNREADABLE)
        seen, gaps = judged([*([own] if own else []), *kept], installation.restores)
        report = walk(installation.services.store.journal, chain_secret(secret), known=known_heads(seen))
        restores = installation.restores
    flaw = report.flaw
    if output == "json":
        print_json(
            {
                "intact": report.intact and not gaps,
                "entries": report.entries,
                "slots": {str(head.slot): head.seq for head in report.heads},
                "flaw": None if flaw is None else {"slot": flaw.slot, "seq": flaw.seq, "reason": flaw.reason},
                "restores": [{"at": restore.at, "made_at": restore.made_at} for restore in restores],
                "lost": [{"slot": gap.slot, "first": gap.first, "last": gap.last} for gap in gaps],
            }
        )
    elif flaw is not None:
        click.echo(f"NOT INTACT: slot {flaw.slot}, entry {flaw.seq}: {flaw.reason}")
    else:
        for restore in restores:
            click.echo(
                f"restored at {instant(restore.at)} from a backup of {instant(restore.made_at)}: "
                "what was written in between is lost"
            )
        for gap in gaps:
            click.echo(
                f"LOST: slot {gap.slot}, entries {gap.first} to {gap.last}, which a checkpoint has seen"
            )
        word = "NOT WHOLE, what is there is intact" if gaps else "intact"
        click.echo(f"{word}: {report.entries} entries in {len(report.heads)} chains")
    raise SystemExit(0 if report.intact and not gaps else 1)


@audit.command("list")
@installation_options
@click.option("--event", default=None, help="Only events of this name, e.g. issuer.token.refused.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="The newest so many."
)
@operator_options
@output_option
def list_(
    file: Path | None,
    data: Path | None,
    event: str | None,
    limit: int,
    operator: str,
    reason: str,
    output: str,
) -> None:
    """Print the newest entries, without their personal members. Reading is itself recorded."""
    from tillit_server.audit.events import AuditRead

    with opened(file, data) as installation:
        log = installation.services.audit
        found: list[AuditEntry] = []
        for head in installation.services.store.journal.heads():
            found += _newest(log, head, event, limit)
        newest = sorted(found, key=lambda entry: entry.at)[-limit:]
        log.record(AuditRead(operator=operator, reason=reason, query="list", entries=len(newest)))
    _print(newest, output, personal=False)


def _newest(log: "AuditLog", head: "Head", event: str | None, limit: int) -> list["AuditEntry"]:
    """The newest entries of a chain that are of ``event``, or of any; read backwards, a page at a time."""
    found: list[AuditEntry] = []
    before = head.seq
    while before and len(found) < limit:
        after = max(0, before - _PAGE)
        page = log.read(head.slot, after=after, limit=before - after)
        found = [entry for entry in page if event in {None, entry.event}] + found
        before = after
    return found[-limit:]


@audit.command()
@installation_options
@click.option(
    "--person",
    prompt="National identity number",
    hide_input=True,
    help="Asked for when not given, so that it stays out of the shell's history.",
)
@operator_options
@output_option
def find(file: Path | None, data: Path | None, person: str, operator: str, reason: str, output: str) -> None:
    """Print every entry that names a person, personal members opened. The search is itself recorded."""
    from tillit_server.audit.events import AuditRead

    if not reason:
        fail("audit find: --reason is needed", UNREADABLE)
    with opened(file, data) as installation:
        log = installation.services.audit
        entries = log.find_person(person)
        log.record(
            AuditRead(operator=operator, reason=reason, query="person", entries=len(entries), sought=person)
        )
    _print(entries, output, personal=True)


@audit.command("destroy-month")
@installation_options
@click.option("--month", required=True, metavar="YYYY-MM")
@operator_options
def destroy_month(file: Path | None, data: Path | None, month: str, operator: str, reason: str) -> None:
    """End the retention of a month: its personal members become unreadable, the chain stays whole."""
    from tillit_server.audit.log import RetentionRefused

    if not _MONTH.fullmatch(month):
        fail("audit: --month: YYYY-MM needed", UNREADABLE)
    with opened(file, data) as installation:
        try:
            destroyed = installation.services.audit.destroy_month(month, operator=operator, reason=reason)
        except RetentionRefused as error:
            fail(f"audit: {error}")
    click.echo(f"{month}: {destroyed} key(s) destroyed")


def _print(entries: Iterable["AuditEntry"], output: str, *, personal: bool) -> None:
    rows: list[dict[str, Any]] = [
        {
            "at": datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="milliseconds"),
            "slot": entry.slot,
            "seq": entry.seq,
            "event": entry.event,
            **entry.public,
            **({"personal": entry.personal} if personal else {}),
        }
        for entry in entries
    ]
    if output == "json":
        print_json(rows)
        return
    for row in rows:
        members = " ".join(f"{name}={value}" for name, value in row.items() if name not in {"at", "event"})
        click.echo(f"{row['at']}  {row['event']}  {members}")
