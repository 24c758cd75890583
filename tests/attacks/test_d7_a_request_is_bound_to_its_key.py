"""D7: the key that a request was pushed with is the key that its code is redeemed with, and no other."""

from typing import Any

import pytest

from support.backstage import Backstage, SwiftEhr
from support.ehr import Answer
from support.intakes import AT_PAR, PROOF, accepted, fields, proper_refusal
from support.login import LoginEhr, Reception
from support.redeeming import refused
from support.relying_party import RelyingParty
from support.tokens import compact
from tillit.protocol.jose import generate_key, private_jwk


@pytest.fixture(scope="module")
def ehr(reception: Reception) -> RelyingParty:
    """A client whose users log in."""
    return RelyingParty.of(reception.client())


def proof(ehr: LoginEhr, **changes: Any) -> str:
    """A good proof for pushing a request, with changes."""
    return ehr.proof(**{"htu": ehr.par, "nonce": ..., **changes})


def wrong_key(answer: Answer) -> None:
    assert (answer.status, answer.error) == (400, "invalid_dpop_proof"), answer.body


def test_d7_a_proof_and_the_name_of_another_key_are_refused(ehr: RelyingParty):
    """``dpop_jkt`` and the proof beside it speak of one key, in the form as in a request object."""
    other = generate_key("ES256").public.thumbprint
    own = ehr.dpop_key.public.thumbprint
    wrong_key(ehr.push(proof(ehr), dpop_jkt=other))
    wrong_key(ehr.push_signed(proof(ehr), dpop_jkt=other))
    assert ehr.push(proof(ehr), dpop_jkt=own).status == 201
    assert ehr.push_signed(proof(ehr), dpop_jkt=own).status == 201


@pytest.mark.parametrize("bound", ["by a proof", "by name", "by both"])
def test_d7_the_code_is_redeemed_with_that_key_alone(bound: str, ehr: RelyingParty, reception: Reception):
    """With another key's proof the code is refused and still good for its owner."""
    jkt = ehr.dpop_key.public.thumbprint
    named = {} if bound == "by a proof" else {"dpop_jkt": jkt}
    answer = ehr.push(None if bound == "by name" else proof(ehr), **named)
    code = reception.log_in(ehr, answer.json["request_uri"]).parameters["code"]
    thief = RelyingParty(ehr.service, ehr.client_id, ehr.key)
    thief.verifier = ehr.verifier
    wrong_key(thief.redeem(code))
    assert ehr.redeem(code).status == 200


def test_d7_a_code_without_a_key_takes_the_first_that_comes(ehr: RelyingParty, reception: Reception):
    """Nobody has to name a key at the push; then the code's owner chooses it at the token endpoint, once."""
    code = reception.log_in(ehr, ehr.request_uri()).parameters["code"]
    assert ehr.redeem(code).status == 200
    other = RelyingParty(ehr.service, ehr.client_id, ehr.key)
    other.verifier = ehr.verifier
    refused(other.redeem(code))


def test_d7_a_proof_at_the_push_is_judged_like_any_other(ehr: RelyingParty):
    """For another endpoint or method, too old, unsigned, with a private key, or doubled: refused."""
    key = ehr.dpop_key
    now = int(ehr.service.now())
    bad = {
        "token endpoint": proof(ehr, htu=ehr.endpoint),
        "GET": proof(ehr, htm="GET"),
        "too old": proof(ehr, iat=now - 61),
        "ahead": proof(ehr, iat=now + 61),
        "no id": proof(ehr, jti=...),
        "private key": proof(ehr, header={"jwk": private_jwk(key)}),
        "typ": proof(ehr, header={"typ": "JWT"}),
        "unsigned": compact({"typ": "dpop+jwt", "alg": "none", "jwk": key.public.bare_jwk}, {"jti": "x"}),
        "two": f"{proof(ehr)},{proof(ehr)}",
        "not a token": "x",
    }
    for name, token in bad.items():
        assert proper_refusal(PROOF, ehr.push(token)) is None, name


def test_d7_no_nonce_is_asked_for_at_the_push(ehr: RelyingParty):
    """With a nonce, without one, or with a strange one: a proof there is as good."""
    for nonce in (..., "strange", ehr.nonce()):
        assert ehr.push(proof(ehr, nonce=nonce)).status == 201


def test_d2_d7_a_proof_is_spent_at_the_push_too(ehr: RelyingParty, backstage: Backstage):
    """The same proof again is refused, also beside a fresh assertion and from another client."""
    token = proof(ehr)
    assert ehr.push(token).status == 201
    wrong_key(ehr.push(token))
    other = LoginEhr(ehr.service, (spare := backstage.client()).client_id, spare.key)
    answer = other.send(fields(AT_PAR, other, other.assertion()), token, url=other.par)
    wrong_key(answer)


def test_d7_a_key_may_have_to_be_another_than_the_clients(reception: Reception):
    """With the switch the authentication key proves nothing at the push; without it the audit notes it."""
    strict, lax = reception.client(separate_dpop_key=True), reception.client()
    for ehr in (strict, lax):
        ehr.dpop_key = ehr.key
    wrong_key(strict.push(proof(strict)))
    assert lax.push(proof(lax)).status == 201
    assert reception.backstage.entries("issuer.key.shared", client_id=lax.client_id)


@pytest.mark.parametrize("jkt", ["x", "A" * 42, "A" * 44, "A" * 42 + "B", "A" * 42 + "=", "0f" * 32])
def test_d7_the_name_of_a_key_is_a_thumbprint(jkt: str, ehr: RelyingParty, attacker: SwiftEhr):
    """What cannot be a SHA-256 in base64url is ``invalid_request``."""
    answer = ehr.push(dpop_jkt=jkt)
    assert (answer.status, answer.error) == (400, "invalid_request")
    assert accepted(attacker.send(fields(AT_PAR, attacker, attacker.assertion()), None, url=ehr.par))
