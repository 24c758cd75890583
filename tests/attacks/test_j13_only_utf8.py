"""J13: header and payload are UTF-8 without a byte order mark, and no text holds what no text can hold."""

import json

import pytest

from support.backstage import SwiftEhr
from support.intakes import INTAKES, PROOF, claims, header, key_of, refuses_all
from support.tokens import compact

ENCODINGS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig")


@pytest.mark.parametrize("intake", INTAKES)
def test_j13_other_encodings_are_refused(intake: str, attacker: SwiftEhr):
    """UTF-16, UTF-32, a byte order mark and broken UTF-8 are refused in header and payload."""
    tokens = {}
    for part in ("header", "payload"):
        for encoding in ENCODINGS:
            texts = [json.dumps(header(intake, attacker)), json.dumps(claims(intake, attacker))]
            octets = [text.encode() for text in texts]
            octets[part == "payload"] = texts[part == "payload"].encode(encoding)
            tokens[part, encoding] = compact(*octets, key_of(intake, attacker))
        for name, broken in {
            "cut": b"\xc3",
            "lone": b"\xff",
            "overlong": b"\xc0\xaf",
            "surrogate": b"\xed\xa0\x80",
        }.items():
            texts = [
                json.dumps({**header(intake, attacker), "x": "@"}),
                json.dumps(claims(intake, attacker, x="@")),
            ]
            octets = [text.encode() for text in texts]
            octets[part == "payload"] = octets[part == "payload"].replace(b"@", broken)
            tokens[part, name] = compact(*octets, key_of(intake, attacker))
    assert refuses_all(attacker, intake, tokens) == {}


@pytest.mark.parametrize("intake", INTAKES)
def test_j13_lone_surrogates_and_nul_are_refused_in_identifiers(intake: str, attacker: SwiftEhr):
    """An identifier that another program could not write down, or would cut off, is refused."""
    names = ("jti", "htu") if intake == PROOF else ("jti", "iss", "aud")
    tokens = {}
    for name in names:
        for text in ("\\ud800", "\\udfff", "a\\u0000b"):
            whole = json.dumps({**claims(intake, attacker), name: "@"}).replace("@", text)
            tokens[name, text] = compact(header(intake, attacker), whole.encode(), key_of(intake, attacker))
    assert refuses_all(attacker, intake, tokens) == {}
