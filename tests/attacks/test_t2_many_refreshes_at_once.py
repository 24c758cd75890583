"""T2: of many refreshes in the same instant all that succeed agree on what comes next."""

from collections import Counter
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from support.backstage import Backstage, SwiftEhr
from support.redeeming import client, good, lay, redeem, refresh, refresh_form, refused
from support.wire import Race
from tillit.protocol.jose import SigningKey, generate_key

ROUNDS, RUNNERS = 10, 32


def storm(ehr: SwiftEhr, race: Race, token: str, key: Callable[[int], SigningKey | None]) -> set[str]:
    """All runners refresh at once; what the successes hand out. Nobody else hears more than ``invalid_grant``."""
    requests = [
        (urlencode(refresh_form(ehr, token)).encode(), ehr.proof(key=key(runner)))
        for runner in range(RUNNERS)
    ]
    answers = race.run(requests)
    assert len(answers) == RUNNERS
    statuses = Counter(answer.status if answer.status == 200 else answer.error for answer in answers)
    assert set(statuses) <= {200, "invalid_grant"}, statuses
    assert statuses[200] > 0
    return {answer.json["refresh_token"] for answer in answers if answer.status == 200}


@pytest.mark.parametrize("rotate", [False, True], ids=["reusable", "rotating"])
def test_t2_every_round_has_one_new_head(rotate: bool, backstage: Backstage):
    """Round by round 32 refreshes over two processes give one successor, and the line goes on with it."""
    ehr = client(backstage, rotate_refresh_tokens=rotate)
    head = good(redeem(ehr, lay(backstage, ehr)))["refresh_token"]
    seen = {head}
    with Race(ehr.service, RUNNERS) as race:
        for _ in range(ROUNDS):
            (successor,) = storm(ehr, race, head, lambda _: None)
            assert (successor in seen) is not rotate
            seen.add(successor)
            head = successor
    assert not backstage.entries("issuer.code.reused", client_id=ehr.client_id)


def test_t2_a_head_and_its_successor_at_once_leave_one_line(backstage: Backstage):
    """Old and new token in the same instant: the login goes on in one line, or it has ended; never in two."""
    ehr = client(backstage, rotate_refresh_tokens=True)
    for _ in range(ROUNDS):
        old = good(redeem(ehr, lay(backstage, ehr)))["refresh_token"]
        new = good(refresh(ehr, old))["refresh_token"]
        tokens = [old, new] * (RUNNERS // 2)
        with Race(ehr.service, RUNNERS) as race:
            answers = race.run(
                [(urlencode(refresh_form(ehr, token)).encode(), ehr.proof()) for token in tokens]
            )
        heads = {answer.json["refresh_token"] for answer in answers if answer.status == 200}
        assert {answer.error for answer in answers if answer.status != 200} <= {"invalid_grant"}
        alive = [head for head in sorted(heads) if refresh(ehr, head).status == 200]
        # A refresh with one head makes the one before it a token that comes back: two never both live.
        assert len([head for head in alive if refresh(ehr, head).status == 200]) <= 1
        refused(refresh(ehr, old))


def test_t2_new_proof_keys_at_once_are_all_settled(backstage: Backstage):
    """A key that changes is written under compare-and-swap: whoever loses looks again and is served."""
    ehr = client(backstage)
    laid = lay(backstage, ehr)
    token = good(redeem(ehr, laid))["refresh_token"]
    key = generate_key("ES256")
    with Race(ehr.service, RUNNERS) as race:
        assert storm(ehr, race, token, lambda _: key) == {token}
    assert len(backstage.entries("issuer.proof.key_changed", family=laid.authorized.family)) == 1
