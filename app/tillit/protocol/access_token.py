"""JWT access tokens (RFC 9068), bound to a key (RFC 9449 section 6.1).

One departure, which the clients and sources of this sector expect: ``scope`` is an array of strings.
"""

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tillit.protocol import claims as check
from tillit.protocol.errors import Rejected
from tillit.protocol.gate import MAX_ASSERTION_BYTES, read_jws
from tillit.protocol.jose import ALGORITHMS, Keys, PublicKey, verify
from tillit.protocol.scope import parse_scope

TYP: Final = "at+jwt"
_TYPES: Final = (TYP, "application/at+jwt")
LEEWAY: Final = 10
_MAX_LENGTH: Final = 512
# What access_token_claims writes itself; ``claims`` may not speak over it.
_OWN: Final = frozenset("iss sub aud client_id scope iat nbf exp jti cnf".split())  # noqa: SIM905, a word list


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A verified access token. Times are whole Unix seconds; ``jkt`` is None for an unbound token."""

    issuer: str
    subject: str = field(repr=False)
    audience: str
    client_id: str
    scope: tuple[str, ...]
    issued_at: int
    expires_at: int
    jti: str
    jkt: str | None
    key: PublicKey
    claims: Mapping[str, Any] = field(repr=False)


def access_token_claims(
    *,
    issuer: str,
    subject: str,
    audience: str,
    client_id: str,
    scope: Sequence[str],
    now: float,
    lifetime: int,
    jkt: str | None,
    jti: str | None = None,
    claims: Mapping[str, Any],
) -> dict[str, Any]:
    """Give the payload of an access token (RFC 9068 section 2.2). ``lifetime`` in seconds.

    Raises ValueError when ``claims`` names a claim that the token writes itself.
    """
    if not _OWN.isdisjoint(claims):
        raise ValueError(f"claims of the token itself: {', '.join(sorted(_OWN.intersection(claims)))}")
    issued_at = int(now)
    payload: dict[str, Any] = {
        "iss": issuer,
        "nbf": issued_at,
        "iat": issued_at,
        "exp": issued_at + lifetime,
        "aud": audience,
    }
    if jkt is not None:
        payload["cnf"] = {"jkt": jkt}
    return payload | {
        "scope": list(scope),
        "client_id": client_id,
        "sub": subject,
        "jti": jti or secrets.token_hex(16).upper(),
        **claims,
    }


def check_access_token(
    token: str,
    *,
    keys: Keys,
    issuer: str,
    audience: str,
    now: float,
    algorithms: Collection[str] = ALGORITHMS,
    leeway: int = LEEWAY,
    max_bytes: int = MAX_ASSERTION_BYTES,
) -> AccessToken:
    """Check an access token as a resource server (RFC 9068 section 4). Raises Rejected.

    ``keys`` may be a function that is given the unverified token, so that it can look for its ``kid``. The
    audience must be exactly ours; ``leeway`` (seconds) applies to ``exp``, ``iat`` and ``nbf``. Whether the
    token is presented with the key it is bound to is for the caller, who has the proof.
    """
    jws = read_jws(token, max_bytes=max_bytes)
    payload = jws.claims
    if jws.header.get("typ") not in _TYPES:
        raise Rejected("wrong type", "header.typ", expected=TYP, found=jws.header.get("typ"))
    if payload.get("iss") != issuer:
        raise Rejected("from another issuer", "payload.iss", expected=issuer, found=payload.get("iss"))
    if payload.get("aud") != audience:
        raise Rejected("for another audience", "payload.aud", expected=audience, found=payload.get("aud"))
    key = verify(jws, keys, algorithms=algorithms)
    expires_at = check.require_unexpired(payload, now, leeway=leeway)
    issued_at = check.required_instant(payload, "iat")
    check.require_begun(payload, "iat", now, ahead=leeway)
    check.require_begun(payload, "nbf", now, ahead=leeway)
    return AccessToken(
        issuer=issuer,
        subject=check.text(payload, "sub", max_length=_MAX_LENGTH),
        audience=audience,
        client_id=check.text(payload, "client_id", max_length=_MAX_LENGTH),
        scope=_scope(payload),
        issued_at=issued_at,
        expires_at=expires_at,
        jti=check.text(payload, "jti", max_length=_MAX_LENGTH),
        jkt=_bound_to(payload),
        key=key,
        claims=payload,
    )


def _scope(payload: Mapping[str, Any]) -> tuple[str, ...]:
    """Read ``scope`` as the array of this sector or as the string of RFC 9068 section 2.2.3."""
    scope = payload.get("scope", [])
    if type(scope) is list and all(type(value) is str for value in scope):
        return tuple(scope)
    if type(scope) is str:
        return parse_scope(scope)
    raise Rejected("not an array of strings", "payload.scope")


def _bound_to(payload: Mapping[str, Any]) -> str | None:
    """Give the thumbprint in ``cnf`` (RFC 7800). A confirmation we do not know is never ignored."""
    if "cnf" not in payload:
        return None
    confirmation = payload["cnf"]
    jkt = confirmation.get("jkt") if type(confirmation) is dict else None
    if type(jkt) is not str or not jkt or len(confirmation) != 1:
        raise Rejected("not a key thumbprint", "payload.cnf")
    return jkt
