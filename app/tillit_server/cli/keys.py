"""``tillit keys``: the master key, the signing keys and their instants, and what may be done to them."""

from pathlib import Path
from typing import Any

import click

from tillit_server.cli.installation import installation_options, opened, refusing_to_start, settings_of
from tillit_server.cli.keys_care import doctor
from tillit_server.cli.keys_change import announce, revoke, rotate
from tillit_server.cli.keys_drill import drill
from tillit_server.cli.keys_master import renew_master, rewrap
from tillit_server.cli.keys_signed import signed
from tillit_server.cli.output import fail, output_option, print_json, print_table


@click.group()
def keys() -> None:
    """Keys: the master key, and the life of the signing keys."""


for command in (rotate, announce, revoke, signed, doctor, rewrap, renew_master, drill):
    keys.add_command(command)


@keys.command()
@installation_options
def init(file: Path | None, data: Path | None) -> None:
    """Make the master key where there is none, and a passphrase if its file is missing."""
    from tillit_server.signing.custody import open_custody

    settings = settings_of(file, data)
    with refusing_to_start():
        custody = open_custody(
            settings.keys_directory, passphrase_file=settings.passphrase_of_master_key, make=True
        )
    click.echo(
        f"master key {custody.master_id} in {settings.keys_directory}: back it up, with its passphrase"
    )


@keys.command("list")
@installation_options
@output_option
def list_(file: Path | None, data: Path | None, output: str) -> None:
    """List the signing keys: their state now, when it changes, and which document source has seen which."""
    from tillit_server.signing.key_moves import instant

    def shown(at: float | None) -> str:
        return "" if at is None else instant(at)

    with opened(file, data) as installation:
        now = installation.services.clock()
        seen = installation.services.key_sources.read()
        rows: list[dict[str, Any]] = [
            {
                "kid": entry.kid,
                "alg": entry.alg,
                "custody": entry.custody,
                "state": "revoked" if entry.revoked_at is not None and entry.revoked_at <= now else state,
                "announced": shown(entry.announced_at),
                "signs from": shown(entry.active_from),
                "signs until": shown(entry.retire_from),
                "gone": shown(entry.gone_at if entry.revoked_at is None else entry.revoked_at),
            }
            for entry in installation.services.signer.ring().entries
            for state in (entry.state(now).value,)
        ]
    sightings = [
        (source.name, instant(source.fetched_at), row["kid"], *map(instant, source.keys[row["kid"]]))
        for source in seen.sources
        for row in rows
        if row["kid"] in source.keys
    ]
    if output == "json":
        for row in rows:
            row["seen by"] = [
                {"source": name, "first": first, "last": last}
                for name, _, kid, first, last in sightings
                if kid == row["kid"]
            ]
        print_json(rows)
        return
    print_table(tuple(rows[0]), [tuple(row.values()) for row in rows])
    if sightings:
        click.echo("\nWho says to have fetched them; what a cache in between answers is not seen:")
        print_table(("source", "last fetch", "kid", "first seen", "last seen"), sightings)
    if seen.unknown:
        click.echo(f"{seen.unknown} fetch(es) gave the name of a source that is not registered.")


@keys.command()
@installation_options
@click.option(
    "--svg", "drawing", type=click.Path(path_type=Path, dir_okay=False), help="Draw the time line to a file."
)
@output_option
def schedule(file: Path | None, data: Path | None, drawing: Path | None, output: str) -> None:
    """Say what will happen to the keys and when, if nobody does anything."""
    from tillit_server.signing.key_moves import instant
    from tillit_server.signing.timeline import span, timeline
    from tillit_server.signing.timeline_svg import draw

    with opened(file, data) as installation:
        signer, now = installation.services.signer, installation.services.clock()
        ring = signer.ring()
        moments = timeline(ring, now, signer.policy, sorted(signer.algorithms))
    if drawing is not None:
        try:
            drawing.write_text(draw(ring, now), encoding="utf-8")
        except OSError as error:
            fail(f"{drawing}: cannot be written ({error.strerror})")
    rows: list[dict[str, Any]] = [
        {"when": instant(m.at), "in": span(m.at - now), "alg": m.alg, "kid": m.kid, "what": m.text}
        for m in moments
    ]
    if output == "json":
        print_json(
            [{**row, "in": m.at - int(now), "event": m.what} for row, m in zip(rows, moments, strict=True)]
        )
    else:
        print_table(("when", "in", "alg", "kid", "what"), [tuple(row.values()) for row in rows])


@keys.command("export-public")
@installation_options
@click.option("--archive", is_flag=True, help="The keys that are published no longer, for reading old logs.")
def export_public(file: Path | None, data: Path | None, *, archive: bool) -> None:
    """Print the public keys as a JWK set (RFC 7517): the published ones, or the archive."""
    with opened(file, data) as installation:
        signer, now = installation.services.signer, installation.services.clock()
        print_json(signer.expired_jwks(now) if archive else signer.jwks(now))
