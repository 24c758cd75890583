"""What one worker tells when it is asked: its health part by part, its counters, its readings."""

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from prometheus_client.core import Metric

from tillit_server.console.health import OK, parts_of_health
from tillit_server.issuer.clients.expiry import expiring_clients
from tillit_server.metrics import gauge, packed
from tillit_server.serving.connections import count_open
from tillit_server.serving.health_parts import health_parts
from tillit_server.serving.server_parts import ServerParts
from tillit_server.signing.keyring import KeyRing, NoSigningKey, active_key
from tillit_server.storage.ports import StorageUnavailable
from tillit_server.storage.shared import SharedStore
from tillit_server.wiring import Installation

COUNT_SECONDS = 60.0
OF_SERVERS: Final = {
    "replicas": "Replicas that Redis has heard of lately.",
    "fence_seconds": "Until ids that are made now are taken again.",
    "redis_clock_seconds": "The clock of Redis minus ours.",
    "database_clock_seconds": "The clock of the database minus ours.",
}


class WorkerReport:
    """The report of the worker that ``installation`` was built for."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._servers = _servers_of(installation)
        self._parts = health_parts(installation, self._servers)
        self._counted_at = float("-inf")
        self._expiring: dict[str, float] = {}

    def __call__(self) -> dict[str, Any]:
        """``parts``: name and state; ``servers``: their numbers; ``metrics``: packed. Looks at all now."""
        parts = parts_of_health(self._parts)
        return {
            "parts": parts,
            "servers": self._servers.numbers() if self._servers else {},
            "metrics": packed([*self._installation.services.meters.read(), *self._readings(parts)]),
        }

    def _readings(self, parts: dict[str, str]) -> Iterator[Metric]:
        settings, services = self._installation.settings, self._installation.services
        now = services.clock()
        well = {name: state == OK for name, state in parts.items()}
        yield gauge("tillit_part_ok", "Whether a part is well.", well, "part")
        yield gauge("tillit_clock_seconds", "The service's own time.", {"": now})
        yield gauge("tillit_open_connections", "Open connections.", {"": count_open(settings.port)})
        yield gauge("tillit_audit_slot", "The writer slot of the audit.", {"": services.audit.slot})
        if shared := services.limits.shared:
            yield gauge("tillit_limits_shared", "Whether limits are counted with others.", {"": shared.well})
        if self._servers is not None:
            for name, value in self._servers.numbers().items():
                yield gauge(f"tillit_{name}", OF_SERVERS[name], {"": value})
        ages = {"signing": services.signer.ring_age(), "secrets": self._installation.secrets.ring_age()}
        yield gauge("tillit_ring_age_seconds", "Since a ring was last read from the store.", ages, "ring")
        yield from _keys(services.signer.ring(), sorted(services.signer.algorithms), now)
        days = self._clients_to_remind(now)
        yield gauge(
            "tillit_clients_expiring", "Clients whose last key ends within so many days.", days, "days"
        )
        free = shutil.disk_usage(settings.data).free
        yield gauge("tillit_disk_free_bytes", "Free space where the data is.", {"": free})

    def _clients_to_remind(self, now: float) -> dict[str, float]:
        """By days, read once a minute: it looks at every client."""
        if time.monotonic() - self._counted_at >= COUNT_SECONDS:
            with suppress(StorageUnavailable):
                counted = expiring_clients(self._installation.store.records, now)
                self._expiring = {str(days): clients for days, clients in counted.items()}
                self._counted_at = time.monotonic()
        return self._expiring


def _servers_of(installation: Installation) -> ServerParts | None:
    store = installation.bare_store
    if not isinstance(store, SharedStore):
        return None
    settings = installation.settings
    return ServerParts(store, installation.services.clock, real_clock=settings.clock is None)


def _keys(ring: KeyRing, algorithms: list[str], now: float) -> Iterator[Metric]:
    """Per algorithm: until its key hands over to the next, and how many keys are ready to follow."""
    left: dict[str, float] = {}
    standbys: dict[str, float] = {}
    for alg in algorithms:
        standbys[alg] = sum(entry.active_from > now for entry in ring.chain(alg))
        try:
            ends = active_key(ring, alg, now).retire_from
        except NoSigningKey:
            continue
        if ends is not None:
            left[alg] = ends - now
    yield gauge("tillit_key_rotation_seconds", "Until the signing key hands over to the next.", left, "alg")
    yield gauge("tillit_keys_announced", "Keys that are published and sign later.", standbys, "alg")
