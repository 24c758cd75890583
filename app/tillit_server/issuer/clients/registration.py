"""Changes to the client registry: each is one compare-and-swap together with its entry in the audit."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace as replaced
from typing import TYPE_CHECKING, Final, NamedTuple

from tillit_server.audit.events import (
    ClientAdded,
    ClientDisabled,
    ClientEnabled,
    ClientKeyAdded,
    ClientKeyRemoved,
    ClientReplaced,
    Event,
)
from tillit_server.issuer.clients.client import KIND, Client, check_installed, client_from
from tillit_server.issuer.clients.keys import BY_OPERATOR, ClientKey
from tillit_server.issuer.clients.renewal import with_key, without_key
from tillit_server.storage.ports import Claim, Conflict, Put, Settlement, StorageUnavailable

if TYPE_CHECKING:
    from tillit_server.issuer.services import Services

_ATTEMPTS: Final = 32


class ClientExists(Exception):
    """A client of this id is registered."""


class UnknownClient(Exception):
    """No client of this id is registered."""


class Change(NamedTuple):
    """What becomes of a client, and what the audit says about it."""

    client: Client
    events: Sequence[Event]


def register(services: "Services", client: Client, *, replace: bool, operator: str, reason: str) -> Client:
    """Write ``client`` and give it as it was written: its new keys are registered now.

    Raises ``ClientExists`` unless ``replace``, ``ClientError`` and ``StorageUnavailable``.
    """
    check_installed(client, services.apis, services.signer.usable(), dev=services.dev)
    now = services.clock()
    keys = tuple(
        key if key.registered_at is not None else replaced(key, registered_at=now) for key in client.keys
    )
    # Replacing takes keys away, and whoever got a token with one of them must not bring it back.
    client = replaced(client, keys=keys, keys_removed_at=now if replace else client.keys_removed_at)
    event = (ClientReplaced if replace else ClientAdded)(
        client_id=client.id, operator=operator, reason=reason, kids=tuple(k.key.kid for k in client.keys)
    )
    put = Put(KIND, client.id, client.to_record(), expect=None if replace else 0)
    try:
        services.store.settle(Settlement(puts=(put,), entries=(services.audit.entry(event),)))
    except Conflict as conflict:
        raise ClientExists(f"{client.id} is registered; --replace registers it anew") from conflict
    return client


def change_client(
    services: "Services",
    client_id: str,
    change: Callable[[Client], Change | None],
    *,
    claims: Sequence[Claim] = (),
) -> Client:
    """Write what ``change`` makes of a client with its entries, in one act; None writes nothing.

    Whoever loses a race against another change is asked again about the client as it is then, so that
    nothing is lost. ``claims`` are spent before, and not if ``change`` refuses at once: with a store in two
    parts a lost race would leave them spent, and the next attempt would be its own replay. Raises
    ``UnknownClient``, ``Conflict`` for a spent claim, ``StorageUnavailable``, and what ``change`` raises.
    """
    unspent = claims
    for _ in range(_ATTEMPTS):
        record = services.store.records.get(KIND, client_id)
        if record is None:
            raise UnknownClient(f"{client_id} is not registered")
        client = client_from(record.value)
        changed = change(client)
        if changed is None:
            return client
        if unspent:
            services.store.settle(Settlement(claims=unspent))
            unspent = ()
        put = Put(KIND, client_id, changed.client.to_record(), expect=record.version)
        entries = tuple(services.audit.entry(event) for event in changed.events)
        try:
            services.store.settle(Settlement(puts=(put,), entries=entries))
        except Conflict:
            continue
        return changed.client
    raise StorageUnavailable("the client is being changed all the time")


def sow(services: "Services", seeds: Iterable[Client]) -> None:
    """Register the seeds that are not registered yet; losing that race to another process is fine."""
    for client in seeds:
        if services.store.records.get(KIND, client.id) is None:
            with suppress(ClientExists):
                register(services, client, replace=False, operator="service", reason="seed")


def set_disabled(services: "Services", client_id: str, *, disabled: bool, operator: str, reason: str) -> None:
    """Disable or enable a client. Raises ``UnknownClient``, ``StorageUnavailable``."""

    def change(client: Client) -> Change:
        event = (ClientDisabled if disabled else ClientEnabled)(
            client_id=client_id, operator=operator, reason=reason, kids=tuple(k.key.kid for k in client.keys)
        )
        return Change(replaced(client, disabled=disabled), (event,))

    change_client(services, client_id, change)


def add_keys(
    services: "Services", client_id: str, keys: Sequence[ClientKey], *, operator: str, reason: str
) -> Client:
    """Register further keys of a client. Raises ``KeyRefused``, ``UnknownClient``, ``StorageUnavailable``."""

    def change(client: Client) -> Change:
        events = []
        for entry in keys:
            added = with_key(
                client, entry.key, now=services.clock(), expires_at=entry.expires_at, origin=BY_OPERATOR
            )
            client = added.client
            events.append(
                ClientKeyAdded(
                    client_id=client_id,
                    kid=entry.key.kid,
                    thumbprint=entry.key.thumbprint,
                    operator=operator,
                    reason=reason,
                    expires_at=entry.expires_at,
                    dropped=tuple(key.key.kid for key in added.dropped),
                )
            )
        return Change(client, events)

    return change_client(services, client_id, change)


def remove_key(services: "Services", client_id: str, kid: str, *, operator: str, reason: str) -> Client:
    """Take a key away: within a second it authenticates nobody in any worker. Raises as ``add_keys``."""

    def change(client: Client) -> Change:
        left, removed = without_key(client, kid, now=services.clock())
        event = ClientKeyRemoved(
            client_id=client_id,
            kid=kid,
            thumbprint=removed.key.thumbprint,
            operator=operator,
            reason=reason,
        )
        return Change(left, (event,))

    return change_client(services, client_id, change)
