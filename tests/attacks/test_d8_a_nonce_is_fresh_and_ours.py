"""D8: the token endpoint asks for a nonce of its own making, good in every process and for a few minutes."""

from contextlib import ExitStack
from urllib.parse import urlencode

import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr, Timeline, eventually
from support.ehr import Answer, Ehr
from support.intakes import well_formed
from support.wire import Lane

pytestmark = pytest.mark.xdist_group("timeline")

SLOT = 120


def with_nonce(ehr: Ehr, nonce: object) -> Answer:
    form = ehr.form(ehr.assertion(), scope=SELF_SERVICE)
    return ehr.send(form, ehr.proof(nonce=nonce))


def challenged(answer: Answer) -> bool:
    """Whether the answer asks for a nonce, and gives one."""
    return (
        (answer.status, answer.error) == (400, "use_dpop_nonce")
        and bool(answer.headers["DPoP-Nonce"])
        and answer.headers["Cache-Control"] == "no-store"
    )


def test_d8_no_nonce_or_a_made_up_one_is_answered_with_a_challenge(attacker: SwiftEhr):
    """Without a nonce of ours there is no token, but a nonce for the next try."""
    ours = attacker.nonce()
    forged = ours[:-1] + ("A" if ours[-1] != "A" else "B")
    for nonce in (..., "forged", forged, ours.lower(), ours + "A", ours[:-1], "n" * 200, "\u00e5"):
        assert challenged(with_nonce(attacker, nonce)), nonce
    assert with_nonce(attacker, ours).status == 200


def test_d8_a_challenge_is_answered_by_the_same_request_with_the_nonce(attacker: SwiftEhr):
    """The challenge spends nothing: the same assertion goes through with a proof that carries the nonce."""
    form = attacker.form(attacker.assertion(), scope=SELF_SERVICE)
    challenge = attacker.send(form, attacker.proof(nonce=...))
    assert challenged(challenge)
    assert attacker.send(form, attacker.proof(nonce=challenge.headers["DPoP-Nonce"])).status == 200


def test_d8_every_token_comes_with_the_next_nonce(attacker: SwiftEhr):
    """Who has a token need not be challenged again (RFC 9449 §8.2), and other errors carry no nonce."""
    first = with_nonce(attacker, attacker.nonce())
    assert with_nonce(attacker, first.headers["DPoP-Nonce"]).status == 200
    form = attacker.form(attacker.assertion(), scope="unknown")
    refused = attacker.send(form, attacker.proof())
    assert refused.error == "invalid_scope"
    assert "DPoP-Nonce" not in refused.headers
    assert well_formed(refused)


@pytest.mark.parametrize(
    ("later", "good"), [(0, True), (SLOT, True), (2 * SLOT - 1, True), (2 * SLOT, False)]
)
def test_d8_a_nonce_lives_for_its_slot_and_the_next(later: int, good: bool, timeline: Timeline):
    """From the start of its slot a nonce is good for twice 120 seconds; two rotations later it is not."""
    start = timeline.moment() // SLOT * SLOT
    timeline.at(start)
    nonce = Ehr.nonce(timeline.ehr)
    timeline.at(start + later)
    answer = with_nonce(timeline.ehr, nonce)
    assert answer.status == 200 if good else challenged(answer)


def test_d8_a_nonce_from_another_clock_is_good_for_ten_seconds_ahead(timeline: Timeline):
    """A nonce of a slot that begins within ten seconds is accepted, of one that begins later it is not."""
    start = timeline.moment() // SLOT * SLOT + SLOT
    timeline.at(start)
    nonce = Ehr.nonce(timeline.ehr)
    for early, good in ((10, True), (11, False)):
        timeline.at(start - early)
        answer = with_nonce(timeline.ehr, nonce)
        assert answer.status == 200 if good else challenged(answer)


def test_d8_a_nonce_of_one_process_is_good_in_all(backstage: Backstage):
    """Nonces are derived from a shared secret: every worker accepts what another has issued."""
    ehr = backstage.client()
    with ExitStack() as opened:
        lanes = [opened.enter_context(Lane(ehr.service)) for _ in range(16)]

        def sent(lane: Lane, nonce: object) -> Answer:
            form = urlencode(ehr.form(ehr.assertion(), scope=SELF_SERVICE)).encode()
            return lane.send(form, ehr.proof(nonce=nonce))

        nonces = [sent(lane, ...).headers["DPoP-Nonce"] for lane in lanes]
        for nonce, lane in zip(nonces, reversed(lanes), strict=True):
            assert sent(lane, nonce).status == 200
        issued = eventually(lambda: backstage.entries("issuer.token.issued", client_id=ehr.client_id))
        assert len({entry.slot for entry in issued}) == ehr.service.workers, "only one process took part"


def test_d8_a_challenge_is_neither_refusal_nor_event(backstage: Backstage):
    """Being asked for a nonce is part of the dance: nothing of it stands in audit or log."""
    ehr = backstage.client()
    before = len(backstage.service.log())
    challenge = with_nonce(ehr, ...)
    assert challenged(challenge)
    assert set(challenge.json) == {"error", "error_description"}
    assert with_nonce(ehr, challenge.headers["DPoP-Nonce"]).status == 200
    assert backstage.entries("issuer.token.refused", client_id=ehr.client_id) == []
    assert ehr.client_id not in backstage.service.log()[before:]
