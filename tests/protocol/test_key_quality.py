"""Key quality, row J16: every weakness has a name, at registration, in a key set and in a proof."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519

from support.tokens import NOW, TOKEN_ENDPOINT, b64, compact, key_for, proof_claims
from tillit.protocol.dpop import check_proof
from tillit.protocol.errors import OAuthError, Rejected
from tillit.protocol.jose import load_public_jwk, load_public_jwks, private_jwk, thumbprint

RSA = key_for("PS256")
NUMBERS = RSA.material.private_numbers()
N = NUMBERS.public_numbers.n
EC = key_for("ES256").public.bare_jwk
P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1
# Wycheproof json_web_key_test 7, jws_rsa_roca_key
ROCA = (
    "AanFpofbj7KjD4Lf-N2hVMKR7yewSyXhhbirIMTGpfYEhZ_lnt5UoK98DnKIgArXGTu3MaW_HhFw16HGaTDUHqPrId7fe4r11CqRw09y"
    "BFuW79V8sYIwHdzCaWflUI6auImYbVfoN9_nD5n8N8SY9DwXw7mwZM9wREPXoDPgOoIWl6q_MPsp7n0zs3Z5ZaiQWOOzl1S9OhwAfSii"
    "Owz6efnXEaxuTEtPd7BjSx7NaFka8Dx9U7YqXy2RFj1O9PjyaDGuRh7YXsX3iMUSP_wSyHQg_c_qHRtKUsNSGCT7OZg0hzm2Kphtjnay"
    "KJvC64vAbROBR4Ubg6Bxg9IQVZ-QYyE"
)


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rsa(n: int = N, e: int = 65537, **more: Any) -> dict[str, Any]:
    return {"kty": "RSA", "n": number(n), "e": number(e), **more}


def multiple_of(factor: int, bits: int = 2048) -> int:
    """Give an odd number of that many bits with a small factor and no smaller one."""
    return next(
        value
        for cofactor in range(2 ** (bits - 1) // factor | 1, 2**bits, 2)
        if (value := cofactor * factor).bit_length() == bits
    )


def neighbours(distance: int) -> int:
    """Give the product of two numbers without small factors that lie close together."""
    p = NUMBERS.p | 1
    return next(
        p * q
        for q in range(p + distance, p + distance + 20_000, 2)
        if all(q % small for small in range(3, 752, 2)) and q != p
    )


def curve_point(**changes: Any) -> dict[str, Any]:
    return EC | changes


ED = key_for("EdDSA").public.bare_jwk
ED_P = 2**255 - 19
LOW_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    (ED_P - 1).to_bytes(32, "little"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
    bytes(31) + b"\x80",
]

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "RSA 512": (rsa(N >> 1536 | 1), "size not allowed"),
    "RSA 1024": (rsa(N >> 1024 | 1), "size not allowed"),
    "RSA 2047": (rsa(N >> 1 | 1), "size not allowed"),
    "RSA 8193": (rsa(1 << 8192 | 1), "size not allowed"),
    "RSA 16384": (rsa(1 << 16383 | 1), "size not allowed"),
    "RSA e = 1": (rsa(e=1), "exponent not allowed"),
    "RSA e = 3": (rsa(e=3), "exponent not allowed"),
    "RSA e = 65535": (rsa(e=65535), "exponent not allowed"),
    "RSA e even": (rsa(e=65538), "exponent not allowed"),
    "RSA e = 2**32 + 1": (rsa(e=2**32 + 1), "exponent not allowed"),
    "RSA even": (rsa(N - 1), "modulus is even"),
    "RSA factor 3": (rsa(multiple_of(3)), "small factor"),
    "RSA factor 751": (rsa(multiple_of(751)), "small factor|ROCA"),
    "RSA ROCA": ({"kty": "RSA", "n": ROCA, "e": "AQAB"}, "ROCA"),
    "RSA close primes": (rsa(neighbours(2)), "too close"),
    "RSA square": (rsa(NUMBERS.p**2), "too close"),
    "RSA leading zero": (rsa() | {"n": b64(b"\0" + N.to_bytes(256, "big"))}, "leading zero"),
    "RSA e leading zero": (rsa() | {"e": "AAEAAQ"}, "leading zero"),
    "RSA zero": (rsa() | {"n": "AA"}, "leading zero"),
    "RSA n missing": ({"kty": "RSA", "e": "AQAB"}, "missing"),
    "RSA n empty": (rsa() | {"n": ""}, "missing"),
    "RSA n padded": (rsa() | {"n": number(N) + "=="}, "base64url"),
    "EC off the curve": (curve_point(y=EC["x"]), "not on the curve"),
    "EC identity": (curve_point(x=b64(bytes(32)), y=b64(bytes(32))), "not on the curve"),
    "EC x >= p": (curve_point(x=number(P256)), "outside the field"),
    "EC y >= p": (curve_point(y=b64(b"\xff" * 32)), "outside the field"),
    "EC short x": (curve_point(x=b64(bytes(31))), "wrong length"),
    "EC long y": (curve_point(y=b64(bytes(33))), "wrong length"),
    "EC P-256K": (curve_point(crv="P-256K"), "curve not allowed"),
    "EC secp256k1": (curve_point(crv="secp256k1"), "curve not allowed"),
    "EC P-224": (curve_point(crv="P-224"), "curve not allowed"),
    "EC wrong curve": (curve_point(crv="P-384"), "wrong length"),
    "EC crv missing": (curve_point(crv=None), "missing"),
    "EC y missing": ({"kty": "EC", "crv": "P-256", "x": EC["x"]}, "missing"),
    "OKP X25519": ({**ED, "crv": "X25519"}, "curve not allowed"),
    "OKP Ed448": ({**ED, "crv": "Ed448"}, "curve not allowed"),
    "OKP short": ({**ED, "x": b64(bytes(31))}, "wrong length"),
    "OKP y >= p": ({**ED, "x": b64(ED_P.to_bytes(32, "little"))}, "outside the field"),
    "OKP off the curve": ({**ED, "x": b64((2).to_bytes(32, "little"))}, "not on the curve"),
    **{f"OKP low order {point.hex()}": ({**ED, "x": b64(point)}, "low order") for point in LOW_ORDER},
    "private EC": (private_jwk(key_for("ES256")), "private or symmetric"),
    "private RSA": (private_jwk(RSA), "private or symmetric"),
    "private OKP": (private_jwk(key_for("EdDSA")), "private or symmetric"),
    "only one prime": (rsa(p=number(NUMBERS.p)), "private or symmetric"),
    "symmetric": ({"kty": "oct", "k": "AAAA"}, "private or symmetric"),
    "symmetric without k": ({"kty": "oct"}, "symmetric"),
    "kty missing": ({"n": number(N), "e": "AQAB"}, "key type not allowed"),
    "kty lower case": ({**EC, "kty": "ec"}, "key type not allowed"),
}


@pytest.mark.parametrize("name", BAD)
def test_j16_a_bad_key_is_refused_with_its_reason(name):
    """At registration and in a key set a bad key is refused, and the reason says what is bad."""
    jwk, reason = BAD[name]
    with pytest.raises(Rejected, match=reason):
        load_public_jwk(jwk)
    with pytest.raises(Rejected, match=r"^keys\[0\]|^jwk\."):
        load_public_jwks({"keys": [jwk | {"kid": "k"}]})


@pytest.mark.parametrize("name", BAD)
def test_j16_a_bad_key_makes_no_proof(name):
    """A DPoP proof that brings a bad key is refused for the key."""
    jwk, reason = BAD[name]
    alg = {"RSA": "PS256", "OKP": "EdDSA"}.get(str(jwk.get("kty")), "ES256")
    token = compact({"typ": "dpop+jwt", "alg": alg, "jwk": jwk}, proof_claims())
    with pytest.raises(OAuthError, match=reason) as refusal:
        check_proof([token], method="POST", url=TOKEN_ENDPOINT, now=NOW)
    assert refusal.value.code == "invalid_dpop_proof"


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "PS256", "EdDSA"])
def test_good_keys_pass(alg):
    """Keys made by the usual libraries pass."""
    jwk = key_for(alg).public.bare_jwk
    assert load_public_jwk(jwk).thumbprint == thumbprint(jwk)


def test_primes_far_enough_apart_pass():
    """The search for close primes does not fire on a modulus of random primes."""
    assert load_public_jwk(rsa()).kty == "RSA"
    with pytest.raises(Rejected, match="too close"):
        load_public_jwk(rsa(neighbours(100_000)))


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"use": "enc"}, "not for signatures"),
        ({"use": None}, "not for signatures"),
        ({"key_ops": ["encrypt"]}, "not for verification"),
        ({"key_ops": "verify"}, "not for verification"),
        ({"key_ops": []}, "not for verification"),
        ({"alg": "HS256"}, "algorithm not allowed"),
        ({"alg": "none"}, "algorithm not allowed"),
        ({"alg": "ES384"}, "does not fit"),
        ({"alg": "PS256"}, "does not fit"),
        ({"alg": ["ES256"]}, "algorithm not allowed"),
        ({"kid": ""}, "key id"),
        ({"kid": 7}, "key id"),
        ({"kid": "k" * 257}, "key id"),
        ({"kid": "a\nb"}, "key id"),
    ],
)
def test_keys_for_other_purposes_are_refused(members, reason):
    """A key for encryption, for another algorithm or without a usable name is refused."""
    with pytest.raises(Rejected, match=reason):
        load_public_jwk(EC | members)


def test_a_set_may_hold_keys_that_are_not_for_us():
    """Somebody else's set is read for the keys we can use, but private members spoil the whole set."""
    foreign = [
        EC | {"kid": "good"},
        {"kty": "EC", "crv": "P-256K", "x": "AA", "y": "AA", "kid": "k1"},
        EC | {"use": "enc", "kid": "k2"},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA", "kid": "pq"},
        rsa(e=3, kid="weak"),
    ]
    assert [key.kid for key in load_public_jwks({"keys": foreign}, skip_unusable=True)] == ["good"]
    with pytest.raises(Rejected):
        load_public_jwks({"keys": foreign})
    for spoilt in (private_jwk(key_for("ES256")), {"kty": "oct", "k": "AAAA"}):
        with pytest.raises(Rejected, match="private or symmetric"):
            load_public_jwks({"keys": [*foreign, spoilt]}, skip_unusable=True)


def test_a_hundred_keys_are_enough():
    """A set of a hundred keys is read, one more is refused."""
    many = [EC | {"kid": f"k{number}"} for number in range(101)]
    assert len(load_public_jwks({"keys": many[:100]})) == 100
    with pytest.raises(Rejected, match="too many keys"):
        load_public_jwks({"keys": many})


@pytest.mark.parametrize("document", [None, [], {}, {"keys": {}}, {"keys": ["x"]}, {"keys": [EC] * 2}])
def test_what_is_no_key_set(document):
    """A document that is no JWKS, or holds more than 100 keys, is refused."""
    with pytest.raises(Rejected):
        load_public_jwks(document)


def test_a_key_without_a_name_is_called_by_its_thumbprint():
    """The kid of an unnamed key is its thumbprint, so that two unnamed keys in a set stay apart."""
    other = key_for("ES256", 1).public.bare_jwk
    keys = load_public_jwks({"keys": [EC, other]})
    assert [key.kid for key in keys] == [thumbprint(EC), thumbprint(other)]


def test_thumbprints_are_of_known_types_only():
    """A thumbprint needs the required members of a type we know."""
    secp = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    jwk = {"kty": "EC", "crv": "P-256", "x": b64(secp.x.to_bytes(32, "big"))}
    with pytest.raises(Rejected, match=r"jwk\.y"):
        thumbprint(jwk)
    raw = x25519.X25519PrivateKey.generate().public_key().public_bytes_raw()
    assert thumbprint({"kty": "OKP", "crv": "X25519", "x": b64(raw)})
    with pytest.raises(Rejected, match="key type"):
        thumbprint({"kty": "oct", "k": "AAAA"})
