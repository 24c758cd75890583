"""What every grant answers with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tillit_server.issuer.attesting import EstablishedBy
from tillit_server.issuer.authorized import Authorized
from tillit_server.storage.ports import Put, Redemption

if TYPE_CHECKING:
    from tillit_server.issuer.token_endpoint import TokenFacts


@dataclass(frozen=True, slots=True)
class Basis:
    """On what basis a token is asked for, and what else changes when it is given.

    ``subject``: the token's ``sub``. ``scopes``: the most it may be granted. ``authorized``: the login it
    rests on; identity scopes need one. ``resources``: the audiences that were authorized, if any were named.
    ``refresh_token`` and ``refresh_expires_at`` (Unix seconds): what the answer hands out again.
    ``redemptions`` and ``puts`` are settled with the token.
    """

    subject: str
    scopes: frozenset[str]
    established_by: EstablishedBy
    authorized: Authorized | None = None
    resources: tuple[str, ...] = ()
    claims: dict[str, Any] | None = None
    refresh_token: str | None = None
    refresh_expires_at: int | None = None
    redemptions: Sequence[Redemption] = ()
    puts: Sequence[Put] = ()

    @property
    def user(self) -> bool:
        """Whether somebody has logged in."""
        return self.authorized is not None


Grant = Callable[["TokenFacts"], Basis]
"""Looks at what is known (request, client, proof) and names the basis. Raises ``OAuthError``."""
