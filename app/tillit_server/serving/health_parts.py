"""What a worker looks at when it is asked how it is."""

import threading
from collections.abc import Callable

from tillit_server.console.health import HealthPart, NotWell
from tillit_server.issuer.services import SKEW
from tillit_server.serving.server_parts import ServerParts
from tillit_server.signing.signer import Signer
from tillit_server.wiring import Installation


def health_parts(installation: Installation, servers: ServerParts | None) -> tuple[HealthPart, ...]:
    """The parts of an installation; in place of one store those of its ``servers``."""
    services = installation.services
    return (
        *(servers.parts() if servers else (HealthPart("store", services.store.ping),)),
        HealthPart("keys", lambda: _some_key_signs(services.signer)),
        HealthPart("secrets", installation.secrets.require_fresh),
        HealthPart("audit", installation.store.require_writing),
        HealthPart("clock", ForwardClock(services.clock).look),
    )


def _some_key_signs(signer: Signer) -> None:
    signer.require_fresh()
    # An algorithm that was enabled just now is announced first; that is no fault.
    if None not in signer.usable().values():
        raise NotWell("no algorithm has a key that signs")


class ForwardClock:
    """A clock that was set back makes used proofs look fresh to nobody, and new tokens old: wait for it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._latest = clock()
        self._mutex = threading.Lock()

    def look(self) -> None:
        """Raises ``NotWell`` while the clock is behind what it has shown, by more than hosts may differ."""
        now = self._clock()
        with self._mutex:
            self._latest = max(self._latest, now)
            behind = self._latest - now
        if behind > SKEW:
            raise NotWell(f"set back by {behind:.0f} s: set it right, or restart if it is right now")
