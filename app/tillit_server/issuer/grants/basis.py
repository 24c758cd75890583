"""What every grant answers with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tillit.quick import quick
from tillit_server.audit.event import Event
from tillit_server.issuer.attesting import EstablishedBy
from tillit_server.issuer.authorized import Authorized
from tillit_server.storage.ports import Put, Redemption

if TYPE_CHECKING:
    from tillit_server.issuer.token_endpoint import TokenFacts


@dataclass(frozen=True, slots=True)
class SubjectToken:
    """The access token that another is exchanged for (RFC 8693).

    ``attestation``: its claim of that name, if it had one. ``act``: who has acted before, if anybody.
    ``chain``: jti and client of it, and of every token that it came of in turn.
    """

    jti: str
    attestation: Mapping[str, Any] | None = field(repr=False)
    act: Mapping[str, Any] | None
    chain: Sequence[tuple[str, str]] = ()


@quick
@dataclass(frozen=True, slots=True)
class Basis:
    """On what basis a token is asked for, and what else changes when it is given.

    ``subject``: the token's ``sub``. ``scopes``: the most it may be granted. ``authorized``: the login it
    rests on; identity scopes need one. ``resources``: the audiences that were authorized, if any were named.
    ``not_after``: the last second (Unix) the token may live. ``subject_token``: in an exchange only.
    ``nonce``: for an ID token right after the login. ``refresh_token`` and ``refresh_expires_at`` (Unix
    seconds): what the answer hands out. ``redemptions``, ``puts`` and ``events`` are settled with the token.
    """

    subject: str
    scopes: frozenset[str]
    established_by: EstablishedBy
    authorized: Authorized | None = None
    resources: tuple[str, ...] = ()
    not_after: int | None = None
    subject_token: SubjectToken | None = None
    nonce: str | None = None
    refresh_token: str | None = field(default=None, repr=False)
    refresh_expires_at: int | None = None
    redemptions: Sequence[Redemption] = ()
    puts: Sequence[Put] = ()
    events: Sequence[Event] = ()

    @property
    def user(self) -> bool:
        """Whether somebody has logged in."""
        return self.authorized is not None

    @property
    def own_login(self) -> bool:
        """Whether somebody has logged in to this very client, and not to another whose token it exchanges."""
        return self.authorized is not None and self.subject_token is None

    @property
    def identifies(self) -> bool:
        """Whether the client gets an ID token (OIDC Core §3.1.3.3)."""
        return self.own_login and "openid" in self.scopes


Grant = Callable[["TokenFacts"], Basis]
"""Looks at what is known (request, client, proof) and names the basis. Raises ``OAuthError``."""
