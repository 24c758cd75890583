"""``tillit clients``: register, list and disable clients, also while the service runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tillit_server.cli.client_keys import keys, read_jwks, with_expiry
from tillit_server.cli.installation import installation_options, opened, operator_options
from tillit_server.cli.output import ManyValues, fail, output_option, print_json, print_table

if TYPE_CHECKING:
    from tillit_server.issuer.clients.key_sets import KeySet


@click.group()
def clients() -> None:
    """Clients: who may ask for tokens, and for what."""


clients.add_command(keys)


@clients.command(cls=ManyValues)
@installation_options
@click.option("--id", "client_id", required=True)
@click.option(
    "--jwks",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The client's public keys: a JWK or a JWKS.",
)
@click.option("--jwks-uri", default=None, metavar="URL", help="Where it publishes them itself, instead.")
@click.option(
    "--legal-entity",
    "legal_entities",
    multiple=True,
    required=True,
    metavar="ORGNR",
    help="The enterprise it acts for; repeat for those that delegated to a multi-tenant client.",
)
@click.option("--scope", "scopes", multiple=True, help="One or more.")
@click.option("--grant", "grants", multiple=True, default=("client_credentials",), show_default=True)
@click.option("--name", default="")
@click.option(
    "--profile", type=click.Choice(("fapi2", "helseid", "legacy")), default="fapi2", show_default=True
)
@click.option("--tenancy", type=click.Choice(("single", "multi")), default="single", show_default=True)
@click.option("--child", "children", multiple=True, metavar="ORGNR")
@click.option("--supplier", default=None, metavar="ORGNR")
@click.option(
    "--redirect-uri",
    "redirect_uris",
    multiple=True,
    metavar="URI",
    help="Where a login may return to, to the letter; repeat for more.",
)
@click.option("--post-logout-redirect-uri", "post_logout_redirect_uris", multiple=True, metavar="URI")
@click.option("--native", is_flag=True, help="Its loopback redirect URIs are good with any port.")
@click.option(
    "--audience",
    "audiences",
    multiple=True,
    help="An API that this client is itself: it may introspect and exchange its tokens.",
)
@click.option(
    "--sector-identifier", default=None, help="Clients of one sector see the same person under one sub."
)
@click.option(
    "--id-token-alg", "id_token_signed_response_alg", default="ES256", show_default=True, metavar="ALG"
)
@click.option("--refresh-token-lifetime", type=click.IntRange(min=1), default=None, metavar="SECONDS")
@click.option("--rotate-refresh-tokens", is_flag=True, help="A new refresh token with every use.")
@click.option("--require-signed-request-object", is_flag=True, help="Refuse requests that are not signed.")
@click.option(
    "--attests-without-login",
    is_flag=True,
    help="Its enterprise vouches for practitioners who have not logged in.",
)
@click.option("--allow-rs256", is_flag=True)
@click.option("--separate-dpop-key", is_flag=True, help="Refuse proofs by the authentication key.")
@click.option("--require-typ", is_flag=True, help="Refuse assertions without typ client-authentication+jwt.")
@click.option("--toa-required", is_flag=True)
@click.option("--decision-ref-must-be-uuid", is_flag=True)
@click.option("--department-required", is_flag=True)
@click.option("--purpose-of-use-details-required", is_flag=True)
@click.option(
    "--patient-identifier", type=click.Choice(("forbidden", "optional", "required")), default="optional"
)
@click.option("--replace", is_flag=True, help="Register anew under an id that exists.")
@operator_options
@output_option
def add(
    file: Path | None,
    data: Path | None,
    client_id: str,
    jwks: Path | None,
    jwks_uri: str | None,
    *,
    replace: bool,
    operator: str,
    reason: str,
    output: str,
    scopes: tuple[str, ...],
    **members: Any,
) -> None:
    """Register a client. Every worker knows it within a second."""
    from tillit_server.issuer.clients.client import client_from
    from tillit_server.issuer.clients.registration import ClientExists, register
    from tillit_server.issuer.clients.rules import ClientError

    if not jwks and not jwks_uri:
        fail("clients: --jwks FILE or --jwks-uri URL needed")
    words = [word for value in scopes for word in value.split()]
    try:
        keys = {"keys": read_jwks(jwks) if jwks else (), "jwks_uri": jwks_uri}
        client = client_from({"id": client_id, "scopes": words, **keys, **members})
        with opened(file, data) as installation:
            client = register(
                installation.services, client, replace=replace, operator=operator, reason=reason
            )
            shown = with_expiry(client, installation.services.clock())
    except (ClientError, ClientExists) as error:
        fail(f"clients: {error}")
    if output == "json":
        print_json(shown)
    else:
        keys_at = client.jwks_uri or f"{len(client.keys)} key(s)"
        click.echo(f"{client.id}: registered ({client.profile.name}, {keys_at})")


@clients.command("list")
@installation_options
@output_option
def list_(file: Path | None, data: Path | None, output: str) -> None:
    """List the registered clients, and who is about to be left without a key."""
    from tillit_server.signing.key_moves import instant

    with opened(file, data) as installation:
        found = sorted(installation.services.clients.each(), key=lambda client: client.id)
        now = installation.services.clock()
        published = {client.id: installation.services.key_sets.known_of(client) for client in found}
    shown = {client.id: {**with_expiry(client, now), **_fetched(published[client.id])} for client in found}
    if output == "json":
        print_json(list(shown.values()))
        return

    def keys_end(client_id: str) -> str:
        ends_at, days = shown[client_id]["last_key_expires_at"], shown[client_id]["reminder_days"]
        warning = "" if days is None else f" (in {days} days or less)" if days else " (EXPIRED)"
        return "never" if ends_at is None else instant(ends_at) + warning

    print_table(
        ("id", "profile", "tenancy", "legal entities", "grants", "keys", "last key expires", "state"),
        [
            (
                client.id,
                client.profile.name,
                client.tenancy,
                " ".join(client.legal_entities),
                " ".join(sorted(client.grants)),
                len(client.keys if (key_set := published[client.id]) is None else key_set.keys),
                keys_end(client.id) if key_set is None else _when_fetched(key_set),
                "disabled" if client.disabled else "active",
            )
            for client in found
        ],
    )


@clients.command()
@installation_options
@click.option("--id", "client_id", required=True)
@operator_options
def disable(file: Path | None, data: Path | None, client_id: str, operator: str, reason: str) -> None:
    """Disable a client: invalid_client from now on, in every worker within a second."""
    _switch(file, data, client_id, disabled=True, operator=operator, reason=reason)


@clients.command()
@installation_options
@click.option("--id", "client_id", required=True)
@operator_options
def enable(file: Path | None, data: Path | None, client_id: str, operator: str, reason: str) -> None:
    """Enable a disabled client again."""
    _switch(file, data, client_id, disabled=False, operator=operator, reason=reason)


def _switch(
    file: Path | None, data: Path | None, client_id: str, *, disabled: bool, operator: str, reason: str
) -> None:
    from tillit_server.issuer.clients.registration import UnknownClient, set_disabled

    with opened(file, data) as installation:
        try:
            set_disabled(
                installation.services, client_id, disabled=disabled, operator=operator, reason=reason
            )
        except UnknownClient as error:
            fail(f"clients: {error}")
    click.echo(f"{client_id}: {'disabled' if disabled else 'enabled'}")


def _when_fetched(published: "KeySet") -> str:
    """Of keys that a client publishes: when they were last fetched, and what has failed since."""
    from tillit_server.signing.key_moves import instant

    when = "not fetched" if published.fetched_at is None else f"fetched {instant(published.fetched_at)}"
    return f"{when}; {published.failure}" if published.failure else when


def _fetched(published: "KeySet | None") -> dict[str, Any]:
    return {} if published is None else {"published_keys": published.to_record()}
