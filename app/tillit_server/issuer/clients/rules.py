"""What a registration may say: each fault is one line that names the member."""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from tillit.outbound.addresses import Reach
from tillit.protocol.errors import Rejected
from tillit.protocol.scope import parse_scope
from tillit_server.issuer.apis import ApiRegistry
from tillit_server.issuer.clients.redirecting import fault_of, is_loopback
from tillit_server.signing.key_moves import instant

if TYPE_CHECKING:
    from tillit_server.issuer.clients.client import Client

GRANTS: Final = frozenset(
    {
        "client_credentials",
        "authorization_code",
        "refresh_token",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    }
)
ORGANISATION_NUMBER: Final = re.compile(r"[0-9]{9}", re.ASCII)
MAX_REFRESH_LIFETIME: Final = 31_536_000
_LOGIN = "authorization_code"


class ClientError(ValueError):
    """A client cannot be registered; the message names the member at fault."""


def faults_of(client: "Client") -> Iterator[str]:
    """What is wrong with ``client`` wherever it is registered."""
    yield from _organisations(client)
    if not client.grants or not client.grants <= GRANTS:
        yield f"grants: one or more of {', '.join(sorted(GRANTS))} needed"
    yield from _published_keys(client, dev=True)
    removed = client.keys_removed_at
    if removed is not None and type(removed) not in {int, float}:
        yield "keys_removed_at: Unix seconds needed"
    if client.patient_identifier not in {"forbidden", "optional", "required"}:
        yield "patient_identifier: forbidden, optional or required"
    if not all(map(_is_scope, client.scopes)):
        yield "scopes: not a scope token (RFC 6749 §3.3)"
    yield from _login(client)


def faults_here(
    client: "Client", apis: ApiRegistry, signing: Mapping[str, int | None], *, dev: bool
) -> Iterator[str]:
    """What means nothing in an installation with these APIs and signing algorithms, or not yet.

    ``signing``: None for an algorithm that signs now, else the instant from which it will.
    """
    for name, known in (("scopes", apis.knows), ("audiences", apis.by_audience.__contains__)):
        for value in sorted(getattr(client, name)):
            if not known(value):
                yield f"{name}: {value} is in no API definition"
    if _LOGIN in client.grants and (fault := unusable(client.id_token_signed_response_alg, signing)):
        yield f"id_token_signed_response_alg: {fault}"
    yield from _published_keys(client, dev=dev)
    if not dev and client.profile.development_only:
        yield f"profile: {client.profile.name} is for development mode"
    if not dev and not client.native and any(map(is_loopback, client.redirect_uris)):
        yield "redirect_uris: loopback is for native clients and development mode"


def unusable(alg: str, signing: Mapping[str, int | None]) -> str:
    """Why nobody may ask for ``alg``, in one line; empty if anybody may."""
    if alg not in signing:
        return f"{alg} is not among the enabled algorithms"
    at = signing[alg]
    return "" if at is None else f"{alg} is announced and signs from {instant(at)}; ask for it then"


def _published_keys(client: "Client", *, dev: bool) -> Iterator[str]:
    """Where the address leads is judged at each fetch; here, whether it can be one at all."""
    if client.jwks_uri is not None and (fault := Reach(plain_loopback=dev).fault_of(client.jwks_uri)):
        yield f"jwks_uri: {fault}"


def _organisations(client: "Client") -> Iterator[str]:
    if client.tenancy not in {"single", "multi"}:
        yield "tenancy: single or multi needed"
    if not client.legal_entities or (client.tenancy == "single" and len(client.legal_entities) != 1):
        yield "legal_entities: exactly one for a single-tenant client, at least one for multi"
    numbers = [*client.legal_entities, *client.children, *([client.supplier] if client.supplier else [])]
    if not all(isinstance(number, str) and ORGANISATION_NUMBER.fullmatch(number) for number in numbers):
        yield "legal_entities, children, supplier: organisation numbers of nine digits needed"


def _login(client: "Client") -> Iterator[str]:
    for name in ("redirect_uris", "post_logout_redirect_uris"):
        for position, uri in enumerate(getattr(client, name)):
            if fault := fault_of(uri):
                yield f"{name}[{position}]: {fault}"
    if _LOGIN in client.grants and not client.redirect_uris:
        yield f"redirect_uris: one or more needed for {_LOGIN}"
    sector, lifetime = client.sector_identifier, client.refresh_token_lifetime
    if sector is not None and not (isinstance(sector, str) and sector):
        yield "sector_identifier: text needed"
    if lifetime is not None and (type(lifetime) is not int or not 1 <= lifetime <= MAX_REFRESH_LIFETIME):
        yield f"refresh_token_lifetime: 1 to {MAX_REFRESH_LIFETIME} seconds"


def _is_scope(scope: str) -> bool:
    try:
        return parse_scope(scope) == (scope,)
    except Rejected:
        return False
