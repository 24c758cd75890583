"""Client authentication with a signed JWT, ``private_key_jwt`` (RFC 7523 section 3, rfc7523bis).

Whatever is wrong, the other side sees one and the same ``invalid_client``; the reason is for the log.
"""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tillit.protocol import claims as check
from tillit.protocol.errors import Rejected, invalid_client_from
from tillit.protocol.gate import MAX_ASSERTION_BYTES, UnverifiedJWS, read_jws
from tillit.protocol.jose import ALGORITHMS, Keys, PublicKey, SigningKey, sign, verify
from tillit.quick import quick

TYP: Final = "client-authentication+jwt"
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

MAX_LIFETIME: Final = 60
"""Seconds from ``iat`` to ``exp`` at most."""
LONG_LIFETIME: Final = 120
EXPIRY_LEEWAY: Final = 5
"""Seconds after ``exp``; one widely used library makes assertions that live five seconds."""
MAX_JTI_LENGTH: Final = 128
MAX_CLIENT_ID_LENGTH: Final = 256


@dataclass(frozen=True, slots=True)
class AssertionProfile:
    """What is forgiven to clients that cannot be changed; each use is named in ``tolerances_used``.

    ``one_element_audience``: ``aud`` as an array of one. ``trailing_slash_audience``: the issuer with one
    slash more. ``token_endpoint_audience``: the token endpoint's URL. ``string_iat``: digits in a string.
    ``long_lifetime``: 120 s. ``legacy_authorization_details``: details under ``authorization_details``.
    ``require_typ`` is no tolerance but the opposite: a missing or general ``typ`` is refused.
    """

    one_element_audience: bool = False
    trailing_slash_audience: bool = False
    token_endpoint_audience: bool = False
    string_iat: bool = False
    long_lifetime: bool = False
    legacy_authorization_details: bool = False
    require_typ: bool = False


STRICT: Final = AssertionProfile()


@quick
@dataclass(frozen=True, slots=True)
class UnverifiedAssertion:
    """An assertion that names a client; the name is only good for looking up the client's keys."""

    unverified_client_id: str
    jws: UnverifiedJWS
    token: str = field(repr=False)


@quick
@dataclass(frozen=True, slots=True)
class Assertion:
    """A checked assertion. ``jti`` must be remembered per client until after ``expires_at``.

    ``expires_at`` (Unix seconds) is the last instant at which the same assertion could be accepted.
    ``details`` is the raw value of ``assertion_details``, None when absent.
    """

    client_id: str
    jti: str
    iat: int
    exp: int
    expires_at: int
    key: PublicKey
    claims: Mapping[str, Any] = field(repr=False)
    details: Any | None = field(repr=False)
    tolerances_used: tuple[str, ...]
    token: str = field(repr=False)


def make_assertion(
    key: SigningKey,
    client_id: str,
    audience: str,
    *,
    now: float,
    lifetime: int = 30,
    jti: str | None = None,
    assertion_details: Any | None = None,
    extra: Mapping[str, Any] | None = None,
) -> str:
    """Make an assertion (RFC 7523 section 3). ``audience`` is the issuer, ``lifetime`` in seconds."""
    issued_at = int(now)
    payload: dict[str, Any] = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "jti": jti or secrets.token_urlsafe(16),
        "iat": issued_at,
        "nbf": issued_at,
        "exp": issued_at + lifetime,
    }
    if assertion_details is not None:
        payload["assertion_details"] = assertion_details
    return sign({"typ": TYP}, {**payload, **(extra or {})}, key)


def read_assertion(form_value: str) -> UnverifiedAssertion:
    """Read the assertion as far as needed to know whose keys to fetch. Raises OAuthError invalid_client."""
    try:
        jws = read_jws(form_value, max_bytes=MAX_ASSERTION_BYTES)
        return UnverifiedAssertion(_named_client(jws.claims), jws, form_value)
    except Rejected as refusal:
        raise invalid_client_from(refusal) from refusal


def check_assertion(
    unverified: UnverifiedAssertion,
    *,
    keys: Keys,
    client_id: str,
    issuer: str,
    now: float,
    algorithms: Collection[str] = ALGORITHMS,
    profile: AssertionProfile = STRICT,
    token_endpoint: str | None = None,
) -> Assertion:
    """Check an assertion against its client's keys, in the order of RFC 7523 section 3.

    ``keys`` may be a function, which is asked only for an assertion that is good in all but the signature.
    ``token_endpoint`` is only looked at when the profile forgives that audience. Whether the ``jti`` was
    used before is for the caller to settle. Raises OAuthError invalid_client.
    """
    try:
        return _check(unverified, keys, client_id, issuer, now, algorithms, profile, token_endpoint)
    except Rejected as refusal:
        raise invalid_client_from(refusal) from refusal


def _named_client(claims: Mapping[str, Any]) -> str:
    """Numbers 1 and 2 of section 3: issuer and subject are the client, and hence the same."""
    issuer = check.text(claims, "iss", max_length=MAX_CLIENT_ID_LENGTH)
    if check.text(claims, "sub", max_length=MAX_CLIENT_ID_LENGTH) != issuer:
        raise Rejected("issuer and subject differ", "payload.sub")
    return issuer


def _check(  # noqa: PLR0917, the checker's own arguments, passed on
    unverified: UnverifiedAssertion,
    keys: Keys,
    client_id: str,
    issuer: str,
    now: float,
    algorithms: Collection[str],
    profile: AssertionProfile,
    token_endpoint: str | None,
) -> Assertion:
    jws = unverified.jws
    claims = jws.claims
    used: list[str] = []
    _require_type(jws.header, profile)
    if _named_client(claims) != client_id:
        raise Rejected("names another client", "payload.iss")
    _require_audience(claims, issuer, token_endpoint, profile, used)
    issued_at, expires = _require_timely(claims, now, profile, used)
    jti = check.text(claims, "jti", max_length=MAX_JTI_LENGTH)
    key = verify(jws, keys, algorithms=algorithms)
    details = claims.get("assertion_details")
    if details is None and profile.legacy_authorization_details and "authorization_details" in claims:
        details = claims["authorization_details"]
        used.append("legacy_authorization_details")
    return Assertion(
        client_id=client_id,
        jti=jti,
        iat=issued_at,
        exp=expires,
        expires_at=expires + EXPIRY_LEEWAY,
        key=key,
        claims=claims,
        details=details,
        tolerances_used=tuple(used),
        token=unverified.token,
    )


def _require_type(header: Mapping[str, Any], profile: AssertionProfile) -> None:
    typ = header.get("typ")
    if typ == TYP or (not profile.require_typ and ("typ" not in header or typ == "JWT")):
        return
    raise Rejected("wrong type", "header.typ", expected=TYP, found=typ)


def _require_audience(
    claims: Mapping[str, Any],
    issuer: str,
    token_endpoint: str | None,
    profile: AssertionProfile,
    used: list[str],
) -> None:
    """Number 3: the audience is the issuer, as one string, and nothing else (FAPI 2.0 section 5.3.2.1)."""
    audience = claims.get("aud")
    if audience == issuer:
        return
    refusal = Rejected("not our issuer identifier", "payload.aud", expected=issuer, found=audience)
    forgiven: list[str] = []
    if type(audience) is list and len(audience) == 1 and profile.one_element_audience:
        forgiven.append("one_element_audience")
        audience = audience[0]
    if type(audience) is not str:
        raise refusal
    if audience == f"{issuer}/" and profile.trailing_slash_audience:
        forgiven.append("trailing_slash_audience")
    elif token_endpoint is not None and audience == token_endpoint and profile.token_endpoint_audience:
        forgiven.append("token_endpoint_audience")
    elif audience != issuer:
        raise refusal
    used.extend(forgiven)


def _require_timely(
    claims: Mapping[str, Any], now: float, profile: AssertionProfile, used: list[str]
) -> tuple[int, int]:
    """Numbers 4 to 6: not expired, begun, and made for a short life."""
    if profile.string_iat and type(claims.get("iat")) is str:
        claims = check.with_numeric_iat(claims)
        used.append("string_iat")
    expires = check.require_unexpired(claims, now, leeway=EXPIRY_LEEWAY)
    check.require_begun(claims, "nbf", now)
    issued_at = check.required_instant(claims, "iat")
    check.require_begun(claims, "iat", now)
    if not issued_at <= expires <= issued_at + MAX_LIFETIME:
        if not (profile.long_lifetime and issued_at <= expires <= issued_at + LONG_LIFETIME):
            raise Rejected(
                "lives too long",
                "payload.exp",
                expected=f"at most {MAX_LIFETIME} s after iat",
                found=f"{expires - issued_at} s after iat",
            )
        used.append("long_lifetime")
    return issued_at, expires
