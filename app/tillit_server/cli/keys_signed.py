"""``tillit keys signed``: what a key has signed, from the audit."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tillit_server.cli.installation import installation_options, opened, operator_options
from tillit_server.cli.output import UNREADABLE, fail, output_option, print_json, print_table

if TYPE_CHECKING:
    from tillit_server.audit.log import AuditEntry
    from tillit_server.signing.keyring import KeyRing
    from tillit_server.wiring import Installation

_PAGE = 500
_CLOCKS = 120
"""A chain is in the order of writing; clocks that were set may disagree with it by so many seconds."""
MIN_PREFIX = 6
_HYPHENED = re.compile(r"-[A-Za-z0-9_][A-Za-z0-9_-]{4,}|-[A-Za-z0-9_-]{42}", re.ASCII)
_MARK = "kid:"


def instant(value: str) -> int:
    """A day (its first moment, UTC) or an instant with its offset, as Unix seconds.

    Raises ``click.BadParameter``, also for a time without an offset: nobody knows whose noon it is.
    """
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("2026-11-23 or 2026-11-23T12:00:00Z needed") from None
    if found.tzinfo is None:
        if len(value) > len("2026-11-23"):
            raise click.BadParameter("a time needs its offset, such as 2026-11-23T12:00:00Z or …+01:00")
        found = found.replace(tzinfo=UTC)
    return int(found.timestamp())


class NamesKey(click.Command):
    """A command whose argument is a key's id: base64url, so it may begin with a hyphen as options do."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Mark such an id, so that it is not taken for options."""
        return super().parse_args(ctx, [_MARK + text if _HYPHENED.fullmatch(text) else text for text in args])


@click.command(cls=NamesKey)
@click.argument("kid")
@installation_options
@click.option("--since", type=instant, required=True, help="A day, or an instant with its offset.")
@operator_options
@output_option
def signed(
    kid: str, file: Path | None, data: Path | None, since: int, operator: str, reason: str, output: str
) -> None:
    """List the tokens that a key has signed since a date. Reading is itself recorded."""
    from tillit_server.signing.key_moves import instant

    with opened(file, data) as installation:
        kid = resolve(installation.services.signer.ring(), kid)
        entries = tokens_signed(installation, kid, since, operator=operator, reason=reason)
    names = ("jti", "client_id", "legal_entity", "audience", "expires_at")
    rows = [
        {"at": instant(entry.at), **{name: entry.public.get(name, "") for name in names}} for entry in entries
    ]
    if output == "json":
        print_json(rows)
        return
    for row in rows:
        row["expires_at"] = instant(row["expires_at"])
    print_table(("at", *names), [tuple(row.values()) for row in rows])
    click.echo(f"{len(rows)} token(s) signed by {kid} since {instant(since)}")


def resolve(ring: "KeyRing", text: str) -> str:
    """The whole kid for its first characters, at least six; leaves with one line if none or several fit."""
    text = text.removeprefix(_MARK)
    found = [
        e.kid for e in ring.entries if e.kid == text or (len(text) >= MIN_PREFIX and e.kid.startswith(text))
    ]
    if len(found) != 1:
        fail(f"{text[:64]}: {'several keys' if found else 'no key'} of that name: see keys list", UNREADABLE)
    return found[0]


def tokens_signed(
    installation: "Installation", kid: str, since: float, *, operator: str, reason: str
) -> list["AuditEntry"]:
    """The entries of the tokens that ``kid`` has signed since an instant, in order of time; recorded."""
    from tillit_server.audit.events import AuditRead, TokenIssued

    found = [
        entry
        for head in installation.services.store.journal.heads()
        for entry in _backwards(installation, head.slot, head.seq, since)
        if entry.event == TokenIssued.name and entry.public.get("kid") == kid and entry.at >= since
    ]
    found.sort(key=lambda entry: entry.at)
    installation.services.audit.record(
        AuditRead(operator=operator, reason=reason, query=f"signed by {kid}", entries=len(found))
    )
    return found


def _backwards(installation: "Installation", slot: int, last: int, since: float) -> Iterator["AuditEntry"]:
    """The entries of a chain, newest page first, as far back as ``since``."""
    before = last
    while before:
        after = max(0, before - _PAGE)
        page = installation.services.audit.read(slot, after=after, limit=before - after)
        yield from page
        if page and max(entry.at for entry in page) < since - _CLOCKS:
            return
        before = after
