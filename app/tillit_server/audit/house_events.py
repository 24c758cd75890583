"""What the house does to itself: keys, clients, workers, the audit. Listed, with all others, in `events`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from tillit_server.audit.event import Event, person

# ── the signing room ──


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEvent(Event):
    """A step in the life of a signing key; `operator` is `service` when no person asked for it."""

    kid: str
    alg: str
    effective_at: float
    operator: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAnnounced(KeyEvent):
    """Published, not yet signing; signs from `effective_at`."""

    name: ClassVar[str] = "signing.key.announced"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyActivated(KeyEvent):
    """Signs from `effective_at`."""

    name: ClassVar[str] = "signing.key.activated"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRetired(KeyEvent):
    """Signs no more from `effective_at`; still published."""

    name: ClassVar[str] = "signing.key.retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRotated(KeyEvent):
    """The standby was brought forward by an operator; it signs from `effective_at`."""

    name: ClassVar[str] = "signing.key.rotated"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRevoked(KeyEvent):
    """Neither signs nor is published from `effective_at`."""

    name: ClassVar[str] = "signing.key.revoked"
    alarm: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDestroyed(KeyEvent):
    """Its private half is gone."""

    name: ClassVar[str] = "signing.key.destroyed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RingCreated(Event):
    """A new ring of keys (`purpose` "signing") or of symmetric secrets (`purpose` "secrets")."""

    name: ClassVar[str] = "signing.ring.created"
    purpose: str
    kids: tuple[str, ...]
    operator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretEvent(Event):
    """A step in the life of a symmetric secret."""

    purpose: str
    secret_id: str
    operator: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretMade(SecretEvent):
    """The first of its purpose."""

    name: ClassVar[str] = "signing.secret.made"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRotated(SecretEvent):
    """Takes over from its predecessor."""

    name: ClassVar[str] = "signing.secret.rotated"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretDestroyed(SecretEvent):
    """Is no longer accepted anywhere."""

    name: ClassVar[str] = "signing.secret.destroyed"


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterChanged(Event):
    """A ring (`ring` "signing" or "secrets") was sealed anew with the master key of this id."""

    name: ClassVar[str] = "signing.master.changed"
    ring: str
    master_id: str
    operator: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureRejected(Event):
    """A signature we had just made did not verify; nothing was sent."""

    name: ClassVar[str] = "signing.signature.rejected"
    alarm: ClassVar[bool] = True
    kid: str
    alg: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackSuspected(Event):
    """The store is older than what we remember of it outside."""

    name: ClassVar[str] = "signing.rollback.suspected"
    alarm: ClassVar[bool] = True
    expected: int
    found: int


# ── the client registry ──


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientEvent(Event):
    """A change of a registered client by an operator."""

    client_id: str
    operator: str
    reason: str
    kids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAdded(ClientEvent):
    """Registered."""

    name: ClassVar[str] = "registry.client.added"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientReplaced(ClientEvent):
    """Registered anew under the same id."""

    name: ClassVar[str] = "registry.client.replaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientDisabled(ClientEvent):
    """Answered `invalid_client` from now on."""

    name: ClassVar[str] = "registry.client.disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientEnabled(ClientEvent):
    """Answered again."""

    name: ClassVar[str] = "registry.client.enabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKeysPublished(ClientEvent):
    """Other keys than before were found at its ``jwks_uri``: `kids` sign for it from now on."""

    name: ClassVar[str] = "registry.client_key.published"


# ── the service and the audit itself ──


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStarted(Event):
    """A worker is ready; `slot` is its chain."""

    name: ClassVar[str] = "service.worker.started"
    slot: int
    version: str
    rule_pack: str
    development: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStopped(Event):
    """A worker went in good order."""

    name: ClassVar[str] = "service.worker.stopped"
    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayFenceRaised(Event):
    """The store of single-use ids lost something: whatever was made up to `fence_at` is refused."""

    name: ClassVar[str] = "service.replay_fence.raised"
    alarm: ClassVar[bool] = True
    number: int
    fence_at: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupMade(Event):
    """Somebody has a copy of everything that lasts, with the SHA-256 of its database."""

    name: ClassVar[str] = "service.backup.made"
    made_at: int
    sha256: str
    operator: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRestored(Event):
    """The first entry after a restore: what lay between the ends in ``heads`` (by slot) and this is lost.

    ``keys_kept``: whether the signing keys of the backup go on; ended, with all their tokens, if not.
    """

    name: ClassVar[str] = "service.backup.restored"
    alarm: ClassVar[bool] = True
    made_at: int
    sha256: str
    heads: Mapping[str, int]
    keys_kept: bool
    operator: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockJumped(Event):
    """The clock moved by more than time passed."""

    name: ClassVar[str] = "service.clock.jumped"
    alarm: ClassVar[bool] = True
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClocksDiffered(Event):
    """The clocks of two processes differ by so much that neither changes keys."""

    name: ClassVar[str] = "service.clocks.differed"
    alarm: ClassVar[bool] = True
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRead(Event):
    """Staff read or searched the audit."""

    name: ClassVar[str] = "audit.journal.read"
    operator: str
    reason: str
    query: str
    entries: int
    sought: str | None = person()


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthDestroyed(Event):
    """The key of a month was destroyed: its personal members cannot be read by anybody any more."""

    name: ClassVar[str] = "audit.month.destroyed"
    month: str
    operator: str
    reason: str
