"""ID tokens (OpenID Connect Core section 2): made by the issuer, checked by the client, shown as a hint."""

import hashlib
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tillit.protocol import claims as check
from tillit.protocol.errors import Rejected
from tillit.protocol.gate import GATE_ALGORITHMS, MAX_ASSERTION_BYTES, UnverifiedJWS, read_jws
from tillit.protocol.jose import ALGORITHMS, Keys, PublicKey, SigningKey, base64url, sign, verify

TYP: Final = "JWT"
LEEWAY: Final = 10
MAX_SUBJECT_LENGTH: Final = 255
_MAX_LENGTH: Final = 512

# What id_token_claims writes itself; ``claims`` may not speak over it.
_OWN: Final = frozenset("iss sub aud azp nbf iat exp nonce at_hash auth_time sid".split())  # noqa: SIM905, a word list
# The hash of the signature algorithm (OpenID Connect Core section 3.1.3.6); Ed25519 signs with SHA-512.
_HASHES: Final[Mapping[str, str]] = {"256": "sha256", "384": "sha384", "512": "sha512", "DSA": "sha512"}


@dataclass(frozen=True, slots=True)
class IdToken:
    """A verified ID token: who logged in, when, at which issuer. Times are whole Unix seconds."""

    issuer: str
    subject: str = field(repr=False)
    client_id: str
    issued_at: int
    expires_at: int
    auth_time: int | None
    sid: str | None
    key: PublicKey
    claims: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class IdTokenHint:
    """An ID token of our own, of any age: whom and which client it was made for."""

    subject: str = field(repr=False)
    client_id: str
    sid: str | None


def token_hash(token: str, algorithm: str) -> str:
    """Give the ``at_hash`` of a token: the left half of its hash (OpenID Connect Core section 3.1.3.6)."""
    digest = hashlib.new(_HASHES[algorithm[-3:]], token.encode("ascii", "replace")).digest()
    return base64url(digest[: len(digest) // 2])


def id_token_claims(
    *,
    issuer: str,
    subject: str,
    client_id: str,
    now: float,
    lifetime: int,
    nonce: str | None,
    auth_time: int | None,
    access_token: str | None,
    algorithm: str,
    sid: str | None,
    claims: Mapping[str, Any],
) -> dict[str, Any]:
    """Give the payload of an ID token (OpenID Connect Core section 2). ``lifetime`` in seconds.

    ``algorithm`` is the one it will be signed with, which decides the hash of ``access_token``. What is
    None is left out. Raises ValueError when ``claims`` names a claim that the token writes itself.
    """
    if not _OWN.isdisjoint(claims):
        raise ValueError(f"claims of the token itself: {', '.join(sorted(_OWN.intersection(claims)))}")
    issued_at = int(now)
    payload = {
        "iss": issuer,
        "nbf": issued_at,
        "iat": issued_at,
        "exp": issued_at + lifetime,
        "aud": client_id,
        "nonce": nonce,
        "at_hash": None if access_token is None else token_hash(access_token, algorithm),
        "sid": sid,
        "sub": subject,
        "auth_time": auth_time,
    }
    return {name: value for name, value in payload.items() if value is not None} | dict(claims)


def make_id_token(
    key: SigningKey,
    *,
    issuer: str,
    subject: str,
    client_id: str,
    now: float,
    lifetime: int,
    nonce: str | None = None,
    auth_time: int | None = None,
    access_token: str | None = None,
    sid: str | None = None,
    claims: Mapping[str, Any],
) -> str:
    """Make and sign an ID token (OpenID Connect Core section 2)."""
    payload = id_token_claims(
        issuer=issuer,
        subject=subject,
        client_id=client_id,
        now=now,
        lifetime=lifetime,
        nonce=nonce,
        auth_time=auth_time,
        access_token=access_token,
        algorithm=key.alg,
        sid=sid,
        claims=claims,
    )
    return sign({"typ": TYP}, payload, key)


def check_id_token(
    token: str,
    *,
    keys: Keys,
    issuer: str,
    client_id: str,
    now: float,
    nonce: str | None,
    max_age: int | None = None,
    access_token: str | None = None,
    algorithms: Collection[str] = ALGORITHMS,
    leeway: int = LEEWAY,
) -> IdToken:
    """Check an ID token as the client it was made for (OpenID Connect Core section 3.1.3.7). Raises Rejected.

    The client must be its only audience. ``nonce`` is the one the request carried, None when it carried
    none (a refresh has none). With ``max_age`` (seconds) the login must be that young; ``leeway`` (seconds)
    applies to every time. ``access_token`` is compared with ``at_hash``, where there is one.
    """
    jws = _own_kind(token, issuer)
    payload = jws.claims
    audience = payload.get("aud")
    if audience not in (client_id, [client_id]) or payload.get("azp", client_id) != client_id:
        raise Rejected("for another client", "payload.aud", expected=client_id, found=audience)
    key = verify(jws, keys, algorithms=algorithms)
    expires_at = check.require_unexpired(payload, now, leeway=leeway)
    issued_at = check.required_instant(payload, "iat")
    check.require_begun(payload, "iat", now, ahead=leeway)
    check.require_begun(payload, "nbf", now, ahead=leeway)
    if nonce is not None and not _equal(payload.get("nonce"), nonce):
        raise Rejected("not the nonce of this login", "payload.nonce")
    if access_token is not None and "at_hash" in payload:
        _require_hash(payload["at_hash"], access_token, jws.alg)
    return IdToken(
        issuer=issuer,
        subject=check.text(payload, "sub", max_length=MAX_SUBJECT_LENGTH),
        client_id=client_id,
        issued_at=issued_at,
        expires_at=expires_at,
        auth_time=_auth_time(payload, now, max_age, leeway),
        sid=check.optional_text(payload, "sid", max_length=_MAX_LENGTH),
        key=key,
        claims=payload,
    )


def read_hint(
    token: str, *, keys: Keys, issuer: str, algorithms: Collection[str] = GATE_ALGORITHMS
) -> IdTokenHint:
    """Read an ID token that a client shows to its issuer (OpenID Connect Core section 3.1.2.1).

    It must be signed by us and may be of any age (RP-Initiated Logout 1.0 section 2); no other kind of
    token is taken for one. Raises Rejected.
    """
    jws = _own_kind(token, issuer)
    verify(jws, keys, algorithms=algorithms)
    payload = jws.claims
    audience = payload.get("aud")
    client_id = audience[0] if type(audience) is list and len(audience) == 1 else audience
    if type(client_id) is not str or not 0 < len(client_id) <= _MAX_LENGTH:
        raise Rejected("not one client", "payload.aud")
    return IdTokenHint(
        subject=check.text(payload, "sub", max_length=MAX_SUBJECT_LENGTH),
        client_id=client_id,
        sid=check.optional_text(payload, "sid", max_length=_MAX_LENGTH),
    )


def _own_kind(token: str, issuer: str) -> UnverifiedJWS:
    jws = read_jws(token, max_bytes=MAX_ASSERTION_BYTES)
    if jws.header.get("typ", TYP) != TYP:
        raise Rejected("wrong type", "header.typ", expected=TYP, found=jws.header.get("typ"))
    if jws.claims.get("iss") != issuer:
        raise Rejected("from another issuer", "payload.iss", expected=issuer, found=jws.claims.get("iss"))
    return jws


def _require_hash(found: Any, access_token: str, algorithm: str) -> None:
    if not _equal(found, token_hash(access_token, algorithm)):
        raise Rejected("not the hash of this access token", "payload.at_hash")


def _equal(found: Any, expected: str) -> bool:
    return type(found) is str and hmac.compare_digest(found.encode(), expected.encode())


def _auth_time(payload: Mapping[str, Any], now: float, max_age: int | None, leeway: int) -> int | None:
    logged_in = check.require_begun(payload, "auth_time", now, ahead=leeway)
    if max_age is not None:
        logged_in = check.required_instant(payload, "auth_time")
        if now - logged_in > max_age + leeway:
            raise Rejected(
                "logged in too long ago",
                "payload.auth_time",
                expected=f"at most {max_age} s ago",
                clock_difference=logged_in - now,
            )
    return logged_in
