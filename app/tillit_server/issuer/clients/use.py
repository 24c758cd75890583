"""When which key of a client was last used: sampled, and never worth a write of its own per token.

Each worker remembers what it has seen and writes it down once a minute; what a killed worker knew is lost.
Nobody is let in or kept out by these times. Only the first use of a new key, by which it proves itself, is
written within a second.
"""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from tillit.protocol.jose import PublicKey
from tillit_server.audit.events import ClientKeyProven
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.clients.registration import Change, UnknownClient, change_client
from tillit_server.issuer.clients.renewal import with_proof
from tillit_server.storage.ports import Put, Records, Settlement

if TYPE_CHECKING:
    from tillit_server.issuer.services import Services

LAST_USE: Final = "client_key_use"
PERIOD: Final = 60.0
_KEPT: Final = 400 * 86_400

Uses = Mapping[tuple[str, str], float]
"""Unix seconds by client id and thumbprint."""


class KeyUse:
    """What one worker has seen since it last wrote it down."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._seen: dict[tuple[str, str], float] = {}
        self._unproven: dict[tuple[str, str], float] = {}

    def note(self, client: Client, key: PublicKey, now: float) -> None:
        """``client`` has just signed something good with ``key``."""
        used = (client.id, key.thumbprint)
        with self._mutex:
            self._seen[used] = now
            if any(entry.key.thumbprint == key.thumbprint and not entry.proven for entry in client.keys):
                self._unproven[used] = now

    def take(self, *, everything: bool) -> tuple[Uses, Uses]:
        """What was seen (nothing unless ``everything``) and which unproven keys were; both are let go of."""
        with self._mutex:
            unproven, self._unproven = self._unproven, {}
            if not everything:
                return {}, unproven
            seen, self._seen = self._seen, {}
            return seen, unproven


class KeyUseKeeper:
    """The chore that writes down what ``services.key_use`` has noted. ``monotonic`` measures its minute."""

    def __init__(self, services: "Services", *, monotonic: Callable[[], float]) -> None:
        self._services = services
        self._monotonic = monotonic
        self._written_at = monotonic()

    def tick(self) -> None:
        """Called every second or so. Raises ``StorageUnavailable``; a later use is noted again."""
        due = self._monotonic() - self._written_at >= PERIOD
        self.write(everything=due)

    def write(self, *, everything: bool = True) -> None:
        """Write down what has been seen, in one act, and what was proven by it. Raises as ``tick``."""
        seen, unproven = self._services.key_use.take(everything=everything)
        if everything:
            self._written_at = self._monotonic()
        for (client_id, thumbprint), at in unproven.items():
            self._prove(client_id, thumbprint, at)
        puts = tuple(
            Put(
                LAST_USE,
                f"{client_id} {thumbprint}",
                {"client_id": client_id, "thumbprint": thumbprint, "at": at},
                until=at + _KEPT,
            )
            for (client_id, thumbprint), at in {**seen, **unproven}.items()
        )
        if puts:
            self._services.store.settle(Settlement(puts=puts))

    def _prove(self, client_id: str, thumbprint: str, at: float) -> None:
        def change(client: Client) -> Change | None:
            proven = with_proof(client, thumbprint, now=at, overlap=self._services.key_policy.overlap)
            if proven is None:
                return None
            event = ClientKeyProven(
                client_id=client_id,
                kid=proven.key.key.kid,
                thumbprint=thumbprint,
                operator="service",
                reason="first use",
                shortened=tuple(key.key.kid for key in proven.shortened),
                ends_at=proven.ends_at,
            )
            return Change(proven.client, (event,))

        try:
            change_client(self._services, client_id, change)
        except UnknownClient:
            return


def last_uses(records: Records) -> Uses:
    """When keys were last used, as far as it was written down. Raises ``StorageUnavailable``."""
    return {
        (record.value["client_id"], record.value["thumbprint"]): record.value["at"]
        for _, record in records.each(LAST_USE)
    }
