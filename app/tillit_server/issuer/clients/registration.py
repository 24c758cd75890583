"""Changes to the client registry: each is one compare-and-swap together with its entry in the audit."""

from dataclasses import replace as replaced

from tillit_server.audit.events import ClientAdded, ClientDisabled, ClientEnabled, ClientReplaced
from tillit_server.issuer.clients.client import KIND, Client, check_installed, client_from
from tillit_server.issuer.services import Services
from tillit_server.storage.ports import Conflict, Put, Settlement


class ClientExists(Exception):  # noqa: N818 (a state of the registry)
    """A client of this id is registered."""


class UnknownClient(Exception):  # noqa: N818 (a state of the registry)
    """No client of this id is registered."""


def register(services: Services, client: Client, *, replace: bool, operator: str, reason: str) -> Client:
    """Write ``client`` and give it as it was written: its new keys are registered now.

    Raises ``ClientExists`` unless ``replace``, ``ClientError`` and ``StorageUnavailable``.
    """
    check_installed(client, services.apis, services.signer.usable(), dev=services.dev)
    now = services.clock()
    keys = tuple(
        key if key.registered_at is not None else replaced(key, registered_at=now) for key in client.keys
    )
    client = replaced(client, keys=keys)
    event = (ClientReplaced if replace else ClientAdded)(
        client_id=client.id, operator=operator, reason=reason, kids=tuple(k.key.kid for k in client.keys)
    )
    put = Put(KIND, client.id, client.to_record(), expect=None if replace else 0)
    try:
        services.store.settle(Settlement(puts=(put,), entries=(services.audit.entry(event),)))
    except Conflict as conflict:
        raise ClientExists(f"{client.id} is registered; --replace registers it anew") from conflict
    return client


def set_disabled(services: Services, client_id: str, *, disabled: bool, operator: str, reason: str) -> None:
    """Disable or enable a client. Raises ``UnknownClient``, ``StorageUnavailable``."""
    record = services.store.records.get(KIND, client_id)
    if record is None:
        raise UnknownClient(f"{client_id} is not registered")
    client = replaced(client_from(record.value), disabled=disabled)
    event = (ClientDisabled if disabled else ClientEnabled)(
        client_id=client_id, operator=operator, reason=reason, kids=tuple(k.key.kid for k in client.keys)
    )
    services.store.settle(
        Settlement(
            puts=(Put(KIND, client_id, client.to_record(), expect=record.version),),
            entries=(services.audit.entry(event),),
        )
    )
