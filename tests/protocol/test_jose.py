"""Signatures: rows J2, J3, J5 and J15; every algorithm against every key, every broken form of ECDSA."""

import base64
import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from support.tokens import INTAKES, NOW, b64, compact, good_claims, good_header, key_for
from tillit.protocol import jose
from tillit.protocol.errors import OAuthError, Rejected
from tillit.protocol.gate import read_jws
from tillit.protocol.jose import (
    ALGORITHMS,
    is_signed_by,
    load_public_jwk,
    load_public_jwks,
    sign,
    sign_bytes,
    verify,
    verify_bytes,
)

ALL = (*ALGORITHMS, "RS256")
ORDER = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    "ES512": 0x1FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
}
SIZE = {"ES256": 32, "ES384": 48, "ES512": 66}


def encodings_of_a_public_key() -> dict[str, bytes]:
    """Give nine ways to write the public key of the intakes as octets, all of them known HMAC secrets."""
    public = key_for().public
    pem = public.material.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    rsa = key_for("PS256").public.material
    return {
        "SPKI PEM": pem,
        "PKCS1 PEM": rsa.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1),
        "DER": public.material.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        "SSH line": public.material.public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        ),
        "JWK": json.dumps(public.jwk).encode(),
        "JWKS": json.dumps({"keys": [public.jwk]}).encode(),
        "x coordinate": base64.urlsafe_b64decode(public.jwk["x"] + "=="),
        "BOM and PEM": b"\xef\xbb\xbf" + pem,
        "PEM without newline": pem.strip(),
    }


@pytest.mark.parametrize("intake", INTAKES)
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("encoding", encodings_of_a_public_key())
def test_j2_a_public_key_is_no_secret(intake, alg, encoding):
    """An HMAC under any spelling of our public key is refused at every intake."""
    text = compact(good_header(intake, alg=alg), good_claims(intake)).rpartition(".")[0]
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[alg]
    mac = hmac.new(encodings_of_a_public_key()[encoding], text.encode(), digest).digest()
    with pytest.raises((Rejected, OAuthError)):
        INTAKES[intake][2](f"{text}.{b64(mac)}")


def test_j2_no_hmac_on_the_way():
    """No symmetric algorithm is on a list, in a table or imported where signatures are verified."""
    tables = {*ALGORITHMS, *jose._LIBRARY, *jose._ECDSA}
    assert not {alg for alg in tables if alg.startswith("HS") or alg.lower() == "none"}
    assert not any("HMAC" in name.upper() for name in vars(jose))


@pytest.mark.parametrize("key_alg", ALL)
@pytest.mark.parametrize("header_alg", ALL)
def test_j3_one_key_one_algorithm(key_alg, header_alg):
    """Only the algorithm a key is registered for passes, whatever really signed and the header says."""
    registered = key_for(key_alg)
    signer = key_for(header_alg)
    token = compact({"alg": header_alg, "kid": registered.kid}, {"a": 1}, signer)
    if key_alg == header_alg:
        assert verify(read_jws(token), [registered.public], algorithms=ALL) == registered.public
    else:
        with pytest.raises(Rejected, match="algorithm is not the one of the key"):
            verify(read_jws(token), [registered.public], algorithms=ALL)


def test_j3_the_header_lies_about_the_algorithm():
    """A key registered for PS256 verifies no RS256 or PS512 signature that calls itself PS256."""
    key = key_for("PS256")
    for made_with in ("RS256", "PS512"):
        signer = jose.load_private_pem(jose.private_pem(key, None), made_with)
        token = compact({"alg": "PS256", "kid": key.kid}, {}, signer)
        with pytest.raises(Rejected, match="does not verify"):
            verify(read_jws(token), [key.public], algorithms=ALL)


def test_j3_rs256_only_where_it_is_named():
    """RS256 is refused by default, with a key for it and with a key without an algorithm."""
    key = key_for("RS256")
    bare = load_public_jwk({**key.public.bare_jwk, "kid": key.kid})
    jws = read_jws(sign({}, {}, key))
    for public in (key.public, bare):
        with pytest.raises(Rejected, match="algorithm not allowed here"):
            verify(jws, [public], algorithms=ALGORITHMS)
        assert verify(jws, [public], algorithms=("RS256",)) == public
    with pytest.raises(Rejected, match="algorithm not allowed here"):
        load_public_jwk(key.public.jwk)


def test_j5_key_ids_select():
    """A kid selects by name only; without one every key of the right kind is tried."""
    one, two = key_for("ES256"), key_for("ES256", 1)
    keys = [key_for("PS256").public, one.public, two.public]
    named = read_jws(compact({"alg": "ES256", "kid": two.kid}, {}, two))
    unnamed = read_jws(compact({"alg": "ES256"}, {}, two))
    assert verify(named, keys, algorithms=ALGORITHMS) == two.public
    assert verify(unnamed, keys, algorithms=ALGORITHMS) == two.public
    for wrong in (
        compact({"alg": "ES256", "kid": one.kid}, {}, two),
        compact({"alg": "ES256", "kid": "?"}, {}, two),
    ):
        with pytest.raises(Rejected):
            verify(read_jws(wrong), keys, algorithms=ALGORITHMS)
    with pytest.raises(Rejected, match="no key"):
        verify(unnamed, [], algorithms=ALGORITHMS)


def test_j5_the_same_key_id_twice():
    """A key set in which two keys share a name is refused."""
    one, two = key_for("ES256").public.jwk, key_for("ES256", 1).public.jwk
    assert len(load_public_jwks({"keys": [one, two]})) == 2
    with pytest.raises(Rejected, match="key id used twice"):
        load_public_jwks({"keys": [one, two | {"kid": one["kid"]}]})


def test_j5_ten_thousand_unknown_key_ids():
    """Unknown kids are refused without a look at any key's mathematics."""
    keys = [key_for().public]
    token = compact({"alg": "ES256", "kid": "0"}, {}).split(".", 1)[1]
    for number in range(10_000):
        header = b64(json.dumps({"alg": "ES256", "kid": f"k{number}"}).encode())
        with pytest.raises(Rejected, match="no key with this key id"):
            verify(read_jws(f"{header}.{token}"), keys, algorithms=ALGORITHMS)


@pytest.mark.parametrize("alg", SIZE)
def test_j15_only_signatures_in_range_and_of_the_right_length(alg):
    """Zero, the order, values beyond it, other lengths and the DER form are refused."""
    key, size, order = key_for(alg), SIZE[alg], ORDER[alg]
    jws = read_jws(sign({}, {"a": 1}, key))
    r, s = (int.from_bytes(part, "big") for part in (jws.signature[:size], jws.signature[size:]))

    def fixed(first: int, second: int, length: int = size) -> bytes:
        return first.to_bytes(length, "big") + second.to_bytes(length, "big")

    broken = [fixed(a, b) for a in (0, 1, order, order - 1, r) for b in (0, 1, order, order - 1, s)]
    broken.remove(jws.signature)
    broken += [fixed(value, s) for value in (r + order,) if value < 256**size]
    broken += [fixed(r, value) for value in (s + order,) if value < 256**size]
    broken += [fixed(r, s, size + 1), fixed(r + order, s, size + 1), fixed(r, s + order, size + 1)]
    broken += [jws.signature[:-1], jws.signature[1:], jws.signature + b"\0", b"\0" + jws.signature]
    broken += [jws.signature[:size], jws.signature + jws.signature[:size], b"", encode_dss_signature(r, s)]
    broken += [jws.signature[:size] + b"\0" + jws.signature[size:]]
    broken += [fixed(s, r), b"\0" * 2 * size, b"\xff" * 2 * size]
    for signature in broken:
        assert not verify_bytes(jws.signing_input, signature, key.public, alg), signature.hex()
    assert verify_bytes(jws.signing_input, jws.signature, key.public, alg)


@pytest.mark.parametrize("alg", SIZE)
def test_j15_the_high_s_twin_is_legal(alg):
    """(r, n - s) verifies too, so a replay is known by client and jti and never by the token's text."""
    key, size = key_for(alg), SIZE[alg]
    token = sign({}, {"jti": "one"}, key)
    jws = read_jws(token)
    s = ORDER[alg] - int.from_bytes(jws.signature[size:], "big")
    twin = f"{token.rpartition('.')[0]}.{b64(jws.signature[:size] + s.to_bytes(size, 'big'))}"
    assert twin != token
    assert verify(read_jws(twin), [key.public], algorithms=[alg]) == key.public
    assert read_jws(twin).claims["jti"] == "one"


@pytest.mark.parametrize("alg", ALL)
def test_every_single_bit_counts(alg):
    """A changed bit in signing input or signature is found, with every algorithm."""
    key = key_for(alg)
    jws = read_jws(sign({"typ": "JWT"}, {"iat": NOW}, key))
    assert verify_bytes(jws.signing_input, jws.signature, key.public, alg)
    for data, at in ((jws.signing_input, 3), (jws.signing_input, -1)):
        changed = bytearray(data)
        changed[at] ^= 1
        assert not verify_bytes(bytes(changed), jws.signature, key.public, alg)
    for at in (0, -1, len(jws.signature) // 2):
        changed = bytearray(jws.signature)
        changed[at] ^= 1
        assert not verify_bytes(jws.signing_input, bytes(changed), key.public, alg)


@pytest.mark.parametrize("alg", ALL)
def test_our_own_signature_is_checked_before_it_leaves(alg):
    """is_signed_by accepts what the key signed and nothing else."""
    key, other = key_for(alg), key_for(alg, 1)
    token = sign({"typ": "at+jwt"}, {"a": 1}, key)
    header = read_jws(token).header
    assert is_signed_by(token, key)
    for foreign in set(ALL) - {alg}:
        assert not verify_bytes(b"x", sign_bytes(b"x", key), key.public, foreign)
    assert not is_signed_by(token, other)
    assert (header["alg"], header["kid"], header["typ"]) == (alg, key.kid, "at+jwt")
