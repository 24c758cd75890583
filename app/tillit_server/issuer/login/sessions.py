"""Who is logged in here: one ticket per browser, known by the random value in its cookie."""

import secrets
from dataclasses import dataclass, field
from typing import Final

from tillit_server.audit.events import UserLoggedOut
from tillit_server.issuer.services import Services
from tillit_server.issuer.users import User
from tillit_server.storage.ports import Conflict, Issue, Redemption, Settlement

SESSION: Final = "session"
"""The space of sessions in the store; the key is what the cookie holds."""
MAX_LENGTH: Final = 128


@dataclass(frozen=True, slots=True)
class Session:
    """``secret``: what the cookie holds. ``sid``: the name of the session, which clients may know."""

    secret: str = field(repr=False)
    sid: str
    user: User


def new_session(user: User, *, now: float, lifetime: int) -> tuple[Session, Issue]:
    """A session of 256 random bits, and the ticket to settle."""
    session = Session(secrets.token_urlsafe(32), secrets.token_hex(16).upper(), user)
    value = {"sid": session.sid, "user": user.to_json()}
    return session, Issue(SESSION, session.secret, value, now + lifetime)


def find_session(text: str | None, services: Services, now: float) -> Session | None:
    """The session that a cookie's value stands for, while it lives. Raises ``StorageUnavailable``."""
    if not text or len(text) > MAX_LENGTH or not text.isascii():
        return None
    ticket = services.store.tickets.peek(SESSION, text)
    if ticket is None or ticket.redeemed or now >= ticket.until:
        return None
    return Session(text, ticket.value["sid"], User.from_json(ticket.value["user"]))


def end_session(session: Session, services: Services, *, client_id: str | None = None) -> bool:
    """End a session, with its entry in the audit; False when it had ended already.

    Raises ``StorageUnavailable``.
    """
    event = UserLoggedOut(sid=session.sid, client_id=client_id, practitioner=session.user.pid)
    try:
        services.store.settle(
            Settlement(
                redemptions=(Redemption(SESSION, session.secret),), entries=(services.audit.entry(event),)
            )
        )
    except Conflict:
        return False
    return True
