"""What the signing room reports about its rings, as events of the closed list."""

from collections.abc import Callable

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

SERVICE = "service"
SCHEDULE = "schedule"


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


def alarm_of(audit: AuditLog) -> Callable[[str, str, str, int], None]:
    """Writes down what a signer reports outside a settlement."""

    def on_change(event: str, ident: str, kind: str, at: int) -> None:
        alarm: Event | None = ring_event(event, ident, kind, at)
        if alarm is not None and type(alarm).alarm:
            audit.record(alarm, durable=False)

    return on_change
