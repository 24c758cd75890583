"""How a client's keys follow one another: pure functions from a client to what becomes of it.

A key that a client sends is good at once. What it does to the older ones waits until it is *proven*: until
the client has signed something with it. From then on they live for the overlap, and no longer. So a key that
was lost on its way to the client's disk takes nothing away (docs/decisions/0010-a-new-key-proves-itself.md).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from tillit.protocol.jose import PublicKey
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.clients.keys import BY_CLIENT, BY_OPERATOR, MAX_KEYS, ClientKey, Origin


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """``lifetime``: of a key that a client sends; ``overlap``: of its older keys from then on, seconds."""

    lifetime: int = 31_536_000
    overlap: int = 1_209_600


class KeyRefused(ValueError):
    """The key cannot be one of this client's, or cannot go; the text says why."""


class Added(NamedTuple):
    """A client with one key more, the new key, and those that had to make room."""

    client: Client
    key: ClientKey
    dropped: tuple[ClientKey, ...]


class Proven(NamedTuple):
    """A client with a key proven, that key, and the keys that end sooner now, at ``ends_at``."""

    client: Client
    key: ClientKey
    shortened: tuple[ClientKey, ...]
    ends_at: float


def with_key(
    client: Client, key: PublicKey, *, now: float, expires_at: float | None, origin: Origin
) -> Added:
    """``client`` with ``key``, which must be new to it in name and in substance.

    A client's own keys make room, an operator's never: the expired first, then those that nobody has proven,
    then the oldest. Raises ``KeyRefused``.
    """
    if client.jwks_uri is not None:
        raise KeyRefused("jwks_uri: this client publishes its keys itself (RFC 7591 §2)")
    if any(entry.key.kid == key.kid for entry in client.keys):
        raise KeyRefused("jwk.kid: in use by another key of this client")
    if any(entry.key.thumbprint == key.thumbprint for entry in client.keys):
        raise KeyRefused("jwk: this key is registered already, under another kid")
    new = ClientKey(key, expires_at, origin, now)
    kept, dropped = list(client.keys), []
    while len(kept) >= MAX_KEYS:
        first = _first_to_go(kept, now, origin)
        kept.remove(first)
        dropped.append(first)
    return Added(replace(client, keys=(*kept, new)), new, tuple(dropped))


def with_proof(client: Client, thumbprint: str, *, now: float, overlap: float) -> Proven | None:
    """``client`` now that its key of this thumbprint is known to be in its hands; None if it was before.

    Older keys, an operator's too, end after ``overlap`` seconds or at their own expiry.
    """
    unproven = (entry.key.thumbprint == thumbprint and not entry.proven for entry in client.keys)
    position = next((at for at, found in enumerate(unproven) if found), None)
    if position is None:
        return None
    proven, ends_at = replace(client.keys[position], proven_at=now), now + overlap
    older = client.keys[:position]  # keys are added at the end
    shortened = {entry: replace(entry, expires_at=ends_at) for entry in older if entry.good_at(ends_at)}
    kept = (shortened.get(entry, entry) for entry in older)
    keys = (*kept, proven, *client.keys[position + 1 :])
    return Proven(replace(client, keys=keys), proven, tuple(shortened.values()), ends_at)


def without_key(client: Client, kid: str, *, now: float) -> tuple[Client, ClientKey]:
    """``client`` without its key ``kid``, and that key. Raises ``KeyRefused``."""
    found = next((entry for entry in client.keys if entry.key.kid == kid), None)
    if found is None:
        raise KeyRefused(f"{client.id} has no key {kid}")
    if len(client.keys) == 1:
        raise KeyRefused(
            f"{kid} is the only key of {client.id}: add another first, or shut it out with 'clients disable'"
        )
    kept = tuple(entry for entry in client.keys if entry is not found)
    return replace(client, keys=kept, keys_removed_at=now), found


def _first_to_go(keys: list[ClientKey], now: float, origin: Origin) -> ClientKey:
    expired = [key for key in keys if not key.good_at(now)]
    own = [key for key in keys if key.origin == BY_CLIENT]
    # Whoever is at a terminal says herself which key shall go.
    candidates = expired or ([] if origin == BY_OPERATOR else own)
    if not candidates:
        raise KeyRefused(f"keys: {MAX_KEYS} are registered, and none of them may make room")
    return min(candidates, key=lambda key: key.proven)  # the first of its kind is the oldest
