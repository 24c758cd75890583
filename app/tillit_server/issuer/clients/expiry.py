"""Reminders before a client locks itself out: when the last of its good keys expires."""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from tillit_server.issuer.clients.client import KIND
from tillit_server.storage.ports import Records

if TYPE_CHECKING:
    from tillit_server.issuer.services import Services

_log = logging.getLogger("tillit.clients")

DAY: Final = 86_400
REMIND_AT: Final = (30, 14, 7, 1)
"""Days before the end."""
PERIOD: Final = 3600.0
_SPACE: Final = "key_reminder"
EXPIRED: Final = 0


def last_expiry(client: Mapping[str, Any]) -> float | None:
    """When the last key of a client, as recorded, expires (Unix seconds); None for never.

    Keys that it publishes at an address of its own are its own care.
    """
    ends = [key.get("exp") for key in client.get("keys", ())]
    return None if not ends or None in ends or client.get("jwks_uri") else max(ends)


def reminder(ends_at: float | None, now: float) -> int | None:
    """Which reminder is due: 30, 14, 7 or 1 (days), 0 when the last key has expired, None for none yet."""
    if ends_at is None:
        return None
    if ends_at <= now:
        return EXPIRED
    return min((days for days in REMIND_AT if ends_at - now <= days * DAY), default=None)


def reminders(records: Records, now: float) -> Mapping[str, tuple[int, float]]:
    """By client id: the reminder that is due and when its last key ends. Disabled clients are left in peace.

    Reads the records as they lie, since loading a client checks its keys, which is dear. Raises
    ``StorageUnavailable``.
    """
    found: dict[str, tuple[int, float]] = {}
    for client_id, record in records.each(KIND):
        ends_at = last_expiry(record.value)
        due = None if record.value.get("disabled") else reminder(ends_at, now)
        if ends_at is not None and due is not None:
            found[client_id] = (due, ends_at)
    return found


def expiring_clients(records: Records, now: float) -> Mapping[int, int]:
    """How many clients each reminder is due for, by its days (0: locked out), every one of them named.

    For the metrics. Raises ``StorageUnavailable``.
    """
    due = Counter(days for days, _ in reminders(records, now).values())
    return {days: due[days] for days in (*REMIND_AT, EXPIRED)}


class ExpiryReminder:
    """The chore that logs each reminder once, whichever worker comes first."""

    def __init__(self, services: "Services") -> None:
        self._services = services
        self._looked_at: float | None = None

    def tick(self) -> None:
        """Called every second or so; looks once an hour. Raises ``StorageUnavailable``."""
        now = self._services.clock()
        if self._looked_at is not None and 0 <= now - self._looked_at < PERIOD:
            return
        store = self._services.store
        for client_id, (days, ends_at) in reminders(store.records, now).items():
            # One per reminder and end, not one per worker and hour.
            if store.once.claim(_SPACE, f"{client_id} {ends_at} {days}", max(ends_at, now) + 90 * DAY):
                _log.warning(
                    "keys of a client expire",
                    extra={"event": {"client_id": client_id, "days": days, "expires_at": ends_at}},
                )
        self._looked_at = now
