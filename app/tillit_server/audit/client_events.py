"""What becomes of the keys of clients. Listed, with all others, in `events`."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from tillit_server.audit.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyShared(Event):
    """A client signed its assertion and its DPoP proof with the same key."""

    name: ClassVar[str] = "issuer.key.shared"
    client_id: str
    jkt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofKeyChanged(Event):
    """A confidential client refreshed with another DPoP key than before."""

    name: ClassVar[str] = "issuer.proof.key_changed"
    client_id: str
    old_jkt: str
    new_jkt: str
    family: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateKeyExposed(Event):
    """A proof or a registration carried private key members: that key is burnt."""

    name: ClassVar[str] = "issuer.key.exposed"
    alarm: ClassVar[bool] = True
    where: Literal["dpop", "registration", "jwks"]
    client_id: str | None
    jkt: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRefused(Event):
    """A client with a good token and a good proof was refused at one of our own resources."""

    name: ClassVar[str] = "issuer.resource.refused"
    client_id: str
    token_jti: str
    step: str
    code: str
    error_id: str
    pointer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKeyEvent(Event):
    """A step in the life of a client's key.

    `operator` is `client` when the client did it itself, `service` when the house did. `thumbprint` is as of
    RFC 7638.
    """

    client_id: str
    kid: str
    thumbprint: str
    operator: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKeyAdded(ClientKeyEvent):
    """Authenticates its client from now until `expires_at`; `dropped`: the keys that made room for it."""

    name: ClassVar[str] = "registry.client_key.added"
    expires_at: float | None
    token_jti: str | None = None
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKeyProven(ClientKeyEvent):
    """The client holds the private half; the `shortened` keys end when the overlap does, at `ends_at`."""

    name: ClassVar[str] = "registry.client_key.proven"
    shortened: tuple[str, ...] = ()
    ends_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKeyRemoved(ClientKeyEvent):
    """Authenticates nobody from now on."""

    name: ClassVar[str] = "registry.client_key.removed"
