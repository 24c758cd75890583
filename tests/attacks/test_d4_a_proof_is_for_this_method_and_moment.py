"""D4: a proof is for this method, to the letter, and for now, to the second."""

from typing import Any

import pytest

from support.backstage import SwiftEhr, Timeline
from support.ehr import Answer
from support.intakes import PROOF, claims, header, present, proper_refusal, refuses_all
from support.tokens import compact

pytestmark = pytest.mark.xdist_group("timeline")

ACCEPTED: dict[str, dict[str, Any]] = {
    "8 s ahead": {"iat": 8},
    "10 s ahead": {"iat": 10},
    "8 s back": {"iat": -8},
    "10 s back": {"iat": -10},
    "60 s back": {"iat": -60},
    "own exp now": {"exp": 0},
    "own exp 5 s past": {"exp": -5},
    "own nbf 10 s ahead": {"nbf": 10},
}
REFUSED: dict[str, dict[str, Any]] = {
    "11 s ahead": {"iat": 11},
    "61 s ahead": {"iat": 61},
    "an hour ahead": {"iat": 3600},
    "61 s back": {"iat": -61},
    "an hour back": {"iat": -3600},
    "own exp past": {"exp": -6},
    "own nbf ahead": {"nbf": 11},
    "own exp past, iat ahead": {"iat": 10, "exp": -6},
}


def at(timeline: Timeline, offsets: dict[str, Any]) -> Answer:
    start = int(timeline.moment())
    timeline.ehr.nonce()
    times = {name: start + offset for name, offset in offsets.items()}
    token = compact(header(PROOF, timeline.ehr), claims(PROOF, timeline.ehr, **times), timeline.ehr.dpop_key)
    return present(timeline.ehr, PROOF, token)


@pytest.mark.parametrize("name", ACCEPTED)
def test_d4_the_last_second_within_each_bound_is_accepted(name: str, timeline: Timeline):
    """Clocks may differ by ten seconds, and a proof may be a minute old, with its nonce."""
    assert at(timeline, ACCEPTED[name]).status == 200


@pytest.mark.parametrize("name", REFUSED)
def test_d4_the_first_second_beyond_each_bound_is_refused(name: str, timeline: Timeline):
    """A good nonce does not make an old proof new, nor a future one present."""
    answer = at(timeline, REFUSED[name])
    assert proper_refusal(PROOF, answer) is None
    assert answer.description.startswith("DPoP proof: payload.")


def test_d4_another_method_is_refused(attacker: SwiftEhr):
    """Methods have a case (RFC 9110 §9.1): `post` is not `POST`."""
    tokens = {
        method: compact(header(PROOF, attacker), claims(PROOF, attacker, htm=method), attacker.dpop_key)
        for method in ("post", "Post", "GET", "POST ", "POST, GET", "*", "PUT")
    }
    assert refuses_all(attacker, PROOF, tokens) == {}
