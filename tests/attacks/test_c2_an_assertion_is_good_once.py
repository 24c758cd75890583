"""C2: an assertion that was accepted is never accepted again, whenever and by whichever process."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr, Timeline, eventually
from support.ehr import Answer, Ehr
from support.intakes import (
    ASSERTION,
    AUTHENTICATING,
    PROOF,
    accepted,
    fields,
    present,
    proper_refusal,
    submit,
)
from support.service import Service
from support.wire import Lane

pytestmark = pytest.mark.xdist_group("timeline")


def replay(ehr: Ehr, assertion: str) -> Answer:
    """The same assertion in a request that is new in everything else."""
    return ehr.send(ehr.form(assertion, scope=SELF_SERVICE), ehr.proof())


@pytest.mark.parametrize("second", AUTHENTICATING)
@pytest.mark.parametrize("first", AUTHENTICATING)
def test_c2_an_assertion_is_good_once_at_all_endpoints_together(first: str, second: str, attacker: SwiftEhr):
    """What was accepted at one endpoint is refused at that one and at every other."""
    assertion = attacker.assertion()
    assert accepted(present(attacker, first, assertion))
    assert proper_refusal(second, present(attacker, second, assertion)) is None
    assert accepted(present(attacker, second, attacker.assertion()))


@pytest.mark.parametrize("later", [0, 1, 59, 60, 65, 66, 3600])
def test_c2_a_second_use_is_refused_however_late(later: int, timeline: Timeline):
    """The same assertion is refused at once, within its life, in the leeway after it, and beyond."""
    start = timeline.moment()
    assertion = timeline.ehr.assertion(exp=int(start) + 60)
    assert replay(timeline.ehr, assertion).status == 200
    timeline.at(start + later)
    assert proper_refusal(ASSERTION, replay(timeline.ehr, assertion)) is None


def test_c2_every_worker_knows_what_another_has_accepted(backstage: Backstage, attacker: SwiftEhr):
    """An assertion accepted by one process is refused by all others, as the audit's slots show."""
    jti = secrets.token_hex(8)
    assertion = attacker.assertion(jti=jti)
    assert replay(attacker, assertion).status == 200

    def slots_that_refused() -> set[int]:
        return {entry.slot for entry in backstage.entries("issuer.token.refused", assertion_jti=jti)}

    with ExitStack() as opened:
        for _ in range(32):
            lane = opened.enter_context(Lane(attacker.service))
            answer = lane.send(attacker.form(assertion, scope=SELF_SERVICE), attacker.proof())
            assert proper_refusal(ASSERTION, answer) is None
        assert eventually(lambda: len(slots_that_refused()) == attacker.service.workers)


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[tuple[Service, Ehr]]:
    """A service that may be stopped and killed, with its clock standing still."""
    with Service(tmp_path / "mortal", frozen=1768465800.0) as running:
        opened = Backstage(running)
        ehr = opened.client()
        opened.close()
        yield running, ehr


def test_c2_d2_d8_a_restart_forgets_nothing(mortal: tuple[Service, Ehr]):
    """After a stop and after kill -9 what was spent is still spent, and a nonce from before is still good."""
    service, ehr = mortal
    nonce = ehr.nonce()
    for end in (service.stop, service.kill):
        assertion, proof = ehr.assertion(), ehr.proof(nonce=nonce)
        assert ehr.send(ehr.form(assertion, scope=SELF_SERVICE), proof).status == 200
        end()
        service.start()
        assert proper_refusal(ASSERTION, replay(ehr, assertion)) is None
        answer = ehr.send(ehr.form(ehr.assertion(), scope=SELF_SERVICE), proof)
        assert proper_refusal(PROOF, answer) is None
        form = ehr.form(ehr.assertion(), scope=SELF_SERVICE)
        assert ehr.send(form, ehr.proof(nonce=nonce)).status == 200


@pytest.mark.parametrize("intake", AUTHENTICATING)
def test_c2_an_assertion_beside_another_fault_was_not_spent(intake: str, attacker: SwiftEhr):
    """At every endpoint a request that fails for another reason leaves its assertion good."""
    assertion = attacker.assertion()
    good = fields(intake, attacker, assertion)
    for name in good.keys() & {"grant_type", "redirect_uri", "token"}:
        broken = {key: value for key, value in good.items() if key != name}
        assert submit(attacker, intake, broken).error == "invalid_request"
    assert accepted(submit(attacker, intake, good))


def test_c2_a_refused_assertion_was_not_spent(attacker: SwiftEhr):
    """What fails for another reason costs nothing: the same assertion is good once the rest is right."""
    assertion = attacker.assertion()
    form = attacker.form(assertion, scope="nhn:phr/unknown")
    assert attacker.send(form, attacker.proof()).error == "invalid_scope"
    assert attacker.send(attacker.form(assertion, scope=SELF_SERVICE), None).error == "invalid_dpop_proof"
    assert (
        attacker.send(attacker.form(assertion, scope=SELF_SERVICE), attacker.proof(nonce=...)).error
        == "use_dpop_nonce"
    )
    assert replay(attacker, assertion).status == 200
