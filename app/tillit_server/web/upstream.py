"""Logging in upstream: we are a client of identity providers (OpenID Connect Core §3.1).

Authlib's Flask client makes the request, remembers what belongs to it, and redeems the code. What comes from
the provider is read by our own strict gate: metadata, keys and ID token.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from flask import Flask

from tillit.protocol.errors import OAuthError
from tillit_server.issuer.login.browser import LogIn
from tillit_server.issuer.login.idps import Idp, IdpRegistry
from tillit_server.issuer.services import Services
from tillit_server.issuer.users import User
from tillit_server.web.upstream_state import Pending, ProviderAway, TicketCache

if TYPE_CHECKING:
    from tillit_server.web.upstream_provider import Provider

__all__ = ["Pending", "ProviderAway", "Upstream"]


class Upstream:
    """The providers of one installation, as seen by one worker. ``callback``: our redirect URI there."""

    def __init__(
        self,
        app: Flask,
        idps: IdpRegistry,
        services: Services,
        *,
        callback: str,
        monotonic: Callable[[], float],
    ) -> None:
        self._app = app
        self._idps = idps
        self._services = services
        self._callback = callback
        self._monotonic = monotonic

    @cached_property
    def _providers(self) -> "Mapping[str, Provider]":
        """By name; their libraries take memory, so a worker loads them with the first login it sees."""
        from authlib.integrations.flask_client import OAuth  # noqa: PLC0415, see above

        from tillit_server.web.upstream_provider import Provider  # noqa: PLC0415, see above

        services = self._services
        oauth = OAuth(self._app, cache=TicketCache(services))
        return {
            idp.name: Provider(idp, oauth, services, self._callback, self._monotonic) for idp in self._idps
        }

    def begin(self, login: LogIn, idp: Idp) -> str:
        """Push the request to ``idp`` (RFC 9126) and give the address the browser goes to.

        Raises ``ProviderAway``.
        """
        return self._providers[idp.name].begin(login)

    def pending(self, state: str | None) -> Pending:
        """The login that ``state`` belongs to. Raises ``OAuthError`` for one that is not known."""
        provider = self._providers.get((state or "").partition(".")[0])
        found = provider.pending(state) if provider and state else None
        if found is None:
            raise _unknown()
        return found

    def take(self, pending: Pending) -> None:
        """Be the one request that goes on with ``pending``: the provider's code is good once.

        Raises ``OAuthError`` for all others, as when a page is loaded twice at once.
        """
        if not self._providers[pending.idp.name].take(pending):
            raise _unknown()

    def put_back(self, pending: Pending) -> None:
        """After ``ProviderAway``: the same address may be loaded again."""
        self._providers[pending.idp.name].put_back(pending)

    def user(self, pending: Pending, parameters: Mapping[str, str]) -> User:
        """Who has logged in, from what the provider sent back.

        Raises ``ProviderAway``, or ``OAuthError`` ``access_denied`` when nobody has.
        """
        return self._providers[pending.idp.name].user(pending, parameters)


def _unknown() -> OAuthError:
    return OAuthError("invalid_request", "This login is not known here, or has ended.")
