"""J9: instants are whole, safe, sensible numbers of seconds, and nothing else that JSON can hold."""

import json
from typing import Any

import pytest

from support.backstage import SwiftEhr
from support.intakes import ASSERTION, CARRIER, INTAKES, PROOF, claims, header, key_of, refuses_all
from support.tokens import compact

ODD = {
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "1e400": "1e400",
    "text": '"1"',
    "true": "true",
    "null": "null",
    "array": "[1]",
    "object": "{}",
    "-1": "-1",
    "1.5": "1.5",
    "5,000 digits": "1" * 2_000 + "0" * 3_000,
    "beyond 2**53": "9007199254740993",
    "milliseconds": "1795400000000",
    "octal": "01795400000",
    "exponent": "1e9",
}


def with_literal(payload: dict[str, Any], name: str, literal: str) -> bytes:
    """The JSON of claims, one of which is written exactly as given."""
    return json.dumps({**payload, name: "@"}).replace('"@"', literal).encode()


@pytest.mark.parametrize("intake", INTAKES)
def test_j9_an_instant_that_is_no_whole_number_is_refused(intake: str, attacker: SwiftEhr):
    """Text, fractions, infinities, huge and negative numbers are refused as instants, without a fault of ours."""
    names = ("iat",) if intake == PROOF else ("exp", "iat", "nbf")
    odd = {name: literal[:2_000] if intake == PROOF else literal for name, literal in ODD.items()}
    tokens = {
        (name, what): compact(
            header(intake, attacker),
            with_literal(claims(intake, attacker), name, literal),
            key_of(intake, attacker),
        )
        for name in names
        for what, literal in odd.items()
        if not (name == "nbf" and what in {"-1", "exponent"})
    }
    assert refuses_all(attacker, intake, tokens) == {}


def test_j9_a_proof_with_times_of_its_own_must_be_sensible_too(attacker: SwiftEhr):
    """`exp` and `nbf` are not asked of a proof, but what stands there is judged by the same rule."""
    tokens = {
        (name, what): compact(
            header(PROOF, attacker),
            with_literal(claims(PROOF, attacker), name, literal[:2_000]),
            attacker.dpop_key,
        )
        for name in ("exp", "nbf")
        for what, literal in ODD.items()
        if not (name == "nbf" and what in {"-1", "exponent"})
    }
    assert refuses_all(attacker, PROOF, tokens) == {}


@pytest.mark.parametrize("intake", [ASSERTION, CARRIER])
def test_j9_no_number_beyond_what_every_reader_agrees_on(intake: str, attacker: SwiftEhr):
    """A number that two JSON readers could read differently refuses the token, also in a claim nobody asks for."""
    tokens = {
        literal[:20]: compact(
            header(intake, attacker),
            with_literal(claims(intake, attacker), "extra", literal),
            attacker.key,
        )
        for literal in ("1e400", "9007199254740993", "-9007199254740993", "NaN", "1" * 5_000)
    }
    assert refuses_all(attacker, intake, tokens) == {}
