"""How a login ends: with a code for the client, or without one (RFC 6749 §4.1.2, RFC 9207).

Whichever way, what it used up is redeemed, and what happened is written down, in one act.
"""

import secrets
from dataclasses import dataclass

from tillit.protocol.authorization_response import response_parameters
from tillit.protocol.errors import OAuthError
from tillit_server.audit.events import (
    AuthorizationGranted,
    Event,
    LoginRefused,
    ToleranceUsed,
    UserLoggedIn,
)
from tillit_server.issuer.authorized import Authorized
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.codes import Code, new_code
from tillit_server.issuer.login.asked import Asked
from tillit_server.issuer.login.browser import SendBack
from tillit_server.issuer.login.sessions import SESSION, Session
from tillit_server.issuer.services import Services
from tillit_server.issuer.users import User
from tillit_server.storage.ports import Claim, Issue, Redemption, Settlement


@dataclass(frozen=True, slots=True)
class Login:
    """Who has asked for what, and what is used up whichever way it ends.

    ``spends`` and ``tolerances`` belong to a request of the front channel; what was pushed has been settled.
    """

    client: Client
    asked: Asked
    ends: tuple[Redemption, ...] = ()
    spends: tuple[Claim, ...] = ()
    tolerances: tuple[str, ...] = ()

    @property
    def of_a_stranger(self) -> bool:
        """Whether it came in an address without a signature: anybody may have written it."""
        return bool(self.tolerances) and not self.spends


@dataclass(frozen=True, slots=True)
class Beginning:
    """A session that begins with the login, its ticket, and the session that the browser had before."""

    session: Session
    ticket: Issue
    replaces: Session | None = None


def grant_code(
    login: Login, session: Session, services: Services, now: float, *, begins: Beginning | None = None
) -> SendBack:
    """A code for the client, bound to all that it asked with.

    Raises ``Conflict`` when something was used up already, and ``StorageUnavailable``.
    """
    client, asked, user = login.client, login.asked, session.user
    request = asked.request
    authorized = Authorized(
        family=secrets.token_urlsafe(16),
        client_id=client.id,
        user=user,
        sid=session.sid,
        scopes=request.scope,
        resources=request.resources,
        nonce=request.nonce,
        carried=asked.carried,
    )
    code = Code(authorized, request.redirect_uri, request.code_challenge, request.dpop_jkt)
    text, issue = new_code(code, now=now, lifetime=services.lifetimes.code)
    replaced = begins.replaces if begins else None
    services.store.settle(
        Settlement(
            claims=login.spends,
            redemptions=(*login.ends, *([Redemption(SESSION, replaced.secret)] if replaced else [])),
            issues=(*([begins.ticket] if begins else []), issue),
            entries=tuple(services.audit.entry(event) for event in _events(login, authorized, begins)),
        )
    )
    return send_back(asked, services, code=text, session=session if begins else None)


def refuse_code(login: Login, error: OAuthError, services: Services, *, user: User | None = None) -> SendBack:
    """The client hears that there is no code, and why. Raises as ``grant_code``."""
    if not login.ends or (user is None and login.of_a_stranger):
        # Nobody has authenticated: counted, so that strangers cannot fill the disk.
        if login.ends:
            services.store.settle(Settlement(redemptions=login.ends))
        services.refusals.count("authorize", error.code)
        return send_back(login.asked, services, error=error)
    refusal = LoginRefused(
        client_id=login.client.id,
        code=error.code,
        rule=error.rule,
        practitioner=user.pid if user else None,
    )
    services.store.settle(
        Settlement(claims=login.spends, redemptions=login.ends, entries=(services.audit.entry(refusal),))
    )
    return send_back(login.asked, services, error=error)


def send_back(
    asked: Asked,
    services: Services,
    *,
    code: str | None = None,
    error: OAuthError | None = None,
    session: Session | None = None,
) -> SendBack:
    """The way back to the client, with its ``state`` untouched and our ``iss``."""
    request = asked.request
    return SendBack(
        request.redirect_uri,
        response_parameters(issuer=services.issuer, state=request.state, code=code, error=error),
        request.response_mode,
        session.secret if session else None,
    )


def _events(login: Login, authorized: Authorized, begins: Beginning | None) -> list[Event]:
    client, user = login.client, authorized.user
    events: list[Event] = []
    if begins is not None:
        events.append(
            UserLoggedIn(
                client_id=client.id,
                sid=authorized.sid,
                idp=user.idp,
                security_level=user.security_level,
                auth_time=user.auth_time,
                replaced=begins.replaces.sid if begins.replaces else None,
                practitioner=user.pid,
            )
        )
    if login.tolerances:
        events.append(ToleranceUsed(client_id=client.id, tolerances=login.tolerances))
    events.append(
        AuthorizationGranted(
            client_id=client.id,
            family=authorized.family,
            sid=authorized.sid,
            scope=authorized.scopes,
            resources=authorized.resources,
            details=login.asked.types,
            practitioner=user.pid,
        )
    )
    return events
