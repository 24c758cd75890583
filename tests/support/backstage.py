"""The installation of a running service, opened beside it: registers clients and reads the audit."""

import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from support.ehr import Ehr
from support.service import PATIENCE, PHR, PHR_DOCUMENT, Service
from tillit.protocol.jose import SigningKey, generate_key
from tillit_server.audit.log import AuditEntry
from tillit_server.config import load_settings
from tillit_server.front_door import identity_providers
from tillit_server.issuer.clients.client import client_from
from tillit_server.issuer.clients.registration import register, set_disabled
from tillit_server.wiring import build

ATTESTATION_SCOPE = "nhn:tillitsrammeverk:parameters"
SELF_SERVICE = "nhn:selvbetjening/client"
WARD_LIST, WARD_PATIENT = "example:ward/list", "example:ward/patient"
EVERY_SCOPE = (PHR, PHR_DOCUMENT, ATTESTATION_SCOPE, SELF_SERVICE, WARD_LIST, WARD_PATIENT)
CALLBACK = "https://ehr.example/callback"
DEADLINE = 5.0

T = TypeVar("T")


def eventually(look: Callable[[], T], *, seconds: float = DEADLINE) -> T:
    """What ``look`` gives as soon as that is true; after the deadline, whatever it gives then."""
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


class SwiftEhr(Ehr):
    """An EHR that uses a nonce again, as a real one does, as long as the service is sure to accept it."""

    _asked_at = float("-inf")

    def nonce(self) -> str:
        """A nonce that is at most a minute old by the service's own clock."""
        now = self.service.now()
        if self._nonce is None or not 0 <= now - self._asked_at < 60:
            self._nonce, self._asked_at = super().nonce(), now
        return self._nonce

    def forget_nonce(self) -> None:
        """Ask for a new one before the next request."""
        self._nonce = None


class Backstage:
    """What an operator of the same installation can do and see, without a command for each step."""

    ehr: type[SwiftEhr] = SwiftEhr

    def __init__(
        self, service: Service, settings: Path | None = None, flags: Mapping[str, Any] | None = None
    ) -> None:
        """``flags``: what is said beside the settings, for who does not stand on a host in development mode."""
        self.service = service
        flags = flags or {
            "dev": True,
            "data": service.data,
            "clock": service.clock_file,
            "issuer": service.issuer,
            "storage_timeout": PATIENCE,
        }
        self.installation = build(load_settings(file=settings, flags=flags))
        self.services = self.installation.services
        self.idps, _ = identity_providers(self.installation)
        self._name = secrets.token_hex(3)  # several of us may stand behind one service
        self._clients = 0
        self._entries: dict[int, list[AuditEntry]] = {}

    def close(self) -> None:
        """Let go of the installation."""
        self.installation.close()

    def client(self, *keys: SigningKey, client_id: str | None = None, **members: Any) -> SwiftEhr:
        """Register a client with ``keys`` (one is made if there are none); members as the registry has them."""
        self._clients += 1
        keys = keys or (generate_key("ES256"),)
        client_id = client_id or f"client-{self._name}-{self._clients}"
        self.register(client_id, *keys, **members)
        return self.ehr(self.service, client_id, keys[0])

    def register(self, client_id: str, *keys: SigningKey, replace: bool = False, **members: Any) -> None:
        """Register a client under an id, or replace it. Raises ``ClientError``."""
        client = client_from(
            {
                "id": client_id,
                "keys": [key.public.jwk for key in keys],
                "legal_entities": ["310000019"],
                "scopes": EVERY_SCOPE,
                "grants": ["client_credentials", "authorization_code"],
                "redirect_uris": [CALLBACK],
                "attests_without_login": True,
                **members,
            }
        )
        register(self.services, client, replace=replace, operator="test", reason="test")

    def set_disabled(self, client_id: str, *, disabled: bool) -> None:
        """Disable or enable a client."""
        set_disabled(self.services, client_id, disabled=disabled, operator="test", reason="test")

    def entries(self, event: str, **members: Any) -> list[AuditEntry]:
        """The audit's entries of one kind whose public members are as given."""
        return [
            entry
            for head in self.services.store.journal.heads()
            for entry in self._slot(head.slot)
            if entry.event == event
            and all(entry.public.get(name) == value for name, value in members.items())
        ]

    def awaited(self, event: str, **members: Any) -> list[AuditEntry]:
        """As ``entries``, but waits for the first: refusals are written without making anybody wait."""
        return eventually(lambda: self.entries(event, **members))

    def _slot(self, slot: int) -> list[AuditEntry]:
        """All entries of a slot; what was read before is not read again, for it never changes."""
        entries = self._entries.setdefault(slot, [])
        while page := self.services.audit.read(slot, after=entries[-1].seq if entries else 0):
            entries += page
        return entries


class Timeline:
    """A service whose clock stands still. Every test takes an instant later than any before it."""

    STEP = 7200

    def __init__(self, service: Service, backstage: Backstage) -> None:
        self.service = service
        self.backstage = backstage
        self.ehr = backstage.client()
        self._latest = service.now()

    def moment(self) -> float:
        """Set the clock to an instant far from all others, and give it."""
        self._latest += self.STEP
        self.service.set_clock(self._latest)
        # Secrets for nonces live for a day, and a worker hears of a new one a moment later than the other.
        assert eventually(lambda: len({self._asking().nonce() for _ in range(8)}) == 1)
        return self._latest

    def _asking(self) -> SwiftEhr:
        return SwiftEhr(self.service, self.ehr.client_id, self.ehr.key, self.ehr.dpop_key)

    def at(self, instant: float) -> None:
        """Set the clock, within the two hours of a moment."""
        self.service.set_clock(instant)
