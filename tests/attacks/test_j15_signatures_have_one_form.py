"""J15: an ECDSA signature is two numbers of fixed length in range; its one legal twin is a replay."""

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from support.backstage import SELF_SERVICE, SwiftEhr
from support.intakes import ASSERTION, INTAKES, PROOF, good, present, proper_refusal, refuses_all
from support.tokens import b64
from tillit.protocol.gate import decode_base64url

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256 (FIPS 186-4 D.1.2.3)."""


def taken_apart(token: str) -> tuple[str, int, int]:
    signing_input, _, signature = token.rpartition(".")
    octets = decode_base64url(signature, "signature")
    return signing_input, int.from_bytes(octets[:32], "big"), int.from_bytes(octets[32:], "big")


def fixed(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def twin(token: str) -> str:
    """The same token with the other valid signature: s replaced by n - s."""
    signing_input, r, s = taken_apart(token)
    return f"{signing_input}.{b64(fixed(r, ORDER - s))}"


@pytest.mark.parametrize("intake", INTAKES)
def test_j15_signatures_out_of_form_or_range_are_refused(intake: str, attacker: SwiftEhr):
    """Numbers r or s of 0, n or beyond, DER, and any length but 64 octets are refused."""
    _, r, s = taken_apart(good(intake, attacker))
    forms = {
        "zeros": bytes(64),
        "r = 0": fixed(0, s),
        "s = 0": fixed(r, 0),
        "r = n": fixed(ORDER, s),
        "s = n": fixed(r, ORDER),
        "both 1": fixed(1, 1),
        "all ones": b"\xff" * 64,
    }
    tokens = {name: f"{taken_apart(good(intake, attacker))[0]}.{b64(form)}" for name, form in forms.items()}
    for length in (63, 65, 66, 96):
        signing_input, r, s = taken_apart(good(intake, attacker))
        tokens[f"{length} octets"] = f"{signing_input}.{b64((fixed(r, s) * 2)[:length])}"
    signing_input, r, s = taken_apart(good(intake, attacker))
    tokens["DER"] = f"{signing_input}.{b64(encode_dss_signature(r, s))}"
    signing_input, r, s = taken_apart(good(intake, attacker))
    tokens["swapped"] = f"{signing_input}.{b64(fixed(s, r))}"
    if r + ORDER < 2**256:
        tokens["r + n"] = f"{signing_input}.{b64(fixed(r + ORDER, s))}"
    assert refuses_all(attacker, intake, tokens) == {}


def test_j15_the_twin_of_an_assertion_is_valid_once_and_then_a_replay(attacker: SwiftEhr):
    """Either signature of an assertion is good, but both are one assertion: the second one is a replay."""
    first = good(ASSERTION, attacker)
    assert present(attacker, ASSERTION, twin(good(ASSERTION, attacker))).status == 200
    assert present(attacker, ASSERTION, first).status == 200
    assert proper_refusal(ASSERTION, present(attacker, ASSERTION, twin(first))) is None


def test_j15_the_twin_of_a_proof_is_valid_once_and_then_a_replay(attacker: SwiftEhr):
    """A spent proof does not become another one by the other spelling of its signature."""
    first = good(PROOF, attacker)
    assert present(attacker, PROOF, twin(good(PROOF, attacker))).status == 200
    assert present(attacker, PROOF, first).status == 200
    answer = present(attacker, PROOF, twin(first))
    assert proper_refusal(PROOF, answer) is None
    assert "used before" in answer.description


def test_j15_both_twins_together_are_one_request(attacker: SwiftEhr):
    """A whole request sent again with both signatures respelled is refused as the replay it is."""
    assertion, proof = good(ASSERTION, attacker), good(PROOF, attacker)
    assert attacker.send(attacker.form(assertion, scope=SELF_SERVICE), proof).status == 200
    again = attacker.send(attacker.form(twin(assertion), scope=SELF_SERVICE), twin(proof))
    assert proper_refusal(ASSERTION, again) is None
