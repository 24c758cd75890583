"""Introspection answers (RFC 7662 section 2.2), and their signed form (RFC 9701 section 5)."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from tillit.protocol import claims as check
from tillit.protocol.errors import Rejected
from tillit.protocol.gate import MAX_ASSERTION_BYTES, UnverifiedJWS, read_jws
from tillit.protocol.jose import ALGORITHMS, PublicKey, verify

TYP: Final = "token-introspection+jwt"
MEDIA_TYPE: Final = f"application/{TYP}"
_TYPES: Final = frozenset({TYP, MEDIA_TYPE})
_MEMBER: Final = "token_introspection"

MAX_AGE: Final = 60
"""Seconds after which a signed answer is no longer one to the question just asked."""
LEEWAY: Final = 10

INACTIVE: Final[Mapping[str, Any]] = {"active": False}
"""All that is ever said about a token that is not active (RFC 7662 section 2.2)."""


def introspection_claims(
    *, issuer: str, audience: str, now: float, response: Mapping[str, Any]
) -> dict[str, Any]:
    """Give the payload of a signed answer. ``audience`` is the caller's client id.

    ``response`` is the plain answer; it is put in whole, and nothing of it beside it, so that the answer
    can never be taken for a token.
    """
    return {"iss": issuer, "aud": audience, "iat": int(now), _MEMBER: dict(response)}


def check_introspection_jwt(
    token: str,
    *,
    keys: Callable[[UnverifiedJWS], Sequence[PublicKey]] | Sequence[PublicKey],
    issuer: str,
    audience: str,
    now: float,
    algorithms: Collection[str] = ALGORITHMS,
    leeway: int = LEEWAY,
) -> Mapping[str, Any]:
    """Check a signed answer as the caller it was made for, and give the plain answer. Raises Rejected.

    It must be at most ``MAX_AGE`` + ``leeway`` seconds old; whether ``active`` is true is for the caller.
    """
    jws = read_jws(token, max_bytes=MAX_ASSERTION_BYTES)
    payload = jws.claims
    typ = jws.header.get("typ")
    if typ not in _TYPES:
        raise Rejected("wrong type", "header.typ", expected=TYP, found=typ)
    if payload.get("iss") != issuer:
        raise Rejected("from another issuer", "payload.iss", expected=issuer, found=payload.get("iss"))
    if payload.get("aud") not in (audience, [audience]):
        raise Rejected("for another caller", "payload.aud", expected=audience, found=payload.get("aud"))
    verify(jws, keys(jws) if callable(keys) else keys, algorithms=algorithms)
    issued_at = check.required_instant(payload, "iat")
    check.require_begun(payload, "iat", now, ahead=leeway)
    if now > issued_at + MAX_AGE + leeway:
        raise Rejected("too old", "payload.iat", clock_difference=issued_at - now)
    response = payload.get(_MEMBER)
    if type(response) is not dict or type(response.get("active")) is not bool:
        raise Rejected("not an introspection answer", f"payload.{_MEMBER}")
    return response
