"""D1: exactly one proof, a JWT of its own type with all its members, and nothing else in its place."""

from typing import Any
from urllib.parse import urlencode

import pytest

from support.backstage import SELF_SERVICE, SwiftEhr
from support.intakes import PROOF, claims, good, header, present, proper_refusal, refuses_all
from support.tokens import compact, octets
from support.wire import FORM, post

CLAIMS: dict[str, tuple[Any, ...]] = {
    "jti": (..., None, "", 7, ["a"], "j" * 257),
    "htm": (..., None, "", 7, ["POST"]),
    "htu": (..., None, "", 7, ["http://x"], {}),
    "iat": (..., None, "now", True, [1], {}),
    "nonce": (7, None, "", [], "n" * 300),
    "exp": ("soon", None),
    "nbf": ("soon", None),
}
HEADER: dict[str, tuple[Any, ...]] = {
    "typ": (..., None, "JWT", "DPOP+JWT", "application/dpop+jwt", "at+jwt", 1),
    "alg": (..., None, "none", "HS256", "es256", ["ES256"]),
    "jwk": (..., None, "key", [], {}, {"kty": "EC"}, {"kty": "EC", "crv": "P-256"}),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_d1_a_claim_that_is_missing_or_of_the_wrong_type_is_refused(name: str, attacker: SwiftEhr):
    """Without each of its members, or with another type in its place, a proof proves nothing."""
    tokens = {
        str(value)[:20]: compact(
            header(PROOF, attacker), claims(PROOF, attacker, **{name: value}), attacker.dpop_key
        )
        for value in CLAIMS[name]
    }
    assert refuses_all(attacker, PROOF, tokens) == {}


@pytest.mark.parametrize("name", HEADER)
def test_d1_a_header_member_that_is_missing_or_wrong_is_refused(name: str, attacker: SwiftEhr):
    """Type, algorithm and key are there, and are what they must be."""
    tokens = {
        str(value)[:20]: compact(
            header(PROOF, attacker, **{name: value}), claims(PROOF, attacker), attacker.dpop_key
        )
        for value in HEADER[name]
    }
    assert refuses_all(attacker, PROOF, tokens) == {}


def form(ehr: SwiftEhr) -> bytes:
    return urlencode(ehr.form(ehr.assertion(), scope=SELF_SERVICE)).encode()


def test_d1_no_second_header_and_no_comma(attacker: SwiftEhr):
    """Two proofs, in two headers or one, are refused, be they equal, and so is an empty second one."""
    first, second = good(PROOF, attacker), good(PROOF, attacker)
    for values in ([first, second], [first, first], [first, ""], ["", first]):
        answer = post(attacker.service, form(attacker), [("DPoP", value) for value in values])
        assert answer is not None
        assert proper_refusal(PROOF, answer) is None
    for value in (f"{first},{second}", f"{first}, {second}", f"{first},", f",{first}"):
        assert proper_refusal(PROOF, present(attacker, PROOF, value)) is None
    assert present(attacker, PROOF, first).status == 200


def test_d1_what_is_no_proof_at_all_is_refused(attacker: SwiftEhr):
    """No header, an empty one, a word, an upper-cased proof, a proof in JSON: refused."""
    proof = good(PROOF, attacker)
    tokens = {"empty": "", "word": "proof", "upper case": proof.upper(), "quoted": f'"{proof}"'}
    tokens |= {"scheme": f"DPoP {proof}", "JSON": octets(claims(PROOF, attacker)).decode().replace(",", ";")}
    assert refuses_all(attacker, PROOF, tokens) == {}
    answer = attacker.send(form(attacker), None)
    assert proper_refusal(PROOF, answer) is None
    answer = attacker.send(form(attacker) + b"&" + urlencode({"DPoP": proof}).encode(), None)
    assert proper_refusal(PROOF, answer) is None


def test_d1_further_members_are_accepted(attacker: SwiftEhr):
    """Members that nobody has defined, and a hash of some access token, do not spoil a proof."""
    token = compact(
        header(PROOF, attacker, kid="mine", cty="x", **{"x-own": 1}),
        claims(PROOF, attacker, ath="x" * 43, sub="me", more={"deep": [1, 2]}),
        attacker.dpop_key,
    )
    assert present(attacker, PROOF, token).status == 200


def test_d1_header_names_have_no_case_and_values_may_have_blanks_around(attacker: SwiftEhr):
    """HTTP's own freedoms (RFC 9110 §5) are granted."""
    for name in ("dpop", "DPOP", "DPoP"):
        answer = post(attacker.service, form(attacker), [(name, f"  {good(PROOF, attacker)}\t")])
        assert answer is not None
        assert answer.status == 200


def test_d1_an_underscore_in_a_header_name_is_not_a_hyphen(attacker: SwiftEhr):
    """A header whose name a server could mistake for ours does not bring a proof, and does not spoil one."""
    answer = post(attacker.service, form(attacker), [("X_DPoP", "x"), ("DPoP", good(PROOF, attacker))])
    assert answer is not None
    assert answer.status == 200
    assert FORM == "application/x-www-form-urlencoded"
