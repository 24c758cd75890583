"""GET and POST /connect/userinfo: who has logged in, as far as the scopes go (OpenID Connect Core §5.3)."""

from collections.abc import Mapping
from typing import Any

from tillit.attestation.registers import RegisterUnavailable
from tillit_server.issuer.answers import NO_STORE, Answer
from tillit_server.issuer.attesting import register_away
from tillit_server.issuer.hpr_details import HPR_DETAILS, hpr_details
from tillit_server.issuer.minting import identity_claims
from tillit_server.issuer.protected import Access, answer_protected
from tillit_server.issuer.request import Request
from tillit_server.issuer.services import Services

OPENID = "openid"
HPR_SCOPE = "helseid://scopes/hpr/hpr_number"
ISSUED_AT = "userinfo_issued_at"


def userinfo(request: Request, services: Services) -> Answer:
    """What the token of ``request`` allows its client to know about the person who logged in.

    Raises as ``answer_protected``; ``OAuthError`` 503 when HPR must be asked and does not answer.
    """
    return answer_protected(
        request, services, scope=OPENID, make=lambda known: Answer(200, _claims(known), NO_STORE)
    )


def _claims(known: Access) -> Mapping[str, Any]:
    token, services = known.own_token, known.services
    claims: dict[str, Any] = {"sub": token.access.subject}
    # The access token holds what its API asked for, so the person is found through the login behind it.
    if token.family is not None:
        user = token.family.authorized.user
        claims |= identity_claims(known.granted_scope, user, token.client, services)
        if HPR_SCOPE in known.granted_scope:
            try:
                person = services.registers.hpr.person(user.pid)
            except RegisterUnavailable as error:
                raise register_away(error) from error
            claims |= {HPR_DETAILS: hpr_details(person)} if person else {}
    return {**claims, ISSUED_AT: int(known.now)}
