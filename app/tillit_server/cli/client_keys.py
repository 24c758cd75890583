"""``tillit clients keys``: the keys of one client, seen, added and taken away while the service runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tillit_server.cli.installation import installation_options, opened, operator_options
from tillit_server.cli.keys_signed import instant as as_seconds
from tillit_server.cli.output import UNREADABLE, fail, output_option, print_json, print_table

if TYPE_CHECKING:
    from tillit_server.issuer.clients.client import Client
    from tillit_server.issuer.clients.keys import ClientKey

_client = click.option("--id", "client_id", required=True, help="The client.")


@click.group()
def keys() -> None:
    """Keys of a client: several at once, each with its own end."""


@keys.command("list")
@installation_options
@_client
@output_option
def list_(file: Path | None, data: Path | None, client_id: str, output: str) -> None:
    """List the keys of a client: where each comes from, when it ends, when it was last used.

    The last use is sampled: workers write down once a minute what they have seen.
    """
    from tillit_server.issuer.clients.use import last_uses
    from tillit_server.signing.key_moves import instant

    def shown(at: float | None, without: str) -> str:
        return without if at is None else instant(at)

    with opened(file, data) as installation:
        services = installation.services
        client, now = services.clients.find(client_id), services.clock()
        uses = last_uses(services.store.records)
    if client is None:
        fail(f"clients: {client_id} is not registered")
    found = [(entry, uses.get((client_id, entry.key.thumbprint))) for entry in client.keys]
    if output == "json":
        more = [{"thumbprint": entry.key.thumbprint, "last_used_at": at} for entry, at in found]
        print_json([{**entry.to_record(), **also} for (entry, _), also in zip(found, more, strict=True)])
        return
    print_table(
        ("kid", "origin", "registered", "expires", "last used", "state"),
        [
            (
                entry.key.kid,
                entry.origin,
                shown(entry.registered_at, ""),
                shown(entry.expires_at, "never"),
                shown(at, "not seen"),
                _state(entry, now),
            )
            for entry, at in found
        ],
    )


@keys.command()
@installation_options
@_client
@click.option(
    "--jwks",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Its further public keys: a JWK or a JWKS.",
)
@click.option(
    "--expires",
    type=as_seconds,
    default=None,
    help="A day, or an instant with its offset, from which they authenticate nobody; else never.",
)
@operator_options
def add(
    file: Path | None,
    data: Path | None,
    client_id: str,
    jwks: Path,
    expires: int | None,
    *,
    operator: str,
    reason: str,
) -> None:
    """Add keys to those a client has. Every worker knows them within a second."""
    from tillit_server.issuer.clients.keys import read_keys
    from tillit_server.issuer.clients.registration import UnknownClient, add_keys
    from tillit_server.issuer.clients.renewal import KeyRefused
    from tillit_server.issuer.clients.rules import ClientError

    with opened(file, data) as installation:
        services = installation.services
        client = services.clients.find(client_id)
        if client is None:
            fail(f"clients: {client_id} is not registered")
        if expires is not None and expires <= services.clock():
            fail("clients: --expires has passed already")
        try:
            bare = [{**jwk, "exp": expires} if isinstance(jwk, dict) else jwk for jwk in read_jwks(jwks)]
            new = read_keys(bare, client.algorithms)
            add_keys(services, client_id, new, operator=operator, reason=reason)
        except (ClientError, KeyRefused, UnknownClient) as error:
            fail(f"clients: {error}")
    click.echo(f"{client_id}: added {' '.join(entry.key.kid for entry in new)}")


@keys.command()
@installation_options
@_client
@click.option("--kid", required=True, help="The key, by its name in the list.")
@operator_options
def remove(
    file: Path | None, data: Path | None, client_id: str, kid: str, *, operator: str, reason: str
) -> None:
    """Take a key away: within a second it authenticates nobody, in every worker.

    Tokens that were got with it live to their end; `clients disable` shuts them out too.
    """
    from tillit_server.issuer.clients.registration import UnknownClient, remove_key
    from tillit_server.issuer.clients.renewal import KeyRefused

    with opened(file, data) as installation:
        try:
            remove_key(installation.services, client_id, kid, operator=operator, reason=reason)
        except (KeyRefused, UnknownClient) as error:
            fail(f"clients: {error}")
    click.echo(f"{client_id}: removed {kid}")


def with_expiry(client: "Client", now: float) -> dict[str, Any]:
    """A client as it is printed for programs: its record, its last key's end, and which reminder is due."""
    from tillit_server.issuer.clients.expiry import last_expiry, reminder

    record = client.to_record()
    ends_at = last_expiry(record)
    return {**record, "last_key_expires_at": ends_at, "reminder_days": reminder(ends_at, now)}


def read_jwks(path: Path) -> list[Any]:
    """The keys in a file that holds a JWK or a JWKS; leaves with one line if it does not."""
    from tillit.protocol.errors import Rejected
    from tillit.protocol.gate import read_json

    try:
        document = read_json(path.read_bytes())
    except OSError as error:
        fail(f"{path}: cannot be read ({type(error).__name__})", UNREADABLE)
    except Rejected as error:
        fail(f"{path}: {error}", UNREADABLE)
    found = document.get("keys", [document]) if isinstance(document, dict) else None
    if not isinstance(found, list):
        fail(f"{path}: a JWK or a JWKS needed", UNREADABLE)
    return found


def _state(entry: "ClientKey", now: float) -> str:
    if not entry.good_at(now):
        return "expired"
    return "good" if entry.proven else "good, never used"
