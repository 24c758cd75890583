"""GET /connect/authorize, and how a login that began there ends (RFC 6749 §4.1, RFC 9126 §4, RFC 9207).

Opening judges whose request it is and whether the session of this browser will do; completing settles, in one
act, everything a login changes. What ends without a code ends here too.
"""

from typing import Final

from tillit.protocol.errors import OAuthError, invalid_request
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.clients.redirecting import may_return_to
from tillit_server.issuer.login.acceptable import require_acceptable, require_recent, session_will_do
from tillit_server.issuer.login.asked import Asked
from tillit_server.issuer.login.browser import Browser, LogIn, SendBack
from tillit_server.issuer.login.ending import Beginning, Login, grant_code, refuse_code
from tillit_server.issuer.login.front_channel import read_front_channel
from tillit_server.issuer.login.idps import IdpRegistry
from tillit_server.issuer.login.interactions import (
    INTERACTION,
    Interaction,
    binding_of,
    find_interaction,
    log_in,
    new_interaction,
    over,
)
from tillit_server.issuer.login.pushed_requests import REQUEST_URI, URN
from tillit_server.issuer.login.sessions import SESSION, Session, find_session, new_session
from tillit_server.issuer.services import Services
from tillit_server.issuer.users import User
from tillit_server.storage.ports import Conflict, Redemption, Settlement

AUTHORIZE_PATH: Final = "/connect/authorize"
NO_IDPS: Final = IdpRegistry()


def open_authorization(browser: Browser, services: Services, idps: IdpRegistry = NO_IDPS) -> SendBack | LogIn:
    """Judge what a browser brought: back to the client at once, or a login first.

    ``idps``: the providers that a client may name. Raises ``OAuthError`` or ``Refused`` for everything that
    nobody may be redirected for, and ``StorageUnavailable``.
    """
    now = services.clock()
    client = _named_client(browser, services)
    pushed = _pushed_key(browser, client)
    if pushed is None:
        asked_for = read_front_channel(client, browser, services, now)
        if isinstance(asked_for, SendBack):
            return asked_for
        login = asked_for
    else:
        asked = _pushed_request(pushed, client, services, now)
        login = Login(client, asked, ends=(Redemption(REQUEST_URI, pushed),))
    session = find_session(browser.session, services, now)
    try:
        if session is not None and session_will_do(login, session.user, services, now, idps=idps):
            return grant_code(login, session, services, now)
        if "none" in login.asked.request.prompt:
            raise OAuthError("login_required", "nobody is logged in who will do")  # noqa: TRY301 (for the client)
    except OAuthError as error:
        return _refused(login, error, services)
    except Conflict as conflict:
        raise _ended(conflict) from conflict
    return _begin(login, browser, services, now, pushed=pushed, session=session)


def peek_interaction(interaction: str, binding: str | None, services: Services) -> LogIn:
    """What the login page shows again. Raises ``OAuthError`` (an error page), ``StorageUnavailable``."""
    found = find_interaction(interaction, binding, services)
    return log_in(interaction, found, _login_of(interaction, found, services).client)


def complete_login(interaction: str, binding: str | None, user: User, services: Services) -> SendBack:
    """``user`` has logged in: a new session and a code for the client, or a refusal.

    Raises ``OAuthError`` where nobody may be redirected, and ``StorageUnavailable``.
    """
    now = services.clock()
    found = find_interaction(interaction, binding, services)
    login = _login_of(interaction, found, services)
    try:
        require_recent(login, user, found.opened_at, services)
        require_acceptable(login, user, services, now)
    except OAuthError as error:
        return _refused(login, error, services, user=user)
    # Never the session that was there before: somebody else may know its secret (threats P10, M2).
    session, ticket = new_session(user, now=now, lifetime=services.lifetimes.session)
    beginning = Beginning(session, ticket, find_session(found.session, services, now))
    try:
        return grant_code(login, session, services, now, begins=beginning)
    except Conflict as conflict:
        if conflict.space != SESSION:
            raise _ended(conflict) from conflict
    # The session before ended in this very moment, so there is none to replace.
    try:
        return grant_code(login, session, services, now, begins=Beginning(session, ticket))
    except Conflict as conflict:
        raise _ended(conflict) from conflict


def refuse_login(interaction: str, binding: str | None, error: OAuthError, services: Services) -> SendBack:
    """The login ends without a code, as when the person cancels it; the client hears of it.

    Raises ``OAuthError`` where nobody may be redirected, and ``StorageUnavailable``.
    """
    login = _login_of(interaction, find_interaction(interaction, binding, services), services)
    return _refused(login, error, services)


def _begin(
    login: Login,
    browser: Browser,
    services: Services,
    now: float,
    *,
    pushed: str | None,
    session: Session | None,
) -> LogIn:
    interaction = Interaction(
        binding=binding_of(browser.binding),
        asked=login.asked,
        opened_at=now,
        pushed=pushed,
        # Whom the provider remembers is perhaps not who attests now.
        force=session is not None or login.asked.max_age is not None or login.asked.attests,
        session=session.secret if session else None,
        spends=login.spends,
        tolerances=login.tolerances,
    )
    key, ticket = new_interaction(interaction, now=now, lifetime=services.lifetimes.interaction)
    services.store.settle(Settlement(issues=(ticket,)))
    return log_in(key, interaction, login.client)


def _login_of(key: str, found: Interaction, services: Services) -> Login:
    pushed = () if found.pushed is None else (Redemption(REQUEST_URI, found.pushed),)
    client = _asking_client(found.asked, services)
    if not pushed and not client.profile.front_channel:
        raise _push_first()
    return Login(
        client,
        found.asked,
        ends=(Redemption(INTERACTION, key), *pushed),
        spends=found.spends,
        tolerances=found.tolerances,
    )


def _refused(login: Login, error: OAuthError, services: Services, *, user: User | None = None) -> SendBack:
    try:
        return refuse_code(login, error, services, user=user)
    except Conflict as conflict:
        raise _ended(conflict) from conflict


def _named_client(browser: Browser, services: Services) -> Client:
    client_id = browser.parameters.get("client_id")
    if client_id is None:
        raise invalid_request("client_id: missing", pointer="client_id")
    client = services.clients.find(client_id)
    if client is None or client.disabled:
        raise invalid_request("client_id: not a client of ours", pointer="client_id")
    return client


def _asking_client(asked: Asked, services: Services) -> Client:
    """The client as it is registered now, which may have changed since it asked."""
    client = services.clients.find(asked.request.client_id)
    if client is None or client.disabled or not may_return_to(client, asked.request.redirect_uri):
        raise invalid_request("client_id: the client may not be returned to any more", pointer="client_id")
    return client


def _pushed_key(browser: Browser, client: Client) -> str | None:
    """The key of the pushed request that is meant; None where the client may go without."""
    uri = browser.parameters.get("request_uri")
    if uri is None:
        if client.profile.front_channel:
            return None
        raise _push_first()
    if not uri.startswith(URN):
        raise _invalid_request_uri()
    return uri.removeprefix(URN)


def _pushed_request(key: str, client: Client, services: Services, now: float) -> Asked:
    """What ``client`` has pushed; nothing else that the browser brings counts (RFC 9126 §4)."""
    ticket = services.store.tickets.peek(REQUEST_URI, key)
    if ticket is None or ticket.redeemed or now >= ticket.value["expires_at"]:
        raise _invalid_request_uri()
    asked = Asked.from_json(ticket.value)
    if asked.request.client_id != client.id:
        raise _invalid_request_uri()
    _asking_client(asked, services)
    return asked


def _ended(conflict: Conflict) -> OAuthError:
    """The refusal for a login that has ended meanwhile, in another window or by another's hand."""
    return _invalid_request_uri() if conflict.space == REQUEST_URI else over()


def _push_first() -> OAuthError:
    return invalid_request("request_uri: push the request first (RFC 9126)", pointer="request_uri")


def _invalid_request_uri() -> OAuthError:
    return OAuthError(
        "invalid_request_uri", "request_uri: used, too old, or not of this client", pointer="request_uri"
    )
