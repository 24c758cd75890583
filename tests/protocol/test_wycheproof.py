"""Wycheproof vectors (rows J12, J15, J16): every one is judged; where we judge otherwise stands why."""

import json
from pathlib import Path
from typing import Any

import pytest

from tillit.protocol.errors import Rejected
from tillit.protocol.gate import UnverifiedJWS, decode_base64url, read_compact
from tillit.protocol.jose import (
    ALGORITHMS,
    PublicKey,
    load_public_jwk,
    load_public_jwks,
    verify,
    verify_bytes,
)

FOLDER = Path(__file__).parents[1] / "vectors" / "wycheproof"
ALL = (*ALGORITHMS, "RS256")

SIGNATURES = {
    "ecdsa_secp256r1_sha256_p1363": 262,
    "ecdsa_secp384r1_sha384_p1363": 280,
    "ecdsa_secp521r1_sha512_p1363": 318,
    "ed25519": 210,
    "rsa_pss_2048_sha256_mgf1_32": 108,
    "rsa_pss_4096_sha384_mgf1_48": 141,
    "rsa_pss_4096_sha512_mgf1_64": 179,
    "rsa_signature_2048_sha256": 259,
}

# (file, tcId) -> why we judge otherwise than the label. Nothing else may differ, and all of these must.
HMAC = "an HMAC: valid by its label, never accepted here (J2)"
JWS = "json_web_signature"
CONTESTED: dict[tuple[str, int], str] = {
    ("rsa_signature_2048_sha256", 258): "the key has e = 3, which the key gate refuses (J16)",
    ("rsa_signature_2048_sha256", 259): "the key has e = 3, which the key gate refuses (J16)",
    **{("json_web_key", number): HMAC for number in (2, 13, 14, 15)},
    **{(JWS, number): HMAC for number in (1, 348, 352, 357, 358, 359, 372, 373, 376, 377)},
    **{(JWS, number): "an algorithm that is not offered here" for number in range(264, 272)},
    **{(JWS, number): "no payload, and so no claims" for number in (259, 272, 320, 325)},
    **{(JWS, number): "the key says PS256, the header PS384 (RFC 8725 section 3.1)" for number in (346, 350)},
    **{(JWS, number): "the key says ES521, which is no algorithm" for number in (347, 351)},
    ("encodings", 367): "labelled as bad padding, but octet for octet the valid vector 357",
    ("encodings", 370): "labelled as bad padding, but octet for octet the valid vector 357",
    ("encodings", 372): "labelled valid, but a question mark is no base64url (RFC 7515 section 2)",
    ("encodings", 373): "labelled valid, but a question mark is no base64url (RFC 7515 section 2)",
}
# What Wycheproof leaves open: low-order keys and a DigestInfo without NULL are refused, keys of mixed
# order verify as RFC 8032 says.
ACCEPTABLE = {"ed25519": {number: number >= 160 for number in range(152, 181)}}


def document(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def loaded(jwk: dict[str, Any]) -> PublicKey | None:
    try:
        return load_public_jwk(jwk, algorithms=ALL)
    except Rejected:
        return None


def surprising(name: str, number: int, label: str, accepted: bool) -> bool:
    """Tell whether a verdict differs from the label without standing on the list, or stands there in vain."""
    if label == "acceptable":
        return accepted != ACCEPTABLE.get(name, {}).get(number, False)
    return (accepted == (label == "valid")) == ((name, number) in CONTESTED)


@pytest.mark.parametrize("name", SIGNATURES)
def test_j15_signatures(name):
    """Every signature of a file is accepted or refused as labelled, and none is left out."""
    file = document(name)
    verdicts = []
    for group in file["groups"]:
        key = loaded(group["key"])
        for number, label, message, signature, _ in group["tests"]:
            data, sig = bytes.fromhex(message), bytes.fromhex(signature)
            accepted = key is not None and verify_bytes(data, sig, key, file["alg"])
            verdicts.append((number, label, accepted))
    assert [verdict for verdict in verdicts if surprising(name, *verdict)] == []
    assert len(verdicts) == SIGNATURES[name]


def accepts(vector: dict[str, Any]) -> bool:
    """Verify a vector whose payload need not be JSON, with its own key set, the way our intakes do."""
    try:
        keys = load_public_jwks({"keys": vector["keys"]}, algorithms=ALL)
        header, payload, signing_input, signature = read_compact(vector["jws"])
        jws = UnverifiedJWS(header, {"payload": payload}, signing_input, signature)
        verify(jws, keys, algorithms=ALL)
    except Rejected:
        return False
    return True


def test_j16_key_sets():
    """Every key-set vector is judged as labelled or listed."""
    vectors = document("json_web_key")["vectors"]
    verdicts = [(vector["tcId"], vector["result"], accepts(vector)) for vector in vectors]
    assert [verdict for verdict in verdicts if surprising("json_web_key", *verdict)] == []
    assert len(verdicts) == 26
    assert any(accepted for _, _, accepted in verdicts)


def test_j15_tokens():
    """Every one of the 401 tokens is judged as labelled or listed."""
    verdicts = [
        (number, label, accepts({"keys": group["keys"], "jws": token}))
        for group in document(JWS)["groups"]
        for number, label, token, _ in group["tests"]
    ]
    assert [verdict for verdict in verdicts if surprising(JWS, *verdict)] == []
    assert len(verdicts) == len({number for number, _, _ in verdicts}) == 401
    assert any(accepted for _, _, accepted in verdicts)


def test_j12_encodings():
    """Of the base64 group, whose tokens are HMACs, the parts decode exactly where they should."""
    (group,) = (group for group in document(JWS)["groups"] if group["comment"] == "base64")
    verdicts = []
    for number, label, token, _ in group["tests"]:
        try:
            for part in token.split("."):
                decode_base64url(part, "part")
            decodes = True
        except Rejected:
            decodes = False
        verdicts.append((number, label, decodes))
        with pytest.raises(Rejected):
            read_compact(token)
    assert [verdict for verdict in verdicts if surprising("encodings", *verdict)] == []
    assert len(verdicts) == 21


def test_every_contested_vector_exists():
    """The list of other judgements names no vector that is not there."""
    there = {
        (name, row[0])
        for name in (*SIGNATURES, JWS)
        for group in document(name)["groups"]
        for row in group["tests"]
    }
    there |= {("encodings", number) for name, number in there if name == JWS}
    there |= {("json_web_key", vector["tcId"]) for vector in document("json_web_key")["vectors"]}
    assert set(CONTESTED) <= there
