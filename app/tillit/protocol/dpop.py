"""DPoP proofs (RFC 9449 sections 4 and 7): made by the holder of a key, checked by a server."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tillit.protocol import claims as check
from tillit.protocol.errors import OAuthError, Rejected, use_dpop_nonce
from tillit.protocol.gate import UnverifiedJWS, read_jws
from tillit.protocol.jose import (
    ALGORITHMS,
    PublicKey,
    SigningKey,
    base64url,
    load_public_jwk,
    sign,
    verify_bytes,
)
from tillit.protocol.key_quality import refuse_private_members
from tillit.protocol.nonces import Nonces
from tillit.quick import quick

MAX_AGE: Final = 60
"""Seconds a proof is good after its ``iat``; with a nonce too."""
MAX_AHEAD: Final = check.MAX_AHEAD
EXPIRY_LEEWAY: Final = 5
MAX_JTI_LENGTH: Final = 256
TYP: Final = "dpop+jwt"

_MAX_URL_LENGTH: Final = 2048
_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>/[^?#]*)?(?:\?[^#]*)?(?:#.*)?",
    re.IGNORECASE,
)
_NOT_IN_URLS: Final = re.compile(r"[^\x21-\x7e]|[\\\"<>^`{|}]")
_KEY_MEMBERS: Final = frozenset({"kty", "crv", "x", "y", "n", "e", "alg"})
_DEFAULT_PORT: Final = {"http": "80", "https": "443"}


@quick
@dataclass(frozen=True, slots=True)
class Proof:
    """A checked proof. Its ``jti`` must be remembered until after ``expires_at`` (Unix seconds).

    ``expires_at`` is the last instant at which the same proof could still be accepted.
    """

    jkt: str
    jti: str
    iat: int
    nonce: str | None
    alg: str
    expires_at: int
    key: PublicKey


def make_proof(
    key: SigningKey,
    method: str,
    url: str,
    *,
    now: float,
    nonce: str | None = None,
    access_token: str | None = None,
    jti: str | None = None,
) -> str:
    """Make a proof for one request (RFC 9449 section 4.2). ``url`` loses its query and fragment."""
    payload: dict[str, Any] = {
        "jti": jti or secrets.token_urlsafe(16),
        "htm": method,
        "htu": re.split(r"[?#]", url, maxsplit=1)[0],
        "iat": int(now),
    }
    if access_token is not None:
        payload["ath"] = access_token_hash(access_token)
    if nonce is not None:
        payload["nonce"] = nonce
    return sign({"typ": TYP, "jwk": key.public.bare_jwk}, payload, key)


def access_token_hash(access_token: str) -> str:
    """Give the ``ath`` of a token: base64url of the SHA-256 of its ASCII form (RFC 9449 section 4.2)."""
    return base64url(hashlib.sha256(access_token.encode("ascii", "replace")).digest())


def check_proof(
    headers: Sequence[str],
    *,
    method: str,
    url: str,
    now: float,
    algorithms: Collection[str] = ALGORITHMS,
    nonces: Nonces | None = None,
    access_token: str | None = None,
    expected_jkt: str | None = None,
) -> Proof:
    """Check the proof of a request (RFC 9449 section 4.3); ``headers`` are all values of ``DPoP``.

    ``url`` is our own address of the endpoint, as configured. With ``nonces`` a server nonce is
    demanded; with ``access_token`` its hash; with ``expected_jkt`` that key. The costly checks, key and
    signature, come last. Raises OAuthError: ``invalid_dpop_proof``, or ``use_dpop_nonce`` with the nonce.
    """
    try:
        return _check(
            headers, method, url, now, algorithms, nonces=nonces, access_token=access_token, jkt=expected_jkt
        )
    except Rejected as refusal:
        raise OAuthError.from_rejected("invalid_dpop_proof", refusal, prefix="DPoP proof: ") from refusal


def _check(
    headers: Sequence[str],
    method: str,
    url: str,
    now: float,
    algorithms: Collection[str],
    *,
    nonces: Nonces | None,
    access_token: str | None,
    jkt: str | None,
) -> Proof:
    # 4.3 numbers 1 and 2: exactly one header, and it is one JWT
    if len(headers) != 1 or "," in headers[0]:
        raise Rejected("exactly one DPoP header is needed", found=f"{len(headers)} headers")
    jws = read_jws(headers[0], allow_jwk=True)
    payload = jws.claims
    # 3: all claims are there
    jti = check.text(payload, "jti", max_length=MAX_JTI_LENGTH)
    method_claimed = check.text(payload, "htm", max_length=32)
    url_claimed = check.text(payload, "htu", max_length=_MAX_URL_LENGTH)
    issued_at = check.required_instant(payload, "iat")
    # 4, 5 and 7: type, algorithm, no private key
    jwk = _public_jwk(jws, algorithms)
    # 8 and 9: this method, this address
    if method_claimed != method:
        raise Rejected("for another method", "payload.htm", expected=method, found=method_claimed)
    if url_claimed != url and normalise_htu(url_claimed) != normalise_htu(url):
        raise Rejected("for another address", "payload.htu", expected=url)
    # 11: made recently
    _require_timely(payload, issued_at, now)
    # 10: the nonce, before any cryptography
    nonce = check.optional_text(payload, "nonce", max_length=MAX_JTI_LENGTH)
    if nonces is not None and (nonce is None or not nonces.valid(nonce, now)):
        raise use_dpop_nonce(nonces.issue(now))
    # 6: the signature, by the key in the header
    key = _signer(jws, jwk, algorithms)
    # 12: for this access token, by the key it is bound to
    if access_token is not None:
        _require_hash(payload, access_token)
    if jkt is not None and not hmac.compare_digest(jkt.encode(), key.thumbprint.encode()):
        raise Rejected("made with another key", "header.jwk")
    return Proof(key.thumbprint, jti, issued_at, nonce, jws.alg, issued_at + MAX_AGE, key)


def _public_jwk(jws: UnverifiedJWS, algorithms: Collection[str]) -> Mapping[str, Any]:
    header = jws.header
    if header.get("typ") != TYP:
        raise Rejected("wrong type", "header.typ", expected=TYP, found=header.get("typ"))
    if jws.alg not in algorithms:
        raise Rejected(
            "algorithm not allowed here", "header.alg", expected=" ".join(algorithms), found=jws.alg
        )
    jwk = header.get("jwk")
    if type(jwk) is not dict:
        raise Rejected("missing or not an object", "header.jwk")
    refuse_private_members(jwk)
    for name in ("x5c", "x5u"):
        if name in jwk:
            raise Rejected("member not allowed", f"jwk.{name}")
    # What makes the key, and its alg; the other members say nothing to us (RFC 9449 section 4.2).
    return {name: value for name, value in jwk.items() if name in _KEY_MEMBERS}


def _signer(jws: UnverifiedJWS, jwk: Mapping[str, Any], algorithms: Collection[str]) -> PublicKey:
    key = load_public_jwk(jwk, algorithms=algorithms)
    if jws.alg not in key.algs:
        raise Rejected("algorithm is not the one of the key", "header.alg", expected=key.alg, found=jws.alg)
    if not verify_bytes(jws.signing_input, jws.signature, key, jws.alg):
        raise Rejected("signature does not verify", "signature")
    return key


def _require_timely(payload: Mapping[str, Any], issued_at: int, now: float) -> None:
    check.require_begun(payload, "iat", now, ahead=MAX_AHEAD)
    if issued_at < now - MAX_AGE:
        raise Rejected(
            "too old", "payload.iat", expected=f"at most {MAX_AGE} s old", clock_difference=issued_at - now
        )
    check.require_begun(payload, "nbf", now, ahead=MAX_AHEAD)
    if "exp" in payload:
        check.require_unexpired(payload, now, leeway=EXPIRY_LEEWAY)


def _require_hash(payload: Mapping[str, Any], access_token: str) -> None:
    claimed = check.text(payload, "ath", max_length=64)
    if not hmac.compare_digest(claimed.encode("utf-8"), access_token_hash(access_token).encode()):
        raise Rejected("for another access token", "payload.ath")


def normalise_htu(url: object) -> str:
    """Give an http(s) URL in the form proofs are compared in (RFC 9449 section 4.3 number 9).

    Scheme and host in lower case, no default port, ``/`` for an empty path, no query, no fragment
    (RFC 3986 sections 6.2.2.1 and 6.2.3). The path is compared byte for byte: percent-encoding, dot
    segments and trailing slashes are not touched. User information, other schemes and characters that
    no URL may hold are refused. Raises Rejected.
    """
    if type(url) is not str or len(url) > _MAX_URL_LENGTH or _NOT_IN_URLS.search(url):
        raise Rejected("not an http URL", "payload.htu")
    parts = _URL.fullmatch(url)
    if parts is None:
        raise Rejected("not an http URL", "payload.htu")
    scheme, host, port, path = parts.group("scheme", "host", "port", "path")
    scheme = scheme.lower()
    authority = host.lower() if port in (None, _DEFAULT_PORT[scheme]) else f"{host.lower()}:{port}"
    return f"{scheme}://{authority}{path or '/'}"
