"""D9: whatever a clock does, a spent proof or assertion is never good again."""

import pytest

from support.backstage import SELF_SERVICE, Timeline
from support.ehr import Ehr
from support.intakes import ASSERTION, PROOF, proper_refusal

pytestmark = pytest.mark.xdist_group("timeline")


def refused_both(ehr: Ehr, assertion: str, proof: str) -> bool:
    """Whether the assertion is refused with a new proof, and the proof with a new assertion."""
    with_new_proof = ehr.send(ehr.form(assertion, scope=SELF_SERVICE), ehr.proof())
    with_new_assertion = ehr.send(ehr.form(ehr.assertion(), scope=SELF_SERVICE), proof)
    return (
        proper_refusal(ASSERTION, with_new_proof) is None
        and proper_refusal(PROOF, with_new_assertion) is None
    )


@pytest.mark.parametrize("jump", [-3600, -120, -61, -10, 10, 120, 3600])
def test_d9_a_jump_and_back_makes_nothing_good_again(jump: int, timeline: Timeline):
    """Two minutes or an hour, back or ahead: during the jump and after it the spent ids stay spent."""
    ehr, start = timeline.ehr, timeline.moment()
    assertion, proof = ehr.assertion(exp=int(start) + 60), ehr.proof()
    assert ehr.send(ehr.form(assertion, scope=SELF_SERVICE), proof).status == 200
    timeline.at(start + jump)
    assert refused_both(ehr, assertion, proof)
    for _ in range(3):  # commits in which old ids could be forgotten
        assert ehr.token(None, scope=SELF_SERVICE).status == 200
    timeline.at(start)
    assert refused_both(ehr, assertion, proof)
    assert ehr.token(None, scope=SELF_SERVICE).status == 200


def test_d9_what_was_made_ahead_of_a_jump_back_is_refused(timeline: Timeline):
    """After the clock was set back two minutes, a proof of before lies in the future and is refused."""
    ehr, start = timeline.ehr, timeline.moment()
    assertion, proof = ehr.assertion(), ehr.proof()
    timeline.at(start - 120)
    assert refused_both(ehr, assertion, proof)
    timeline.at(start)
    assert ehr.send(ehr.form(assertion, scope=SELF_SERVICE), proof).status == 200


def test_d9_the_second_node_may_be_a_minute_slow(timeline: Timeline):
    """An id is remembered for longer than any node could accept it, were its clock a minute behind."""
    ehr, start = timeline.ehr, timeline.moment()
    assertion, proof = ehr.assertion(exp=int(start) + 60), ehr.proof()
    assert ehr.send(ehr.form(assertion, scope=SELF_SERVICE), proof).status == 200
    timeline.at(start + 400)
    for _ in range(3):
        assert ehr.token(None, scope=SELF_SERVICE).status == 200
    timeline.at(start + 60)
    assert refused_both(ehr, assertion, proof)
