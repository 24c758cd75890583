"""J17: no encrypted or compressed token at any intake, so its costs are never paid."""

import time
import zlib
from typing import Any

import pytest

from support.backstage import SwiftEhr
from support.intakes import INTAKES, PROOF, claims, header, key_of, present, proper_refusal, refuses_all
from support.tokens import b64, compact, key_for, octets

PROMPT = 1.0
EPK = {"kty": "EC", "crv": "P-256", "x": b64(b"\x01" * 32), "y": b64(b"\x02" * 32)}
HEADERS: dict[str, dict[str, Any]] = {
    "PBES2": {"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2**31 - 1, "p2s": "AAAAAAAAAAA"},
    "zip": {"alg": "dir", "enc": "A128GCM", "zip": "DEF"},
    "RSA1_5": {"alg": "RSA1_5", "enc": "A128CBC-HS256"},
    "epk": {"alg": "ECDH-ES", "enc": "A128GCM", "epk": EPK},
    "A128KW": {"alg": "A128KW", "enc": "A128GCM"},
}
BOMB = zlib.compress(bytes(4_000_000))[2:-4]
"""4 MB of zeros, deflated to 4 kB."""


def encrypted(head: dict[str, Any], size: int) -> str:
    return ".".join(b64(part) for part in (octets(head), b"k" * 32, b"i" * 12, BOMB[:size], b"t" * 16))


@pytest.mark.parametrize("intake", INTAKES)
def test_j17_no_jwe_is_opened(intake: str, attacker: SwiftEhr):
    """A JWE of any kind, whole or with parts missing, is refused by its form and at once."""
    size = 3_000 if intake == PROOF else 4_000
    tokens = {name: encrypted(head, size) for name, head in HEADERS.items()}
    tokens |= {f"{name} cut": token.rsplit(".", 1)[0] for name, token in tokens.items()}
    for token in tokens.values():
        request = attacker.form(token), attacker.proof()
        started = time.monotonic()
        attacker.send(*request)
        assert time.monotonic() - started < PROMPT
    assert refuses_all(attacker, intake, tokens) == {}


@pytest.mark.parametrize("intake", INTAKES)
def test_j17_members_of_encryption_spoil_a_signed_token(intake: str, attacker: SwiftEhr):
    """A signed token whose header speaks of encryption or compression is refused, well signed as it is."""
    members = {
        "zip": "DEF",
        "enc": "A128GCM",
        "p2c": 2**31 - 1,
        "p2s": "AA",
        "epk": EPK,
        "iv": "AA",
        "tag": "AA",
    }
    tokens = {
        name: compact(
            header(intake, attacker, **{name: value}), claims(intake, attacker), key_of(intake, attacker)
        )
        for name, value in members.items()
    }
    deflated = compact(header(intake, attacker), BOMB[:3_000], key_of(intake, attacker))
    assert refuses_all(attacker, intake, {**tokens, "deflated": deflated}) == {}


def test_j17_a_client_key_for_encryption_does_not_sign(attacker: SwiftEhr):
    """`alg: dir` over an honest signature is refused like any unknown algorithm."""
    for intake in INTAKES:
        token = compact(header(intake, attacker, alg="dir"), claims(intake, attacker), key_for("ES256"))
        assert proper_refusal(intake, present(attacker, intake, token)) is None
