"""Private keys of our own: made, read and written (RFC 7517, 7518 section 6, 5958).

Other rooms import these names from ``tillit.protocol.jose``.
"""

from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tillit.protocol import key_quality
from tillit.protocol.errors import Rejected
from tillit.protocol.jwk import (
    EC_CURVES,
    RSA_ALGORITHMS,
    KeptElsewhere,
    PrivateMaterial,
    PublicMaterial,
    SigningKey,
    base64url,
    load_public_jwk,
)

RSA_BITS: Final = 3072
_CURVE_OF_ALG: Final = {alg: (crv, curve) for crv, (alg, curve) in EC_CURVES.items()}
SIGNING_ALGORITHMS: Final = frozenset({*_CURVE_OF_ALG, *RSA_ALGORITHMS, "EdDSA"})
_PRIVATE: Final = ("d", "p", "q", "dp", "dq", "qi")


def generate_key(alg: str, kid: str | None = None, *, rsa_bits: int = RSA_BITS) -> SigningKey:
    """Make a new key for one algorithm; without ``kid`` it is named by its RFC 7638 thumbprint."""
    if alg in _CURVE_OF_ALG:
        return _signing_key(ec.generate_private_key(_CURVE_OF_ALG[alg][1]), alg, kid)
    if alg == "EdDSA":
        return _signing_key(ed25519.Ed25519PrivateKey.generate(), alg, kid)
    if alg in RSA_ALGORITHMS:
        material = rsa.generate_private_key(public_exponent=65537, key_size=rsa_bits)
        return _signing_key(material, alg, kid)
    raise Rejected("algorithm not allowed", "alg", found=alg)


def load_private_jwk(jwk: Mapping[str, Any], alg: str | None = None) -> SigningKey:
    """Load a private JWK. The algorithm is ``alg``, the JWK's own, the curve's, or PS256 for RSA.

    The public half goes through the quality gate and must belong to the private half. Raises Rejected.
    """
    public_members = {name: value for name, value in jwk.items() if name not in key_quality.PRIVATE_MEMBERS}
    public_members.pop("key_ops", None)
    chosen = alg or jwk.get("alg")
    public = load_public_jwk(
        {**public_members, "alg": chosen} if chosen else public_members, algorithms=SIGNING_ALGORITHMS
    )
    try:
        material = _material(jwk, public.kty)
    except (ValueError, TypeError):
        raise Rejected("private key does not belong to its public half", "jwk.d") from None
    if _public_members(material.public_key()) != public.bare_jwk:
        raise Rejected("private key does not belong to its public half", "jwk.d")
    if chosen is None:
        chosen = "PS256" if public.kty == "RSA" else next(iter(public.algs))
    return _signing_key(material, chosen, jwk.get("kid"))


def load_private_pem(
    data: bytes, alg: str, password: bytes | None = None, *, kid: str | None = None
) -> SigningKey:
    """Load a PKCS#8 private key in PEM, encrypted or not, for one algorithm. Raises Rejected."""
    try:
        material = serialization.load_pem_private_key(data, password)
    except (ValueError, TypeError):
        raise Rejected("private key cannot be read") from None
    return _own(material, alg, kid)


def load_private_der(
    data: bytes, alg: str, password: bytes | None = None, *, kid: str | None = None, ours: bool = False
) -> SigningKey:
    """Load a PKCS#8 private key in DER, encrypted or not, for one algorithm. Raises Rejected.

    ``ours``: it was written by ``private_der`` and nobody can have changed it since, as behind a seal. Then
    the numbers of an RSA key are not proved prime again, which takes an eighth of a second.
    """
    try:
        material = serialization.load_der_private_key(data, password, unsafe_skip_rsa_key_validation=ours)
    except (ValueError, TypeError):
        raise Rejected("private key cannot be read") from None
    return _own(material, alg, kid)


def private_pem(key: SigningKey, password: bytes | None) -> bytes:
    """Write a private key as PKCS#8 in PEM, encrypted when there is a password."""
    return _here(key).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, _encryption(password)
    )


def private_der(key: SigningKey, password: bytes | None = None) -> bytes:
    """Write a private key as PKCS#8 in DER, encrypted when there is a password."""
    return _here(key).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, _encryption(password)
    )


def private_jwk(key: SigningKey) -> dict[str, str]:
    """Write a private key as a JWK, private members and all."""
    material = _here(key)
    if isinstance(material, ec.EllipticCurvePrivateKey):
        size = (material.key_size + 7) // 8
        secret = {"d": _octets(material.private_numbers().private_value, size)}
    elif isinstance(material, rsa.RSAPrivateKey):
        numbers = material.private_numbers()
        parts = (numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
        secret = {name: _octets(value) for name, value in zip(_PRIVATE, parts, strict=True)}
    else:
        secret = {"d": base64url(material.private_bytes_raw())}
    return {**key.public.bare_jwk, **secret, "kid": key.kid, "alg": key.alg, "use": "sig"}


def _here(key: SigningKey) -> PrivateMaterial:
    """The private half; raises Rejected for one that a device keeps."""
    if isinstance(key.material, KeptElsewhere):
        raise Rejected("private key is kept elsewhere and cannot be written", "key")
    return key.material


def _encryption(password: bytes | None) -> serialization.KeySerializationEncryption:
    return serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()


def _own(material: object, alg: str, kid: str | None) -> SigningKey:
    if not isinstance(material, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise Rejected("key type not allowed", "key")
    return _signing_key(material, alg, kid)


def _signing_key(material: PrivateMaterial, alg: str, kid: str | None) -> SigningKey:
    members = {**_public_members(material.public_key()), "alg": alg}
    public = load_public_jwk(
        members if kid is None else {**members, "kid": kid}, algorithms=SIGNING_ALGORITHMS
    )
    return SigningKey(public.kid, alg, public, material)


def _public_members(material: PublicMaterial) -> dict[str, str]:
    if isinstance(material, ec.EllipticCurvePublicKey):
        point = material.public_numbers()
        size = (material.key_size + 7) // 8
        crv = next((crv for crv, (_, curve) in EC_CURVES.items() if curve.name == material.curve.name), "")
        return {"kty": "EC", "crv": crv, "x": _octets(point.x, size), "y": _octets(point.y, size)}
    if isinstance(material, rsa.RSAPublicKey):
        numbers = material.public_numbers()
        return {"kty": "RSA", "n": _octets(numbers.n), "e": _octets(numbers.e)}
    return {"kty": "OKP", "crv": "Ed25519", "x": base64url(material.public_bytes_raw())}


def _octets(value: int, size: int | None = None) -> str:
    return base64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def _material(jwk: Mapping[str, Any], kty: str) -> PrivateMaterial:
    """Build the private key. Raises Rejected for a bad member, ValueError for numbers that do not fit."""
    if kty == "EC":
        return ec.derive_private_key(
            int.from_bytes(key_quality.member(jwk, "d"), "big"), EC_CURVES[jwk["crv"]][1]
        )
    if kty == "OKP":
        return ed25519.Ed25519PrivateKey.from_private_bytes(key_quality.member(jwk, "d"))
    n, e = key_quality.unsigned(jwk, "n"), key_quality.unsigned(jwk, "e")
    d, p, q, dp, dq, qi = (key_quality.unsigned(jwk, name) for name in _PRIVATE)
    return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, rsa.RSAPublicNumbers(e, n)).private_key()
