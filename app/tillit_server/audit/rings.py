"""What the signing room reports about its rings, as events of the closed list."""

from collections.abc import Sequence
from typing import Protocol

from tillit_server.audit.events import (
    EVENTS,
    ClocksDiffered,
    Event,
    KeyRevoked,
    MasterChanged,
    RollbackSuspected,
    SignatureRejected,
)
from tillit_server.audit.house_events import KeyEvent, SecretEvent
from tillit_server.audit.log import AuditLog
from tillit_server.storage.ports import Put, Settlement, Store

SERVICE = "service"
SCHEDULE = "schedule"


class Told(Protocol):
    """A change of a ring, as the signing room tells it."""

    @property
    def event(self) -> str:
        """Its name in the closed list."""

    @property
    def ident(self) -> str:
        """Of the key or secret."""

    @property
    def kind(self) -> str:
        """Algorithm or purpose."""

    @property
    def at(self) -> int:
        """Unix seconds from which it holds."""

    @property
    def operator(self) -> str:
        """Who asked for it; empty for the calendar."""

    @property
    def reason(self) -> str:
        """Why."""


class RingRecorder:
    """Writes down what becomes of the rings: changes with the ring itself, alarms beside it."""

    def __init__(self, store: Store, audit: AuditLog) -> None:
        self._store = store
        self._audit = audit

    def settle(self, put: Put, changes: Sequence[Told]) -> None:
        """A ring and the entries that tell of its change, in one act. Raises as ``Store.settle``."""
        events = [
            ring_event(c.event, c.ident, c.kind, c.at, operator=c.operator, reason=c.reason) for c in changes
        ]
        self._store.settle(
            Settlement(puts=(put,), entries=tuple(self._audit.entry(event) for event in events if event))
        )

    def alarm(self, event: str, ident: str, kind: str, at: int) -> None:
        """An alarm that is told outside a settlement; anything else was settled already."""
        told = ring_event(event, ident, kind, at)
        if told is not None and type(told).alarm:
            self._audit.record(told, durable=False)


def ring_event(
    name: str, ident: str, kind: str, at: int, *, operator: str = "", reason: str = ""
) -> Event | None:
    """The event for a change of a ring; None for a step that is recorded elsewhere.

    ``ident``: of the key or secret; ``kind``: algorithm or purpose; ``at``: Unix seconds from which it holds.
    ``operator``: who asked for it; only a person revokes.
    """
    event = EVENTS.get(name)
    if event is None:
        return None
    if issubclass(event, KeyEvent) and (operator or event is not KeyRevoked):
        reason = reason if operator else SCHEDULE
        return event(kid=ident, alg=kind, effective_at=at, operator=operator or SERVICE, reason=reason)
    if issubclass(event, SecretEvent):
        return event(purpose=kind, secret_id=ident, operator=SERVICE, reason=SCHEDULE)
    if event is MasterChanged:
        return MasterChanged(ring=kind, master_id=ident, operator=operator, reason=reason)
    return _alarm(event, ident, kind)


def _alarm(event: type[Event], ident: str, kind: str) -> Event | None:
    if event is SignatureRejected:
        return SignatureRejected(kid=ident, alg=kind)
    if event is ClocksDiffered:
        return ClocksDiffered(seconds=float(ident))
    if event is RollbackSuspected:
        return RollbackSuspected(expected=int(ident), found=int(kind))
    return None
