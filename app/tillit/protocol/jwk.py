"""Keys: public ones from untrusted JWKs, private ones of our own, thumbprints (RFC 7517, 7518, 7638, 8037).

Other rooms import these names from ``tillit.protocol.jose``.
"""

import binascii
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tillit.protocol import key_quality
from tillit.protocol.errors import Rejected
from tillit.protocol.gate import is_key_id

ALGORITHMS: Final = ("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA")
"""The default allow-list. RS256 is accepted only where a caller's own allow-list names it."""

MAX_KEYS: Final = 100
_CACHED_KEYS: Final = 1024

PublicMaterial = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class KeptElsewhere(ABC):
    """A private key that never comes here, because a device keeps it: all it can do is sign."""

    @abstractmethod
    def sign_octets(self, data: bytes) -> bytes:
        """Sign with the algorithm of the key, in the form of RFC 7518 (ECDSA: r and s of fixed length)."""


PrivateMaterial = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

EC_CURVES: Final[Mapping[str, tuple[str, ec.EllipticCurve]]] = {
    "P-256": ("ES256", ec.SECP256R1()),
    "P-384": ("ES384", ec.SECP384R1()),
    "P-521": ("ES512", ec.SECP521R1()),
}
RSA_ALGORITHMS: Final = frozenset({"PS256", "PS384", "PS512", "RS256"})
_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
    "RSA": ("e", "kty", "n"),
}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that has passed the quality gate. With ``alg`` it verifies that algorithm alone.

    Without one, an EC or Edwards key verifies the one algorithm of its curve, an RSA key the PS ones and
    (if the caller's allow-list names it) RS256. ``kid`` is the JWK's own or else the thumbprint.
    """

    kid: str
    alg: str | None
    kty: str
    thumbprint: str
    algs: frozenset[str] = field(repr=False)
    _members: tuple[tuple[str, str], ...] = field(repr=False)
    _material: PublicMaterial = field(repr=False, compare=False)

    @property
    def bare_jwk(self) -> dict[str, str]:
        """The members that make the key and nothing else, as a DPoP header wants them."""
        return dict(self._members)

    @property
    def jwk(self) -> dict[str, str]:
        """The key as a JWKS publishes it: public members, ``kid``, ``use`` and, where set, ``alg``."""
        published = {**self.bare_jwk, "kid": self.kid, "use": "sig"}
        return published if self.alg is None else {**published, "alg": self.alg}

    @property
    def material(self) -> PublicMaterial:
        """The key as ``cryptography`` holds it."""
        return self._material


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with the one algorithm it signs. Its representation never shows key material."""

    kid: str
    alg: str
    public: PublicKey
    _material: PrivateMaterial | KeptElsewhere = field(repr=False, compare=False)

    @property
    def material(self) -> PrivateMaterial | KeptElsewhere:
        """The key as ``cryptography`` holds it, or what signs in its place."""
        return self._material


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """Give the RFC 7638 thumbprint of a JWK: base64url of SHA-256 over the required members in order."""
    kty = jwk.get("kty")
    if type(kty) is not str or kty not in _REQUIRED:
        raise Rejected("key type not allowed", "jwk.kty", expected="EC, OKP or RSA", found=kty)
    members = {name: jwk.get(name) for name in _REQUIRED[kty]}
    for name, value in members.items():
        if type(value) is not str:
            raise Rejected("missing or not a string", f"jwk.{name}")
    return base64url(hashlib.sha256(orjson.dumps(members)).digest())


def base64url(data: bytes) -> str:
    """Encode without padding (RFC 7515 section 2)."""
    # Few octets need replacing, which is three times as quick as looking all of them up in a table.
    encoded = binascii.b2a_base64(data, newline=False).rstrip(b"=")
    return encoded.replace(b"+", b"-").replace(b"/", b"_").decode("ascii")


def load_public_jwk(jwk: Mapping[str, Any], *, algorithms: Collection[str] = ALGORITHMS) -> PublicKey:
    """Load one untrusted public JWK (RFC 7517 section 4) through the quality gate.

    Refused: private or symmetric members, keys for encryption, an ``alg`` that is not in ``algorithms``
    or does not fit the key, anything row J16 names. Raises Rejected.
    """
    key_quality.refuse_private_members(jwk)
    _require_signature_use(jwk)
    kty, alg, kid = jwk.get("kty"), jwk.get("alg"), jwk.get("kid")
    if type(kty) is not str or kty not in _LOADERS:
        raise Rejected("key type not allowed", "jwk.kty", expected="EC, OKP or RSA", found=kty)
    if alg is not None and (type(alg) is not str or alg not in algorithms):
        raise Rejected("algorithm not allowed here", "jwk.alg", found=alg)
    if "kid" in jwk and not is_key_id(kid):
        raise Rejected("key id is not a short printable string", "jwk.kid")
    names, load = _LOADERS[kty]
    values = [jwk.get(name) for name in names]
    for name, value in zip(names, values, strict=True):
        if type(value) is not str:
            raise Rejected("missing or not a string", f"jwk.{name}")
    return load(alg, kid, *values)


def load_public_jwks(
    document: Any,
    *,
    algorithms: Collection[str] = ALGORITHMS,
    skip_unusable: bool = False,
    max_keys: int = MAX_KEYS,
    on_skipped: Callable[[Rejected], None] | None = None,
) -> tuple[PublicKey, ...]:
    """Load an untrusted JWKS (RFC 7517 section 5): at most ``max_keys`` keys with distinct key ids.

    ``skip_unusable`` leaves out keys that are not for us (other types, encryption keys, weak keys), as
    section 5 advises for somebody else's set, and tells ``on_skipped`` which and why; private members are
    refused even then. Raises Rejected.
    """
    entries = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(entries, list):
        raise Rejected("not a JWK set", "keys")
    if len(entries) > max_keys:
        raise Rejected("too many keys", "keys", expected=f"at most {max_keys}", found=len(entries))
    keys: dict[str, PublicKey] = {}
    for index, jwk in enumerate(entries):
        if not isinstance(jwk, Mapping):
            raise Rejected("not a JWK", f"keys[{index}]")
        key_quality.refuse_private_members(jwk)
        try:
            key = load_public_jwk(jwk, algorithms=algorithms)
        except Rejected as refusal:
            where = f"keys[{index}]{refusal.pointer.removeprefix('jwk')}"
            named = Rejected(refusal.reason, where, expected=refusal.expected)
            if not skip_unusable:
                raise named from None
            if on_skipped:
                on_skipped(named)
            continue
        if key.kid in keys:
            raise Rejected("key id used twice", f"keys[{index}].kid")
        keys[key.kid] = key
    return tuple(keys.values())


def _require_signature_use(jwk: Mapping[str, Any]) -> None:
    if "use" in jwk and jwk["use"] != "sig":
        raise Rejected("key is not for signatures", "jwk.use", expected="sig", found=jwk["use"])
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise Rejected("key is not for verification", "jwk.key_ops", expected="verify")


def _public_key(
    alg: str | None,
    kid: str | None,
    members: dict[str, str],
    possible: frozenset[str],
    material: PublicMaterial,
) -> PublicKey:
    if alg is not None:
        if alg not in possible:
            raise Rejected("algorithm does not fit this key", "jwk.alg", found=alg)
        possible = frozenset({alg})
    name = thumbprint(members)
    return PublicKey(kid or name, alg, members["kty"], name, possible, tuple(members.items()), material)


# Public keys may be cached: a DPoP key comes with every request. Verified tokens never are.
@lru_cache(maxsize=_CACHED_KEYS)
def _load_ec(alg: str | None, kid: str | None, crv: str, x: str, y: str) -> PublicKey:
    members = {"kty": "EC", "crv": crv, "x": x, "y": y}
    _, x_octets, y_octets = key_quality.ec_coordinates(members)
    own_alg, curve = EC_CURVES[crv]
    material = ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + x_octets + y_octets)
    return _public_key(alg, kid, members, frozenset({own_alg}), material)


@lru_cache(maxsize=_CACHED_KEYS)
def _load_rsa(alg: str | None, kid: str | None, n: str, e: str) -> PublicKey:
    members = {"kty": "RSA", "n": n, "e": e}
    modulus, exponent = key_quality.rsa_numbers(members)
    material = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    return _public_key(alg, kid, members, RSA_ALGORITHMS, material)


@lru_cache(maxsize=_CACHED_KEYS)
def _load_okp(alg: str | None, kid: str | None, crv: str, x: str) -> PublicKey:
    members = {"kty": "OKP", "crv": crv, "x": x}
    material = ed25519.Ed25519PublicKey.from_public_bytes(key_quality.ed25519_point(members))
    return _public_key(alg, kid, members, frozenset({"EdDSA"}), material)


_LOADERS: Final[Mapping[str, tuple[tuple[str, ...], Callable[..., PublicKey]]]] = {
    "EC": (("crv", "x", "y"), _load_ec),
    "RSA": (("n", "e"), _load_rsa),
    "OKP": (("crv", "x"), _load_okp),
}
