"""What makes a public key fit to be trusted, judged from its JWK before any library loads it (row J16).

RFC 7517 and 7518 section 6 for the members, RFC 8037 for Edwards keys; sizes from FAPI 2.0 section
5.4.1; the weaknesses from the checks that public certificate authorities apply to submitted keys.
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from tillit.protocol.errors import Rejected
from tillit.protocol.gate import decode_base64url

PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
MIN_EXPONENT: Final = 65537
_FERMAT_ROUNDS: Final = 100

# name -> (size of a coordinate in bytes, p, b); a = -3 on all three (FIPS 186-4 appendix D.1.2)
CURVES: Final[Mapping[str, tuple[int, int, int]]] = {
    "P-256": (
        32,
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    ),
    "P-384": (
        48,
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
    ),
    "P-521": (
        66,
        2**521 - 1,
        0x0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00,
    ),
}

_ED_P: Final = 2**255 - 19
_ED_D: Final = -121665 * pow(121666, -1, _ED_P) % _ED_P
_ED_SIGN: Final = 1 << 255


def refuse_private_members(jwk: Mapping[str, Any]) -> None:
    """Refuse a JWK that holds private or symmetric key material, whatever its type (RFC 7517 section 9.2)."""
    for name in sorted(PRIVATE_MEMBERS.intersection(jwk)):
        raise Rejected("private or symmetric key member in a public key", f"jwk.{name}")
    if jwk.get("kty") == "oct":
        raise Rejected("symmetric key", "jwk.kty", found="oct")


def member(jwk: Mapping[str, Any], name: str) -> bytes:
    """Decode a base64url member of a JWK. Raises Rejected when missing or not canonical."""
    value = jwk.get(name)
    if type(value) is not str or not value:
        raise Rejected("missing or not a string", f"jwk.{name}")
    return decode_base64url(value, f"jwk.{name}")


def unsigned(jwk: Mapping[str, Any], name: str) -> int:
    """Decode a Base64urlUInt (RFC 7518 section 2): big-endian without leading zero octets."""
    data = member(jwk, name)
    if data[0] == 0:
        raise Rejected("integer with leading zero octets", f"jwk.{name}")
    return int.from_bytes(data, "big")


def rsa_numbers(jwk: Mapping[str, Any]) -> tuple[int, int]:
    """Give (n, e) of an RSA public key of good quality (RFC 7518 section 6.3.1). Raises Rejected."""
    n, e = unsigned(jwk, "n"), unsigned(jwk, "e")
    bits = n.bit_length()
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        raise Rejected(
            "RSA modulus of a size not allowed",
            "jwk.n",
            expected=f"{MIN_RSA_BITS} to {MAX_RSA_BITS}",
            found=bits,
        )
    if not (e & 1 and MIN_EXPONENT <= e < 2**32):
        raise Rejected("RSA exponent not allowed", "jwk.e", expected="odd, 65537 to 2**32")
    if not n & 1:
        raise Rejected("RSA modulus is even", "jwk.n")
    if math.gcd(n, _small_primes()) != 1:
        raise Rejected("RSA modulus has a small factor", "jwk.n")
    if _has_roca_fingerprint(n):
        raise Rejected("RSA modulus with the ROCA fingerprint", "jwk.n")
    if _has_close_primes(n):
        raise Rejected("RSA primes too close to each other", "jwk.n")
    return n, e


def ec_coordinates(jwk: Mapping[str, Any]) -> tuple[str, bytes, bytes]:
    """Give (crv, x, y) of a point on one of our three curves (RFC 7518 section 6.2.1). Raises Rejected."""
    crv = jwk.get("crv")
    if type(crv) is not str or crv not in CURVES:
        raise Rejected("curve not allowed", "jwk.crv", expected="P-256, P-384 or P-521", found=crv)
    size, p, b = CURVES[crv]
    x_octets, y_octets = member(jwk, "x"), member(jwk, "y")
    for name, octets in (("x", x_octets), ("y", y_octets)):
        if len(octets) != size:
            raise Rejected(
                "coordinate of wrong length", f"jwk.{name}", expected=f"{size} octets", found=len(octets)
            )
    x, y = int.from_bytes(x_octets, "big"), int.from_bytes(y_octets, "big")
    if x >= p or y >= p:
        raise Rejected("coordinate outside the field", "jwk.x" if x >= p else "jwk.y")
    if (y * y - (x * x * x - 3 * x + b)) % p:
        raise Rejected("point is not on the curve", "jwk.x")
    return crv, x_octets, y_octets


def ed25519_point(jwk: Mapping[str, Any]) -> bytes:
    """Give the 32 octets of an Ed25519 public key that is not of low order (RFC 8037). Raises Rejected."""
    crv = jwk.get("crv")
    if crv != "Ed25519":
        raise Rejected("curve not allowed", "jwk.crv", expected="Ed25519", found=crv)
    octets = member(jwk, "x")
    if len(octets) != 32:  # noqa: PLR2004, RFC 8032 section 5.1.5
        raise Rejected("key of wrong length", "jwk.x", expected="32 octets", found=len(octets))
    y = int.from_bytes(octets, "little") & (_ED_SIGN - 1)
    if y >= _ED_P:
        raise Rejected("coordinate outside the field", "jwk.x")
    if y in _low_order_ordinates():
        raise Rejected("point of low order", "jwk.x")
    if not _is_on_ed25519(y):
        raise Rejected("point is not on the curve", "jwk.x")
    return octets


@cache
def _small_primes() -> int:
    """Product of the odd primes below 752, the bound that public certificate authorities use."""
    sieve = [n for n in range(3, 752, 2) if all(n % d for d in range(3, math.isqrt(n) + 1, 2))]
    return math.prod(sieve)


@cache
def _roca_residues() -> tuple[tuple[int, frozenset[int]], ...]:
    """Per prime up to 167, the powers of 65537: where moduli of the broken generator must lie.

    CVE-2017-15361, "The Return of Coppersmith's Attack" (CCS 2017), section 3.1.
    """
    residues = []
    for prime in (n for n in range(3, 168, 2) if all(n % d for d in range(3, math.isqrt(n) + 1, 2))):
        powers, value = set(), 1
        while value not in powers:
            powers.add(value)
            value = value * 65537 % prime
        residues.append((prime, frozenset(powers)))
    return tuple(residues)


def _has_roca_fingerprint(n: int) -> bool:
    return all(n % prime in powers for prime, powers in _roca_residues())


def _has_close_primes(n: int) -> bool:
    """Try Fermat's factorisation for a few rounds; primes chosen at random never fall to it."""
    a = math.isqrt(n - 1) + 1
    for _ in range(_FERMAT_ROUNDS):
        difference = a * a - n
        if math.isqrt(difference) ** 2 == difference:
            return True
        a += 1
    return False


def _is_on_ed25519(y: int) -> bool:
    """Whether -x*x + y*y = 1 + d*x*x*y*y has a solution x (RFC 8032 section 5.1.3)."""
    square = (y * y - 1) * pow(_ED_D * y * y + 1, -1, _ED_P) % _ED_P
    return square == 0 or pow(square, (_ED_P - 1) // 2, _ED_P) == 1


@cache
def _low_order_ordinates() -> frozenset[int]:
    """The y of the eight points whose order divides the cofactor: 1, -1, 0 and both of order eight.

    A point of order eight doubles to one of order four, where y = 0: there y*y = -x*x, so
    d*y**4 + 2*y*y - 1 = 0 (from the curve equation) and y*y = (-1 +- sqrt(1 + d)) / d.
    """
    root = _square_root((1 + _ED_D) % _ED_P)
    squares = [(sign * root - 1) * pow(_ED_D, -1, _ED_P) % _ED_P for sign in (1, -1)]
    found = {0, 1, _ED_P - 1}
    for square in squares:
        if pow(square, (_ED_P - 1) // 2, _ED_P) == 1:
            y = _square_root(square)
            found |= {y, _ED_P - y}
    return frozenset(found)


def _square_root(value: int) -> int:
    """Square root modulo 2**255 - 19 of a number that has one (RFC 8032 section 5.1.3)."""
    root = pow(value, (_ED_P + 3) // 8, _ED_P)
    if root * root % _ED_P != value:
        root = root * pow(2, (_ED_P - 1) // 4, _ED_P) % _ED_P
    return root
