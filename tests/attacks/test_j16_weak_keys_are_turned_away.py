"""J16: a weak, broken or private key is refused by name, at registration and in a proof."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from support.backstage import Backstage, SwiftEhr
from support.intakes import PROOF, claims, header, refuses_all
from support.self_service import KeyOwner, problem
from support.service import PHR
from support.tokens import b64, compact, key_for
from tillit.protocol.jose import private_jwk
from tillit_server.issuer.clients.rules import ClientError

RSA_NUMBERS = key_for("PS256").material.private_numbers().public_numbers
EC, ED = key_for("ES256").public.bare_jwk, key_for("EdDSA").public.bare_jwk
FIELD = 2**256 - 2**224 + 2**192 + 2**96 - 1


def rsa(modulus: int, exponent: int = 65537) -> dict[str, str]:
    octets = [value.to_bytes((value.bit_length() + 7) // 8, "big") for value in (modulus, exponent)]
    return {"kty": "RSA", "n": b64(octets[0]), "e": b64(octets[1])}


N = RSA_NUMBERS.n
WEAK: dict[str, tuple[dict[str, Any], str]] = {
    "RSA 512": (rsa(N >> 1536 | 1), "size not allowed"),
    "RSA 1024": (rsa(N >> 1024 | 1), "size not allowed"),
    "RSA 2047": (rsa(N >> 1 | 1), "size not allowed"),
    "RSA 16384": (rsa(1 << 16383 | 1), "size not allowed"),
    "e = 1": (rsa(N, 1), "exponent"),
    "e = 3": (rsa(N, 3), "exponent"),
    "even": (rsa(N - 1), "even"),
    "small factor": (rsa(3 * (N // 3 | 1)), "small factor|ROCA|even"),
    "off the curve": ({**EC, "y": EC["x"]}, "not on the curve"),
    "identity": ({**EC, "x": b64(bytes(32)), "y": b64(bytes(32))}, "not on the curve"),
    "x = p": ({**EC, "x": b64(FIELD.to_bytes(32, "big"))}, "outside the field"),
    "31 octets": ({**EC, "x": b64(bytes(31))}, "wrong length"),
    "P-256K": ({**EC, "crv": "P-256K"}, "curve not allowed"),
    "low order": ({**ED, "x": b64(b"\x01" + bytes(31))}, "low order"),
    "X25519": ({**ED, "crv": "X25519"}, "curve not allowed"),
    "private": (private_jwk(key_for("ES256")), "private or symmetric"),
    "symmetric": ({"kty": "oct", "k": "AAAA"}, "private or symmetric"),
    "for encryption": ({**EC, "use": "enc"}, "not for signatures"),
}


@pytest.mark.parametrize("name", WEAK)
def test_j16_a_weak_key_is_not_registered(name: str, backstage: Backstage):
    """No client gets in with a weak key, and the operator hears what is wrong with it."""
    jwk, reason = WEAK[name]
    with pytest.raises(ClientError, match=reason):
        backstage.register("weak", keys=[jwk])


def test_j16_the_command_line_refuses_by_name_too(backstage: Backstage, tmp_path: Path):
    """`tillit clients add` with an RSA key of 1,024 bits exits 1 and names the member at fault."""
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [WEAK["RSA 1024"][0]]}), encoding="utf-8")
    command = ["clients", "add", "--data", str(backstage.service.data), "--id", "weak", "--jwks", str(file)]
    done = backstage.service.cli(*command, "--legal-entity", "310000019", "--scope", PHR, check=False)
    assert done.returncode == 1
    assert "keys[0].jwk.n: RSA modulus of a size not allowed" in done.stdout + done.stderr


def test_j16_no_client_brings_in_a_weak_key_by_itself(backstage: Backstage):
    """Self-service refuses each of them with the same reason, and the client's keys are as before."""
    owner = KeyOwner.of(backstage)
    for jwk, reason in WEAK.values():
        assert re.search(reason, problem(owner.post(jwk), 400, "invalid_key"))
    assert owner.kids() == [owner.ehr.key.kid]


def test_j16_a_weak_key_proves_nothing(attacker: SwiftEhr):
    """A proof that brings a weak, broken or private key is refused before its signature is looked at."""
    tokens = {
        name: compact(
            header(PROOF, attacker, jwk=jwk, alg="PS256" if jwk["kty"] == "RSA" else "ES256"),
            claims(PROOF, attacker),
            attacker.dpop_key,
        )
        for name, (jwk, _) in WEAK.items()
        if name != "for encryption"  # of a key in a proof only what makes the key is read (RFC 9449 §4.2)
    }
    assert refuses_all(attacker, PROOF, tokens) == {}
