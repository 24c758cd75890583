"""/connect/endsession: the end of a session here, asked for by a client (OpenID Connect RP-Initiated Logout).

A client that shows an ID token of ours is believed for the session that token speaks of. Whoever shows
nothing, or the ID token of another person's session, is asked first: a link must not log anybody out.
"""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tillit.protocol.authorization_request import MAX_STATE_LENGTH
from tillit.protocol.errors import OAuthError, Rejected, invalid_request
from tillit.protocol.id_token import IdTokenHint, read_hint
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.login.browser import Browser, SendBack
from tillit_server.issuer.login.sessions import Session, end_session, find_session
from tillit_server.issuer.services import Services

HINT: Final = "id_token_hint"
RETURN_TO: Final = "post_logout_redirect_uri"
STATE: Final = "state"
CONFIRM: Final = "confirm"
TAKEN: Final = (HINT, RETURN_TO, STATE, "client_id")


@dataclass(frozen=True, slots=True)
class Confirm:
    """Ask the person first. ``parameters``: what the form sends back, ``CONFIRM`` among it."""

    parameters: Mapping[str, str] = field(repr=False)
    client_name: str | None = None


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """Nobody is logged in here any more; the page says so."""


@dataclass(frozen=True, slots=True)
class _Asked:
    client: Client | None
    hint: IdTokenHint | None
    send_back: SendBack | None


def log_out(browser: Browser, services: Services) -> SendBack | Confirm | LoggedOut:
    """End the session of ``browser``, or ask first.

    The browser goes back to the client only if the ID token it shows is ours and the address is registered
    for that client, byte for byte; ``state`` goes with it as it came. Raises ``OAuthError`` (our own page,
    and nothing has changed) and ``StorageUnavailable``.
    """
    asked = _asked(browser.parameters, services)
    session = find_session(browser.session, services, services.clock())
    if session is None:
        return asked.send_back or LoggedOut()
    if not _speaks_of(asked.hint, session) and not _confirmed(browser.parameters, session):
        kept = {name: browser.parameters[name] for name in TAKEN if name in browser.parameters}
        return Confirm({**kept, CONFIRM: _token_of(session)}, asked.client.name if asked.client else None)
    end_session(session, services, client_id=asked.client.id if asked.client else None)
    return asked.send_back or LoggedOut()


def _asked(parameters: Mapping[str, str], services: Services) -> _Asked:
    token = parameters.get(HINT)
    if token is None:
        # Without the hint nobody knows whose address it is, so nobody is sent there (§3).
        return _Asked(None, None, None)
    try:
        hint = read_hint(token, keys=services.signer.unrevoked(), issuer=services.issuer)
    except Rejected as rejected:
        raise OAuthError.from_rejected("invalid_request", rejected, prefix=f"{HINT}: ") from rejected
    if parameters.get("client_id", hint.client_id) != hint.client_id:
        raise invalid_request("client_id: not the client of the id_token_hint", pointer="client_id")
    client = services.clients.find(hint.client_id)
    if client is None:
        raise invalid_request(f"{HINT}: of a client that is not registered", pointer=HINT)
    address = parameters.get(RETURN_TO)
    if address is None:
        return _Asked(client, hint, None)
    if address not in client.post_logout_redirect_uris:
        raise invalid_request(f"{RETURN_TO}: not registered for this client", pointer=RETURN_TO)
    state = {STATE: parameters[STATE]} if STATE in parameters else {}
    if len(state.get(STATE, "")) > MAX_STATE_LENGTH:
        raise invalid_request(f"{STATE}: more than {MAX_STATE_LENGTH} characters", pointer=STATE)
    return _Asked(client, hint, SendBack(address, state))


def _speaks_of(hint: IdTokenHint | None, session: Session) -> bool:
    return hint is not None and hint.sid == session.sid


def _confirmed(parameters: Mapping[str, str], session: Session) -> bool:
    """Whether the form was one that we showed to this very session; no other site can know its token."""
    return hmac.compare_digest(parameters.get(CONFIRM, "").encode(), _token_of(session).encode())


def _token_of(session: Session) -> str:
    return base64.urlsafe_b64encode(hmac.digest(session.secret.encode(), b"log out", "sha256")).decode()
