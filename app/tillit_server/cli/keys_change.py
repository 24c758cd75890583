"""``tillit keys rotate``, ``announce`` and ``revoke``: what will happen is said before anything does."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tillit_server.cli.installation import installation_options, opened, operator_options
from tillit_server.cli.keys_signed import NamesKey, instant, resolve, tokens_signed
from tillit_server.cli.output import UNREADABLE, fail, output_option, print_json

if TYPE_CHECKING:
    from tillit_server.signing.key_moves import Move, Step
    from tillit_server.signing.keyring import KeyRing, NewKey
    from tillit_server.signing.signer import Signer
    from tillit_server.wiring import Installation

SHORT = 10


def change_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What every command shares that changes keys."""
    for option in (
        output_option,
        click.option("--dry-run", is_flag=True, help="Say what would happen, and do nothing."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        operator_options,
        installation_options,
    ):
        function = option(function)
    return function


@click.command()
@change_options
@click.option("--alg", default="ES256", show_default=True, help="Of which algorithm.")
@click.option("--at", type=instant, default=None, help="When; else as soon as the announcement is over.")
def rotate(file: Path | None, data: Path | None, alg: str, at: int | None, **how: Any) -> None:
    """Bring the announced standby into use, and announce the next one. No token fails."""
    from tillit_server.signing.key_moves import Rotate, standby_of
    from tillit_server.signing.timeline import span

    with _opened(file, data, how) as installation:
        signer = installation.services.signer
        standby = standby_of(signer.ring(), alg, installation.services.clock())
        move = Rotate(alg, at, None if standby is None else standby.kid)
        note = "No token fails: each key is published for as long as it is needed."
        if standby is not None and at is not None and at < standby.announced_at + signer.policy.announce:
            note += f" But the standby was published only {span(at - standby.announced_at)} before: "
            note += "whoever keeps the key set for longer, whatever max-age says, will refuse new tokens."
        _change(installation, move, note, how)


@click.command()
@change_options
@click.option("--alg", required=True, help="The algorithm.")
def announce(file: Path | None, data: Path | None, alg: str, **how: Any) -> None:
    """Publish the first keys of an algorithm a day before they may sign."""
    from tillit.protocol.jose import ALGORITHMS
    from tillit_server.signing.key_moves import Announce

    known = (*ALGORITHMS, "RS256")
    if alg not in known:
        fail(f"keys announce: --alg: one of {', '.join(known)} needed", UNREADABLE)
    with _opened(file, data, how) as installation:
        _change(installation, Announce(alg), f"When it may sign, put {alg} into the setting algorithms.", how)


@click.command(cls=NamesKey)
@click.argument("kid")
@change_options
@click.option("--now", "at_once", is_flag=True, help="It was stolen: end it at once, on every host.")
@click.option("--since", type=instant, default=None, help="Also list what it has signed since then.")
def revoke(
    kid: str,
    file: Path | None,
    data: Path | None,
    *,
    at_once: bool,
    since: int | None,
    **how: Any,
) -> None:
    """End a key: no signature by it, not published, its tokens fail. KID: its id, or six characters of it."""
    from tillit_server.signing.key_moves import Revoke, honest_from, instant, standby_of
    from tillit_server.signing.timeline import span

    with _opened(file, data, how) as installation:
        services = installation.services
        kid = resolve(services.signer.ring(), kid)
        policy = services.signer.policy
        note = (
            "Tokens that it signed fail here at once. A document source goes on accepting them until it "
            f"fetches the key set again: within {span(policy.jwks_max_age)} if it heeds max-age, "
            "later if it does not."
        )
        entry = next(e for e in services.signer.ring().entries if e.kid == kid)
        standby = standby_of(services.signer.ring(), entry.alg, services.clock())
        if standby is not None and at_once and services.clock() < honest_from(standby, policy):
            note += (
                f" The standby is young: before {instant(honest_from(standby, policy))} a source that has "
            )
            note += "cached the key set may refuse new tokens."
        since = int(services.clock()) - policy.longest_token if since is None else since
        _change(installation, Revoke(kid, at_once=at_once), note, how, signed_by=kid, since=since)


def _opened(file: Path | None, data: Path | None, how: dict[str, Any]) -> Any:
    if not how["dry_run"] and not how["reason"].strip():
        fail("keys: --reason is needed: it is kept in the audit", UNREADABLE)
    if how["output"] == "json" and not (how["yes"] or how["dry_run"]):
        fail("keys: a program is not asked: --output json needs --yes or --dry-run", UNREADABLE)
    return opened(file, data)


def _change(
    installation: "Installation",
    move: "Move",
    note: str,
    how: dict[str, Any],
    *,
    signed_by: str = "",
    since: int = 0,
) -> None:
    from tillit_server.signing.custody import CustodyError
    from tillit_server.signing.key_moves import IllegalMove

    signer, clock = installation.services.signer, installation.services.clock
    told: dict[str, Any] = {"done": False}
    try:
        before = signer.ring()
        after, steps = _rehearse(signer, before, move, clock())
        told["steps"] = [{"event": s.event, "kid": s.kid, "alg": s.alg, "at": s.at} for s in steps]
        told["warnings"] = _warnings(installation, steps)
        if how["output"] == "text":
            _tell(signer, before, after, steps, clock())
            for line in (note, *told["warnings"]):
                click.echo(line)
        if not how["dry_run"]:
            if not (how["yes"] or click.confirm("Do it?")):
                fail("nothing was done")
            told |= {"done": True, "steps": _do(signer, move, how)}
    except (IllegalMove, CustodyError) as error:
        fail(f"keys: nothing was done: {error}")
    if signed_by:
        entries = tokens_signed(
            installation, signed_by, since, operator=how["operator"], reason=how["reason"] or "rehearsal"
        )
        told["signed"] = [dict(entry.public, at=entry.at) for entry in entries]
    _report(told, signed_by, since, how, clock())


def _warnings(installation: "Installation", steps: "Sequence[Step]") -> list[str]:
    """Sources that have not fetched the key that is brought into use; nobody waits for them."""
    from tillit_server.signing.key_moves import instant

    seen, now = installation.services.key_sources.read(), installation.services.clock()
    return [
        f"WARNING: {source.name} last fetched the key set at {instant(source.fetched_at)}, and has not seen "
        f"{step.kid[:SHORT]}… yet: if it keeps keys for longer than max-age says, it will refuse new tokens."
        for step in steps
        if step.event == "signing.key.rotated"
        for source in seen.lacking(step.kid, now)
    ]


def _do(signer: "Signer", move: "Move", how: dict[str, Any]) -> list[dict[str, Any]]:
    changes = signer.change(move, operator=how["operator"], reason=how["reason"])
    return [{"event": c.event, "kid": c.ident, "alg": c.kind, "at": c.at} for c in changes]


def _rehearse(
    signer: "Signer", ring: "KeyRing", move: "Move", now: float
) -> "tuple[KeyRing, tuple[Step, ...]]":
    """The move on a copy, with keys that are only names."""
    from tillit_server.signing.key_moves import Rules, play
    from tillit_server.signing.keyring import NewKey

    numbers = itertools.count(1)

    def name(_alg: str) -> "NewKey":
        return NewKey(f"(new key {next(numbers)})", {}, "")

    return play(ring, move, now, Rules(signer.policy, signer.algorithms, name))


def _tell(signer: "Signer", before: "KeyRing", after: "KeyRing", steps: "Sequence[Step]", now: float) -> None:
    """What will happen that would not have happened otherwise, in order of time."""
    from tillit_server.signing.key_moves import instant
    from tillit_server.signing.timeline import span, timeline

    words = {
        "announced": "is made and published",
        "revoked": "is revoked: signs no more, leaves the key set, tokens fail",
        "destroyed": "its private half is destroyed",
        "rotated": "signs",
    }

    def say(when: str, alg: str, kid: str, text: str) -> None:
        line = f"  {when:40}  {alg} {kid} {text}"
        for entry in after.entries:
            line = line.replace(entry.kid, entry.kid[:SHORT] + "…") if len(entry.kid) > 2 * SHORT else line
        click.echo(line)

    click.echo("What will happen:")
    for step in steps:
        action = step.event.rpartition(".")[2]
        if action == "announced" or step.at <= now:
            say("at once", step.alg, step.kid, words[action])
    algorithms = sorted(signer.algorithms)
    planned = set(timeline(before, now, signer.policy, algorithms))
    for moment in timeline(after, now, signer.policy, algorithms):
        if moment not in planned and moment.kid:
            when = f"{instant(moment.at)} (in {span(moment.at - now)})"
            say(when, moment.alg, moment.kid, moment.text)


def _report(told: dict[str, Any], signed_by: str, since: int, how: dict[str, Any], now: float) -> None:
    from tillit_server.signing.key_moves import instant

    if how["output"] == "json":
        print_json(told)
        return
    if signed_by:
        alive = sum(entry["expires_at"] > now for entry in told["signed"])
        click.echo(
            f"Signed by it since {instant(since)}: {len(told['signed'])} token(s), "
            f"{alive} of them not yet expired."
        )
        click.echo(f"To list them: tillit keys signed {signed_by} --since {instant(since)}")
    if not told["done"]:
        click.echo("Nothing was done.")
        return
    for step in told["steps"]:
        click.echo(
            f"done: {step['event'].rpartition('.')[2]} {step['alg']} {step['kid']} {instant(step['at'])}"
        )
