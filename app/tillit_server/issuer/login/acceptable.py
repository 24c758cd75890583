"""Whether a person will do for what was asked: as asked for, as attested, as recently as asked for.

The same question is asked of the session a browser brings and of whoever has just logged in.
"""

from typing import Final

from tillit.protocol.errors import OAuthError, Rejected
from tillit.protocol.gate import GATE_ALGORITHMS
from tillit.protocol.id_token import read_hint
from tillit_server.issuer.attesting import check_user
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.login.asked import Asked
from tillit_server.issuer.login.ending import Login
from tillit_server.issuer.login.idps import IdpRegistry
from tillit_server.issuer.services import Services
from tillit_server.issuer.users import User, subject_of

# How far the clock of an identity provider may be behind ours.
LEEWAY: Final = 10


def require_acceptable(login: Login, user: User, services: Services, now: float) -> None:
    """The person is the one that was meant, and has logged in strongly enough.

    Raises ``OAuthError`` for the client: ``access_denied`` and others by the rules of attestations (ATT-9,
    ATT-11 …), ``unmet_authentication_requirements``, ``login_required``, ``temporarily_unavailable``.
    """
    client, asked = login.client, login.asked
    if asked.carried is not None:
        check_user(client, asked.carried, user, asked.request.scope, services, now)
    if asked.asked_level is not None and user.security_level < asked.asked_level:
        raise OAuthError(
            "unmet_authentication_requirements", "acr_values: the login was below the level asked for"
        )
    hinted = _hinted_subject(client, asked, services)
    if hinted is not None and hinted != subject_of(user, client, services.subject_secret):
        raise OAuthError("login_required", "id_token_hint: another person has logged in")


def require_recent(login: Login, user: User, opened_at: float, services: Services) -> None:
    """The login is as young as was asked for (OpenID Connect Core §3.1.2.1 ``max_age``, ``prompt``).

    ``opened_at``: when the authorization endpoint was opened. Raises ``OAuthError`` ``login_required``.
    """
    max_age = 0 if _anybody_attests(login, services) else login.asked.max_age
    if max_age is not None and opened_at - user.auth_time > max_age + LEEWAY:
        raise OAuthError("login_required", "the login is older than was asked for")


def session_will_do(login: Login, user: User, services: Services, now: float, *, idps: IdpRegistry) -> bool:
    """Whether who is logged in may stay so for this request.

    Raises ``OAuthError`` where no other login would help either.
    """
    asked = login.asked
    if asked.max_age is not None and (asked.max_age == 0 or now - user.auth_time > asked.max_age):
        return False
    if _anybody_attests(login, services):
        return False
    # A provider that nobody knows here was not asked for (OpenID Connect Core §3.1.2.1, acr_values).
    if asked.idp is not None and asked.idp != user.idp and idps.find(asked.idp) is not None:
        return False
    try:
        require_acceptable(login, user, services, now)
    except OAuthError as error:
        if error.code in {"access_denied", "unmet_authentication_requirements", "login_required"}:
            return False
        raise
    return True


def _anybody_attests(login: Login, services: Services) -> bool:
    """Whether nothing in the request shows whose attestation it is.

    It would then be taken for that of whoever sat there before, so that only a new login tells.
    """
    return login.asked.names_nobody and _hinted_subject(login.client, login.asked, services) is None


def _hinted_subject(client: Client, asked: Asked, services: Services) -> str | None:
    """Whom the client expects; a hint that we cannot read any more says nothing."""
    if asked.request.id_token_hint is None:
        return None
    try:
        hint = read_hint(
            asked.request.id_token_hint,
            keys=services.signer.unrevoked(),
            issuer=services.issuer,
            algorithms=GATE_ALGORITHMS,
        )
    except Rejected:
        return None
    return hint.subject if hint.client_id == client.id else None
