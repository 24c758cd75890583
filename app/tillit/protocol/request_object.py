"""Signed authorization requests (RFC 9101), to the FAPI 2.0 Message Signing rules (section 5.3.1).

A request object says what the client asks for; whether it stands alone or is merged with the parameters
beside it, and what the parameters mean, is decided by those who take the request.
"""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tillit.protocol import claims as check
from tillit.protocol.client_assertion import TYP as ASSERTION_TYP
from tillit.protocol.errors import OAuthError, Rejected
from tillit.protocol.gate import MAX_ASSERTION_BYTES, read_jws
from tillit.protocol.jose import ALGORITHMS, Keys, PublicKey, SigningKey, sign, verify

TYP: Final = "oauth-authz-req+jwt"
_TYPES: Final = frozenset({TYP, f"application/{TYP}"})

MAX_AGE: Final = 3600
"""Seconds ``nbf`` may lie back, and ``exp`` may lie after ``nbf`` (FAPI 2.0 Message Signing 5.3.1)."""
EXPIRY_LEEWAY: Final = 5
MAX_JTI_LENGTH: Final = 128

# Claims of the envelope; everything else is a request parameter. A request object never holds another.
_ENVELOPE: Final = frozenset("iss aud iat nbf exp jti sub".split())  # noqa: SIM905, a word list
_NESTED: Final = ("request", "request_uri")


@dataclass(frozen=True, slots=True)
class RequestProfile:
    """What is forgiven to clients that cannot be changed; each use is named in ``tolerances_used``.

    ``general_typ``: ``JWT``. ``assertion_typ``: the type of a client assertion. ``missing_client_id``: only
    ``iss`` names the client. ``missing_nbf``: the life counts from ``iat``. ``string_iat``: digits in a
    string. ``trailing_slash_audience``: the issuer with one slash more.
    """

    general_typ: bool = False
    assertion_typ: bool = False
    missing_client_id: bool = False
    missing_nbf: bool = False
    string_iat: bool = False
    trailing_slash_audience: bool = False


STRICT: Final = RequestProfile()


@dataclass(frozen=True, slots=True)
class RequestObject:
    """A checked request object. ``parameters`` are its claims without the envelope, ``client_id`` included.

    Times are Unix seconds; it is good from ``not_before``. A ``jti``, where there is one, must be remembered
    per client until after ``expires_at``.
    """

    client_id: str
    parameters: Mapping[str, Any] = field(repr=False)
    jti: str | None
    iat: int | None
    not_before: int
    expires_at: int
    key: PublicKey
    tolerances_used: tuple[str, ...]


def make_request_object(
    key: SigningKey,
    client_id: str,
    audience: str,
    parameters: Mapping[str, Any],
    *,
    now: float,
    lifetime: int = 60,
    jti: str | None = None,
) -> str:
    """Make a request object (RFC 9101 section 4). ``audience`` is the issuer, ``lifetime`` in seconds."""
    issued_at = int(now)
    payload = {
        **parameters,
        "client_id": client_id,
        "iss": client_id,
        "aud": audience,
        "iat": issued_at,
        "nbf": issued_at,
        "exp": issued_at + lifetime,
        "jti": jti or secrets.token_urlsafe(16),
    }
    return sign({"typ": TYP}, payload, key)


def check_request_object(
    token: str,
    *,
    keys: Keys,
    client_id: str,
    issuer: str,
    now: float,
    algorithms: Collection[str] = ALGORITHMS,
    profile: RequestProfile = STRICT,
) -> RequestObject:
    """Check the request object of an authenticated client (RFC 9101 section 6).

    In the order certification runs expect: form, client, algorithm and signature, audience, times, claims
    that may not be there. Raises OAuthError ``invalid_request_object``.
    """
    try:
        return _check(token, keys, client_id, issuer, now, algorithms, profile)
    except Rejected as refusal:
        raise OAuthError.from_rejected(
            "invalid_request_object", refusal, prefix="request object: "
        ) from refusal


def _check(  # noqa: PLR0917, the checker's own arguments, passed on
    token: str,
    keys: Keys,
    client_id: str,
    issuer: str,
    now: float,
    algorithms: Collection[str],
    profile: RequestProfile,
) -> RequestObject:
    jws = read_jws(token, max_bytes=MAX_ASSERTION_BYTES)
    claims = jws.claims
    used: list[str] = []
    _require_type(jws.header, profile, used)
    _require_client(claims, client_id, profile, used)
    key = verify(jws, keys, algorithms=algorithms)
    _require_audience(claims, issuer, profile, used)
    issued_at, begins, expires = _require_timely(claims, now, profile, used)
    for name in _NESTED:
        if name in claims:
            raise Rejected("not allowed in a request object", f"payload.{name}")
    return RequestObject(
        client_id=client_id,
        parameters={name: value for name, value in claims.items() if name not in _ENVELOPE},
        jti=check.optional_text(claims, "jti", max_length=MAX_JTI_LENGTH),
        iat=issued_at,
        not_before=begins,
        expires_at=expires + EXPIRY_LEEWAY,
        key=key,
        tolerances_used=tuple(used),
    )


def _require_type(header: Mapping[str, Any], profile: RequestProfile, used: list[str]) -> None:
    """``typ`` is optional and compared without regard to case (RFC 9101 section 10.8, RFC 7515 4.1.9)."""
    if "typ" not in header:
        return
    typ = header["typ"]
    if type(typ) is str and typ.lower() in _TYPES:
        return
    if typ == "JWT" and profile.general_typ:
        used.append("general_typ")
    elif typ == ASSERTION_TYP and profile.assertion_typ:
        used.append("assertion_typ")
    else:
        raise Rejected("wrong type", "header.typ", expected=TYP, found=typ)


def _require_client(
    claims: Mapping[str, Any], client_id: str, profile: RequestProfile, used: list[str]
) -> None:
    """Issuer and ``client_id`` are the client that has authenticated (RFC 9101 sections 5 and 6.3)."""
    if claims.get("iss") != client_id:
        raise Rejected("from another client", "payload.iss")
    if claims.get("client_id") == client_id:
        return
    if "client_id" in claims or not profile.missing_client_id:
        raise Rejected("of another client", "payload.client_id")
    used.append("missing_client_id")


def _require_audience(
    claims: Mapping[str, Any], issuer: str, profile: RequestProfile, used: list[str]
) -> None:
    """We are the audience or among them: foreign values beside ours do no harm (RFC 7519 section 4.1.3)."""
    audience = claims.get("aud")
    if audience == issuer or (type(audience) is list and issuer in audience):
        return
    if audience != f"{issuer}/" or not profile.trailing_slash_audience:
        raise Rejected("not our issuer identifier", "payload.aud", expected=issuer, found=audience)
    used.append("trailing_slash_audience")


def _require_timely(
    claims: Mapping[str, Any], now: float, profile: RequestProfile, used: list[str]
) -> tuple[int | None, int, int]:
    if profile.string_iat and type(claims.get("iat")) is str:
        claims = check.with_numeric_iat(claims)
        used.append("string_iat")
    expires = check.require_unexpired(claims, now, leeway=EXPIRY_LEEWAY)
    begins = check.require_begun(claims, "nbf", now)
    issued_at = check.require_begun(claims, "iat", now)
    if begins is None:
        if not profile.missing_nbf:
            raise Rejected("missing", "payload.nbf")
        used.append("missing_nbf")
        begins = issued_at if issued_at is not None else int(now)
    if begins < now - MAX_AGE:
        raise Rejected(
            "too old", "payload.nbf", expected=f"at most {MAX_AGE} s old", clock_difference=begins - now
        )
    if expires > begins + MAX_AGE:
        raise Rejected("lives too long", "payload.exp", expected=f"at most {MAX_AGE} s after nbf")
    return issued_at, begins, expires
