"""What has ended since a backup ends again in the restored installation, before anybody uses it."""

from collections.abc import Collection, Iterator
from contextlib import suppress

from tillit_server.issuer.clients.registration import UnknownClient, remove_key, set_disabled
from tillit_server.issuer.clients.renewal import KeyRefused
from tillit_server.issuer.services import Services
from tillit_server.recovery.afterwards import Trail
from tillit_server.signing.key_moves import IllegalMove, Revoke
from tillit_server.signing.keyring import State
from tillit_server.signing.signer import Signer
from tillit_server.storage.ports import StorageRefused

_REASON = "ended after the backup that was restored"
_IN_ORDER = (State.ACTIVE, State.ANNOUNCED, State.RETIRING)


def end_keys(signer: Signer, now: float, operator: str, *, only: Collection[str] | None) -> tuple[str, ...]:
    """Revoke the signing keys that sign or are published, those in ``only`` if it is given; which they were.

    New ones take over at once. Raises ``StorageRefused`` when there can be none, ``StorageUnavailable``.
    """
    alive = [entry for entry in signer.ring().entries if entry.state(now) in _IN_ORDER]
    alive.sort(key=lambda entry: _IN_ORDER.index(entry.state(now)))
    ended = tuple(entry.kid for entry in alive if only is None or entry.kid in only)
    for kid in ended:
        try:
            signer.change(Revoke(kid, at_once=True), operator=operator, reason=_REASON)
        except IllegalMove as error:
            raise StorageRefused(f"a signing key cannot be ended: {error}", "Nothing was restored") from error
    return ended


def end_again(services: Services, trail: Trail, operator: str) -> Iterator[str]:
    """Disable clients, remove their keys, destroy months of the audit as the trail says; a line for each."""
    for client_id, kid in sorted(key for key, removed in trail.removed.items() if removed):
        with suppress(UnknownClient):
            try:
                remove_key(services, client_id, kid, operator=operator, reason=_REASON)
            except KeyRefused:
                # Not there; or its only key here, since the one that followed it is lost.
                if _has_key(services, client_id, kid):
                    trail.replaced.add(client_id)
            else:
                yield f"client {client_id}: key {kid} removed"
    shut = {client_id for client_id, disabled in trail.disabled.items() if disabled}
    for client_id in sorted(shut | trail.replaced):
        with suppress(UnknownClient):
            set_disabled(services, client_id, disabled=True, operator=operator, reason=_REASON)
            why = "" if client_id in shut else ", because its keys were changed: register it anew"
            yield f"client {client_id}: disabled{why}"
    for month in sorted(set(trail.destroyed)):
        services.audit.destroy_month(month, operator=operator, reason=_REASON)
        yield f"audit of {month}: its key destroyed"


def _has_key(services: Services, client_id: str, kid: str) -> bool:
    client = services.clients.find(client_id)
    return client is not None and any(entry.key.kid == kid for entry in client.keys)
