"""Every audit event there is. What is not on this page cannot be recorded.

An event is named `source.subject.action`. A member made with `personal()` is encrypted under the month's key;
one made with `person()` is encrypted and can be searched for by its exact value. Everything else stands in
clear in the journal and must not identify a person. Times are Unix seconds. No event holds an access token, a
code, a PIN or key material.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from tillit.quick import quick
from tillit_server.audit.client_events import (
    ClientKeyAdded,
    ClientKeyProven,
    ClientKeyRemoved,
    KeyShared,
    PrivateKeyExposed,
    ProofKeyChanged,
    ResourceRefused,
)
from tillit_server.audit.event import Event, person, personal
from tillit_server.audit.house_events import (
    AuditRead,
    BackupMade,
    BackupRestored,
    ClientAdded,
    ClientDisabled,
    ClientEnabled,
    ClientKeysPublished,
    ClientReplaced,
    ClockJumped,
    ClocksDiffered,
    KeyActivated,
    KeyAnnounced,
    KeyDestroyed,
    KeyRetired,
    KeyRevoked,
    KeyRotated,
    MasterChanged,
    MonthDestroyed,
    ReplayFenceRaised,
    RingCreated,
    RollbackSuspected,
    SecretDestroyed,
    SecretMade,
    SecretRotated,
    ServiceStarted,
    ServiceStopped,
    SignatureRejected,
)
from tillit_server.audit.login_events import (
    AuthorizationGranted,
    LoginRefused,
    RequestPushed,
    UserLoggedIn,
    UserLoggedOut,
)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssued(Event):
    """An access token left the house.

    `family` and `sid`: the login it rests on. `subject_jti`: the token it was exchanged for. `remarks`: what
    was read leniently, and what rules say for the journal only.
    """

    name: ClassVar[str] = "issuer.token.issued"
    jti: str
    client_id: str
    grant: str
    legal_entity: str | None
    scope: tuple[str, ...]
    audience: str
    issued_at: int
    expires_at: int
    kid: str
    jkt: str
    assertion_jti: str
    rule_pack: str | None = None
    decision_ref: str | None = None
    purpose: str | None = None
    established_by: Literal["login", "legal_entity"] | None = None
    family: str | None = None
    sid: str | None = None
    subject_jti: str | None = None
    rejected_scope: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    practitioner: str | None = person()
    patients: tuple[str, ...] = person(default=())
    assertion: str = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRefused(Event):
    """A request by a known client was refused; `found` never holds a value that could name a person."""

    name: ClassVar[str] = "issuer.token.refused"
    step: str
    rule: str | None = None
    code: str
    error_id: str
    pointer: str | None = None
    expected: str | None = None
    found: str | None = None
    client_id: str | None = None
    assertion_jti: str | None = None
    clock_difference: float | None = None
    practitioner: str | None = person()
    patients: tuple[str, ...] = person(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalsSummarised(Event):
    """Refusals without entries of their own, counted over a second; `counts`: `step code` → number."""

    name: ClassVar[str] = "issuer.refusals.summarised"
    first_at: float
    last_at: float
    total: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestExplained(Event):
    """A request was explained to its sender; no token was made."""

    name: ClassVar[str] = "issuer.request.explained"
    client_id: str
    assertion_jti: str | None
    refused_by: str | None
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToleranceUsed(Event):
    """A client needed named tolerances of its profile."""

    name: ClassVar[str] = "issuer.tolerance.used"
    client_id: str
    tolerances: tuple[str, ...]
    assertion_jti: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GlassBroken(Event):
    """A token was issued for the purpose BTG (break the glass)."""

    name: ClassVar[str] = "issuer.glass.broken"
    alarm: ClassVar[bool] = True
    jti: str
    client_id: str
    legal_entity: str | None
    practitioner: str | None = person()
    patients: tuple[str, ...] = person(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeReused(Event):
    """A redeemed code or a rotated refresh token came back; its family was revoked."""

    name: ClassVar[str] = "issuer.code.reused"
    alarm: ClassVar[bool] = True
    client_id: str
    family: str
    kind: Literal["code", "refresh_token"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRevoked(Event):
    """A client revoked a token or a whole refresh family."""

    name: ClassVar[str] = "issuer.token.revoked"
    client_id: str
    jti: str | None = None
    family: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterUnavailable(Event):
    """A register did not answer, so requests that need it are refused."""

    name: ClassVar[str] = "registers.register.unavailable"
    register: str
    client_id: str | None = None


EVENTS: Mapping[str, type[Event]] = {
    event.name: event
    for event in (
        TokenIssued,
        TokenRefused,
        RefusalsSummarised,
        RequestExplained,
        ToleranceUsed,
        KeyShared,
        ProofKeyChanged,
        PrivateKeyExposed,
        ResourceRefused,
        GlassBroken,
        CodeReused,
        TokenRevoked,
        RegisterUnavailable,
        RequestPushed,
        UserLoggedIn,
        LoginRefused,
        AuthorizationGranted,
        UserLoggedOut,
        KeyAnnounced,
        KeyActivated,
        KeyRetired,
        KeyRevoked,
        KeyRotated,
        KeyDestroyed,
        RingCreated,
        ReplayFenceRaised,
        SecretMade,
        MasterChanged,
        SecretRotated,
        SecretDestroyed,
        SignatureRejected,
        RollbackSuspected,
        ClientAdded,
        ClientReplaced,
        ClientDisabled,
        ClientEnabled,
        ClientKeyAdded,
        ClientKeyProven,
        ClientKeyRemoved,
        ClientKeysPublished,
        ServiceStarted,
        ServiceStopped,
        BackupMade,
        BackupRestored,
        ClockJumped,
        ClocksDiffered,
        AuditRead,
        MonthDestroyed,
    )
}
"""The closed list, by name."""

__all__ = [
    "EVENTS",
    "AuditRead",
    "AuthorizationGranted",
    "BackupMade",
    "BackupRestored",
    "ClientAdded",
    "ClientDisabled",
    "ClientEnabled",
    "ClientKeyAdded",
    "ClientKeyProven",
    "ClientKeyRemoved",
    "ClientKeysPublished",
    "ClientReplaced",
    "ClockJumped",
    "ClocksDiffered",
    "CodeReused",
    "Event",
    "GlassBroken",
    "KeyActivated",
    "KeyAnnounced",
    "KeyDestroyed",
    "KeyRetired",
    "KeyRevoked",
    "KeyRotated",
    "KeyShared",
    "LoginRefused",
    "MasterChanged",
    "MonthDestroyed",
    "PrivateKeyExposed",
    "ProofKeyChanged",
    "RefusalsSummarised",
    "RegisterUnavailable",
    "ReplayFenceRaised",
    "RequestExplained",
    "RequestPushed",
    "ResourceRefused",
    "RingCreated",
    "RollbackSuspected",
    "SecretDestroyed",
    "SecretMade",
    "SecretRotated",
    "ServiceStarted",
    "ServiceStopped",
    "SignatureRejected",
    "TokenIssued",
    "TokenRefused",
    "TokenRevoked",
    "ToleranceUsed",
    "UserLoggedIn",
    "UserLoggedOut",
]
