"""J2: a MAC keyed with a public key, ours or the client's, in any encoding, is not a signature."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support.backstage import SwiftEhr
from support.intakes import INTAKES, claims, header, key_of, refuses_all
from support.service import http_json
from support.tokens import b64, octets
from tillit.protocol.jose import PublicKey, load_public_jwk
from tillit.protocol.metadata import JWKS_PATH

MACS = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


def encodings(key: PublicKey) -> dict[str, bytes]:
    """A public key in every form somebody might take for a shared secret."""
    material: Any = key.material
    pem = material.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {
        "PEM": pem,
        "PEM without newline": pem.rstrip(b"\n"),
        "PEM with BOM": b"\xef\xbb\xbf" + pem,
        "DER": material.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "point": material.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        "SSH line": material.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "JWK": json.dumps(key.jwk).encode(),
        "JWKS": json.dumps({"keys": [key.jwk]}).encode(),
        "x coordinate": key.bare_jwk["x"].encode(),
    }


@pytest.mark.parametrize("intake", INTAKES)
def test_j2_no_mac_under_a_public_key_is_accepted(intake: str, attacker: SwiftEhr):
    """A MAC keyed with the client's, the proof's or the server's public key is refused in every encoding."""
    _, _, jwks = http_json("GET", attacker.service.issuer + JWKS_PATH)
    server_key = next(load_public_jwk(jwk) for jwk in jwks["keys"] if jwk["alg"] == "ES256")
    tokens = {}
    for whose, public in {"own": key_of(intake, attacker).public, "server": server_key}.items():
        for form, secret in encodings(public).items():
            for alg, digest in MACS.items():
                head = octets(header(intake, attacker, alg=alg))
                text = f"{b64(head)}.{b64(octets(claims(intake, attacker)))}"
                mac = hmac.digest(secret, text.encode(), digest)
                tokens[whose, form, alg] = f"{text}.{b64(mac)}"
    assert refuses_all(attacker, intake, tokens) == {}
