"""D5: the key of a proof is public, sound, of a kind we take, and made the signature."""

from typing import Any

import pytest

from support.backstage import Backstage, SwiftEhr, eventually
from support.intakes import PROOF, claims, header, present, proper_refusal, refuses_all
from support.tokens import compact, key_for
from tillit.protocol.jose import ALGORITHMS, SigningKey, private_jwk


def proof(ehr: SwiftEhr, key: SigningKey, **changes: Any) -> str:
    return compact(header(PROOF, ehr, **changes), claims(PROOF, ehr), key)


def test_d5_only_the_key_in_the_proof_may_have_signed_it(attacker: SwiftEhr):
    """A signature by any other key, of the same kind or the client's own, is refused."""
    tokens = {
        "another key": proof(attacker, key_for("ES256", 5)),
        "the client's key": proof(attacker, attacker.key),
        "P-384": proof(attacker, key_for("ES384"), alg="ES384"),
        "RSA over EC": proof(attacker, key_for("PS256"), alg="PS256"),
    }
    assert refuses_all(attacker, PROOF, tokens) == {}


def test_d5_kinds_of_key_and_algorithm_we_do_not_take(attacker: SwiftEhr):
    """Symmetric keys, certificates, RS256 in the strict profile, `none` and MACs are refused."""
    public = attacker.dpop_key.public.bare_jwk
    rsa = key_for("PS256").public.bare_jwk
    tokens = {
        "oct": proof(attacker, attacker.dpop_key, jwk={"kty": "oct", "k": "AAAA"}),
        "oct HS256": proof(attacker, attacker.dpop_key, jwk={"kty": "oct", "k": "AAAA"}, alg="HS256"),
        "x5c beside": proof(attacker, attacker.dpop_key, x5c=["MIIB"]),
        "x5c within": proof(attacker, attacker.dpop_key, jwk={**public, "x5c": ["MIIB"]}),
        "x5u within": proof(attacker, attacker.dpop_key, jwk={**public, "x5u": "https://evil.example"}),
        "none": proof(attacker, attacker.dpop_key, alg="none"),
        "RS256": proof(attacker, key_for("RS256"), jwk=rsa, alg="RS256"),
        "secp256k1": proof(attacker, attacker.dpop_key, jwk={**public, "crv": "secp256k1"}, alg="ES256K"),
    }
    assert refuses_all(attacker, PROOF, tokens) == {}


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_d5_every_algorithm_of_the_profile_is_accepted(alg: str, attacker: SwiftEhr):
    """The token is bound to the key that proved possession, whatever its kind."""
    key = key_for(alg, 5) if alg.startswith("ES") else key_for(alg)
    token = compact(header(PROOF, attacker, key), claims(PROOF, attacker), key)
    assert present(attacker, PROOF, token).status == 200


@pytest.mark.parametrize("alg", ["ES256", "PS256", "EdDSA"])
def test_d5_a_private_key_is_refused_and_raises_an_alarm(alg: str, backstage: Backstage):
    """Who sends its private key along has burnt it: refused, and somebody is told."""
    ehr = backstage.client()
    key = key_for(alg, 5) if alg == "ES256" else key_for(alg)
    token = compact(header(PROOF, ehr, key, jwk=private_jwk(key)), claims(PROOF, ehr), key)
    assert proper_refusal(PROOF, present(ehr, PROOF, token)) is None
    alarms = eventually(lambda: backstage.entries("issuer.key.exposed", client_id=ehr.client_id))
    assert [(alarm.public["where"], alarm.public["alarm"]) for alarm in alarms] == [("dpop", True)]
    assert private_jwk(key)["d"] not in backstage.service.log()


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_d5_a_single_private_member_is_enough(member: str, attacker: SwiftEhr):
    """Any private member spoils the proof, also one that does not belong to that kind of key."""
    token = proof(attacker, attacker.dpop_key, jwk={**attacker.dpop_key.public.bare_jwk, member: "AAAA"})
    assert proper_refusal(PROOF, present(attacker, PROOF, token)) is None


def test_d5_one_key_for_both_purposes_is_allowed_and_written_down(backstage: Backstage):
    """A client may prove possession with the key it authenticates with; the audit tells."""
    ehr = backstage.client()
    token = compact(header(PROOF, ehr, ehr.key), claims(PROOF, ehr), ehr.key)
    assert present(ehr, PROOF, token).status == 200
    (entry,) = backstage.entries("issuer.key.shared", client_id=ehr.client_id)
    assert entry.public["jkt"] == ehr.key.public.thumbprint


def test_d5_d7_a_client_may_be_held_to_two_keys(backstage: Backstage):
    """With the strict switch of a client a proof by its authentication key is refused."""
    ehr = backstage.client(separate_dpop_key=True)
    token = compact(header(PROOF, ehr, ehr.key), claims(PROOF, ehr), ehr.key)
    assert proper_refusal(PROOF, present(ehr, PROOF, token)) is None
    assert refuses_all(ehr, PROOF, {}) == {}
