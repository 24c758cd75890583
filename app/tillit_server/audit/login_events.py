"""What happens between a client's request for a login and its end. Listed, with all others, in `events`."""

from dataclasses import dataclass
from typing import ClassVar

from tillit_server.audit.event import Event, person


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPushed(Event):
    """An authorization request was taken (RFC 9126).

    `signed`: it came as a request object. `details`: the types of its authorization details.
    """

    name: ClassVar[str] = "issuer.request.pushed"
    client_id: str
    scope: tuple[str, ...]
    signed: bool
    details: tuple[str, ...] = ()
    assertion_jti: str
    jkt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserLoggedIn(Event):
    """A person has logged in through an identity provider and has a session here.

    `replaced`: the session that the same browser had before, if it had one.
    """

    name: ClassVar[str] = "issuer.user.logged_in"
    client_id: str
    sid: str
    idp: str
    security_level: str
    auth_time: int
    replaced: str | None = None
    practitioner: str | None = person()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRefused(Event):
    """A login ended without a code: by rule, by the person's own wish, or because nobody could be asked."""

    name: ClassVar[str] = "issuer.login.refused"
    client_id: str
    code: str
    rule: str | None = None
    practitioner: str | None = person()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationGranted(Event):
    """A code was given to a client; everything that comes of it belongs to `family`."""

    name: ClassVar[str] = "issuer.authorization.granted"
    client_id: str
    family: str
    sid: str
    scope: tuple[str, ...]
    resources: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    practitioner: str | None = person()


@dataclass(frozen=True, slots=True, kw_only=True)
class UserLoggedOut(Event):
    """A session ended; `client_id` is the client that asked for it, if one could be told."""

    name: ClassVar[str] = "issuer.user.logged_out"
    sid: str
    client_id: str | None = None
    practitioner: str | None = person()
