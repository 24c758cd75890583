"""Codes laid into the store of a running service, and what a client does with them and with what it gets."""

import json
import secrets
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from support.backstage import Backstage, SwiftEhr
from support.ehr import Answer
from support.granted import HPR_SCOPE, LEVEL_SCOPE, PID_SCOPE
from support.login import CALLBACK, practitioner
from support.service import PHR
from tillit.protocol.jose import SigningKey
from tillit.protocol.pkce import challenge_of, make_verifier
from tillit_server.issuer.authorized import Authorized, CarriedDetails
from tillit_server.issuer.codes import Code, new_code
from tillit_server.issuer.users import User
from tillit_server.storage.ports import Settlement

WARD = "example:ward/list"
IDENTITY = ("openid", "profile", "offline_access", PID_SCOPE, LEVEL_SCOPE, HPR_SCOPE)
EVERYTHING = (
    *IDENTITY,
    PHR,
    "nhn:phr/mhd/read-document",
    WARD,
    "example:ward/patient",
    "nhn:tillitsrammeverk:parameters",
)
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"
AT_LOGIN = ("authorization_code", "refresh_token")


@dataclass(frozen=True)
class Laid:
    """A code, the secret that goes with it, and what it stands for."""

    code: str = field(repr=False)
    verifier: str = field(repr=False)
    authorized: Authorized


def client(behind: Backstage, *keys: SigningKey, **members: Any) -> SwiftEhr:
    """Register a client whose users log in, with every scope there is."""
    given = {"grants": AT_LOGIN, "scopes": EVERYTHING, "attests_without_login": False, **members}
    return behind.client(*keys, redirect_uris=[CALLBACK], **given)


def lay(
    behind: Backstage,
    ehr: SwiftEhr,
    *,
    user: User | None = None,
    scopes: Sequence[str] = (*IDENTITY, WARD),
    resources: Sequence[str] = (),
    details: Sequence[Mapping[str, Any]] | None = None,
    carrier_iat: int | None = None,
    dpop_jkt: str | None = None,
    pkce: bool = True,
) -> Laid:
    """A code as a login of ``ehr`` leaves it."""
    now = behind.service.now()
    iat = int(now) if carrier_iat is None else carrier_iat
    authorized = Authorized(
        family=secrets.token_urlsafe(16),
        client_id=ehr.client_id,
        user=user or practitioner(now),
        sid=secrets.token_hex(16).upper(),
        scopes=tuple(scopes),
        resources=tuple(resources),
        nonce=secrets.token_urlsafe(8),
        carried=None if details is None else CarriedDetails(tuple(details), iat),
    )
    verifier = make_verifier()
    code = Code(authorized, CALLBACK, challenge_of(verifier) if pkce else None, dpop_jkt)
    text, issue = new_code(code, now=now, lifetime=behind.services.lifetimes.code)
    behind.services.store.settle(Settlement(issues=(issue,)))
    return Laid(text, verifier, authorized)


def code_form(ehr: SwiftEhr, laid: Laid, *, details: Any = None, **fields: Any) -> dict[str, str]:
    """A good form for the code; keyword arguments replace parameters, ``...`` removes one."""
    return ehr.form(
        ehr.assertion(details=details),
        **{
            "grant_type": "authorization_code",
            "code": laid.code,
            "redirect_uri": CALLBACK,
            "code_verifier": laid.verifier,
            "scope": ...,
            **fields,
        },
    )


def refresh_form(ehr: SwiftEhr, token: str, *, details: Any = None, **fields: Any) -> dict[str, str]:
    """A good form for a refresh token."""
    given = {"grant_type": "refresh_token", "refresh_token": token, "scope": ..., **fields}
    return ehr.form(ehr.assertion(details=details), **given)


def exchange_form(actor: SwiftEhr, token: str, *, details: Any = None, **fields: Any) -> dict[str, str]:
    """A good form for an exchange."""
    given = {
        "grant_type": EXCHANGE,
        "subject_token": token,
        "subject_token_type": ACCESS_TOKEN_TYPE,
        "scope": WARD,
        **fields,
    }
    return actor.form(actor.assertion(details=details), **given)


def redeem(ehr: SwiftEhr, laid: Laid, *, key: SigningKey | None = None, **fields: Any) -> Answer:
    """Redeem a code with a good proof."""
    return ehr.send(code_form(ehr, laid, **fields), ehr.proof(key=key))


def refresh(ehr: SwiftEhr, token: str, *, key: SigningKey | None = None, **fields: Any) -> Answer:
    """Refresh with a good proof."""
    return ehr.send(refresh_form(ehr, token, **fields), ehr.proof(key=key))


def exchange(actor: SwiftEhr, token: str, **fields: Any) -> Answer:
    """Exchange a token with a good proof."""
    return actor.send(exchange_form(actor, token, **fields), actor.proof())


def good(answer: Answer) -> Any:
    """The body of an answer that must be a good one."""
    assert answer.status == 200, answer.body
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.json


def refused(answer: Answer, code: str = "invalid_grant") -> str:
    """The description of an answer that must be this refusal."""
    assert (answer.status, answer.error) == (400, code), answer.body
    return answer.description


def claims_of(token: str) -> dict[str, Any]:
    """The payload of a token, taken as it is."""
    payload = token.split(".")[1]
    return dict(json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))
