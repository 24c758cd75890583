"""D2: a proof is good for one request, however many arrive with it, and whatever else they say."""

import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr, Timeline
from support.ehr import Answer, Ehr
from support.intakes import PROOF, proper_refusal

pytestmark = pytest.mark.xdist_group("timeline")


def again(ehr: Ehr, proof: str) -> Answer:
    """A proof in a request that is new in everything else."""
    return ehr.send(ehr.form(ehr.assertion(), scope=SELF_SERVICE), proof)


@pytest.mark.parametrize("later", [0, 1, 59, 60, 61, 3600])
def test_d2_a_second_use_is_refused_however_late(later: int, timeline: Timeline):
    """The same proof is refused at once, until the end of its life, and beyond."""
    start = timeline.moment()
    proof = timeline.ehr.proof()
    assert again(timeline.ehr, proof).status == 200
    timeline.at(start + later)
    assert proper_refusal(PROOF, again(timeline.ehr, proof)) is None


def test_d2_the_same_id_with_another_key_is_another_proof(attacker: SwiftEhr, backstage: Backstage):
    """An id is remembered per key: two keys may use the same one, one key may not, whichever client it serves."""
    other = backstage.client()
    jti = "the-same-id"
    assert again(attacker, attacker.proof(jti=jti)).status == 200
    assert again(other, other.proof(jti=jti)).status == 200
    assert proper_refusal(PROOF, again(attacker, attacker.proof(jti=jti))) is None
    assert proper_refusal(PROOF, again(other, other.proof(key=attacker.dpop_key, jti=jti))) is None


def test_d2_the_same_id_for_another_spelling_of_the_address_is_a_replay(attacker: SwiftEhr):
    """A proof made anew with its old id is refused, also when address and time differ."""
    jti = "another-address"
    assert again(attacker, attacker.proof(jti=jti)).status == 200
    respelled = attacker.endpoint.replace("http://", "HTTP://") + "?x=1"
    assert proper_refusal(PROOF, again(attacker, attacker.proof(jti=jti, htu=respelled))) is None


def test_d2_a_refused_request_did_not_spend_its_proof(attacker: SwiftEhr):
    """What fails for another reason costs nothing: the same proof is good once the rest is right."""
    proof = attacker.proof()
    form = attacker.form(attacker.assertion(), scope="nhn:phr/unknown")
    assert attacker.send(form, proof).error == "invalid_scope"
    assert again(attacker, proof).status == 200
