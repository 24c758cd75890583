"""GET /connect/authorize, and how a login that began there ends (RFC 6749 §4.1, RFC 9126 §4, RFC 9207).

Opening judges whose request it is and whether the session of this browser will do; completing settles, in one
act, everything a login changes. What ends without a code ends here too.
"""

import secrets
from dataclasses import dataclass
from typing import Final

from tillit.protocol.authorization_response import response_parameters
from tillit.protocol.errors import OAuthError, invalid_request
from tillit_server.audit.events import AuthorizationGranted, Event, LoginRefused, UserLoggedIn
from tillit_server.issuer.asked import Asked
from tillit_server.issuer.authorized import Authorized
from tillit_server.issuer.browser import Browser, LogIn, SendBack
from tillit_server.issuer.clients import Client
from tillit_server.issuer.codes import Code, new_code
from tillit_server.issuer.interactions import (
    INTERACTION,
    Interaction,
    binding_of,
    find_interaction,
    log_in,
    new_interaction,
    over,
)
from tillit_server.issuer.pushed_requests import REQUEST_URI, URN
from tillit_server.issuer.services import Services
from tillit_server.issuer.sessions import Session, find_session, new_session
from tillit_server.issuer.users import User
from tillit_server.storage.ports import Claim, Conflict, Issue, Redemption, Settlement

AUTHORIZE_PATH: Final = "/connect/authorize"


def open_authorization(browser: Browser, services: Services) -> SendBack | LogIn:
    """Judge what a browser brought: back to the client at once, or a login first.

    Raises ``OAuthError`` for everything that nobody may be redirected for, and ``StorageUnavailable``.
    """
    now = services.clock()
    client = _client_of(browser, services)
    asked, pushed = _pushed_request(browser, client, services, now)
    login = _Login(client, asked, (Redemption(REQUEST_URI, pushed),))
    session = find_session(browser.session, services, now)
    if session is not None and _will_do(session, asked, now):
        return _grant(login, session, services, now)
    if "none" in asked.request.prompt:
        return _refuse(
            login, OAuthError("login_required", "prompt: nobody is logged in who will do"), services
        )
    interaction = Interaction(
        binding=binding_of(browser.binding),
        asked=asked,
        opened_at=now,
        pushed=pushed,
        anew=session is not None or asked.anew,
        session=session.secret if session else None,
    )
    key, issue = new_interaction(interaction, now=now, lifetime=services.lifetimes.interaction)
    services.store.settle(Settlement(issues=(issue,)))
    return log_in(key, interaction, client)


def peek_interaction(interaction: str, binding: str | None, services: Services) -> LogIn:
    """What the login page shows again. Raises ``OAuthError`` (an error page), ``StorageUnavailable``."""
    found = find_interaction(interaction, binding, services)
    return log_in(interaction, found, _registered(found.asked.request.client_id, services))


def complete_login(interaction: str, binding: str | None, user: User, services: Services) -> SendBack:
    """``user`` has logged in: a session, and a code or a refusal for the client.

    Raises ``OAuthError`` where nobody may be redirected, and ``StorageUnavailable``.
    """
    now = services.clock()
    login = _login_of(interaction, find_interaction(interaction, binding, services), services)
    session, begun = new_session(user, now=now, lifetime=services.lifetimes.session)
    return _grant(login, session, services, now, begun=begun)


def refuse_login(interaction: str, binding: str | None, error: OAuthError, services: Services) -> SendBack:
    """The login ends without a code, as when the person cancels it; the client hears of it.

    Raises ``OAuthError`` where nobody may be redirected, and ``StorageUnavailable``.
    """
    login = _login_of(interaction, find_interaction(interaction, binding, services), services)
    return _refuse(login, error, services)


def _login_of(key: str, found: Interaction, services: Services) -> "_Login":
    client = _registered(found.asked.request.client_id, services)
    pushed = () if found.pushed is None else (Redemption(REQUEST_URI, found.pushed),)
    return _Login(client, found.asked, (Redemption(INTERACTION, key), *pushed), found.spends)


def _client_of(browser: Browser, services: Services) -> Client:
    client_id = browser.parameters.get("client_id")
    if client_id is None:
        raise invalid_request("client_id: missing", pointer="client_id")
    return _registered(client_id, services)


def _registered(client_id: str, services: Services) -> Client:
    client = services.clients.find(client_id)
    if client is None or client.disabled:
        raise invalid_request("client_id: not a client of ours", pointer="client_id")
    return client


def _pushed_request(browser: Browser, client: Client, services: Services, now: float) -> tuple[Asked, str]:
    """What ``client`` has pushed, and the key it lies under; nothing else the browser brings counts."""
    uri = browser.parameters.get("request_uri")
    if uri is None:
        raise invalid_request(
            "request_uri: requests are to be pushed first (RFC 9126)", pointer="request_uri"
        )
    key = uri.removeprefix(URN)
    ticket = services.store.tickets.peek(REQUEST_URI, key) if uri.startswith(URN) else None
    if ticket is None or ticket.redeemed or now >= ticket.value["expires_at"]:
        raise _invalid_request_uri()
    asked = Asked.from_json(ticket.value)
    if asked.request.client_id != client.id:
        raise _invalid_request_uri()
    return asked, key


def _invalid_request_uri() -> OAuthError:
    return OAuthError(
        "invalid_request_uri", "request_uri: used, too old, or not of this client", pointer="request_uri"
    )


def _will_do(session: Session, asked: Asked, now: float) -> bool:
    """Whether who is logged in may stay so for this request."""
    user, request = session.user, asked.request
    return not (
        asked.anew
        or (request.max_age is not None and now - user.auth_time > request.max_age)
        or (asked.level is not None and user.security_level < asked.level)
        or (asked.idp is not None and user.idp != asked.idp)
    )


@dataclass(frozen=True, slots=True)
class _Login:
    """Who has asked for what, and what is used up whichever way it ends."""

    client: Client
    asked: Asked
    ends: tuple[Redemption, ...]
    spends: tuple[Claim, ...] = ()


def _grant(
    login: _Login, session: Session, services: Services, now: float, *, begun: Issue | None = None
) -> SendBack:
    """A code for the client. ``begun``: the ticket of ``session``, when it begins with this login."""
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
    granted = AuthorizationGranted(
        client_id=client.id,
        family=authorized.family,
        sid=session.sid,
        scope=request.scope,
        resources=request.resources,
        details=asked.types,
        practitioner=user.pid,
    )
    events: list[Event] = [granted]
    if begun is not None:
        events.insert(0, _logged_in(client, session))
    _settle(
        services,
        Settlement(
            claims=login.spends,
            redemptions=login.ends,
            issues=(issue,) if begun is None else (begun, issue),
            entries=tuple(services.audit.entry(event) for event in events),
        ),
    )
    return _send_back(asked, services, code=text, session=session if begun else None)


def _logged_in(client: Client, session: Session) -> UserLoggedIn:
    user = session.user
    return UserLoggedIn(
        client_id=client.id,
        sid=session.sid,
        idp=user.idp,
        security_level=user.security_level,
        auth_time=user.auth_time,
        practitioner=user.pid,
    )


def _refuse(login: _Login, error: OAuthError, services: Services) -> SendBack:
    refusal = LoginRefused(client_id=login.client.id, code=error.code, rule=error.rule)
    _settle(services, Settlement(redemptions=login.ends, entries=(services.audit.entry(refusal),)))
    return _send_back(login.asked, services, error=error)


def _settle(services: Services, settlement: Settlement) -> None:
    try:
        services.store.settle(settlement)
    except Conflict as conflict:
        raise (over() if conflict.space == INTERACTION else _invalid_request_uri()) from conflict


def _send_back(
    asked: Asked,
    services: Services,
    *,
    code: str | None = None,
    error: OAuthError | None = None,
    session: Session | None = None,
) -> SendBack:
    request = asked.request
    return SendBack(
        request.redirect_uri,
        response_parameters(issuer=services.issuer, state=request.state, code=code, error=error),
        request.response_mode,
        session.secret if session else None,
    )
