"""Storms of requests of which exactly one may win."""

import secrets
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlencode

from support.backstage import SELF_SERVICE, SwiftEhr
from support.intakes import ASSERTION, PROOF, proper_refusal
from support.wire import Race

Requests = list[tuple[bytes, str]]
Round = Callable[[SwiftEhr, int], Requests]


def same_assertion(ehr: SwiftEhr, runners: int) -> Requests:
    """One assertion in many requests, each with a proof of its own."""
    form = encoded(ehr, ehr.assertion())
    return [(form, ehr.proof()) for _ in range(runners)]


def same_proof(ehr: SwiftEhr, runners: int) -> Requests:
    """One proof in many requests, each with an assertion of its own."""
    proof = ehr.proof()
    return [(encoded(ehr, ehr.assertion()), proof) for _ in range(runners)]


def same_request(ehr: SwiftEhr, runners: int) -> Requests:
    """One request, octet for octet, many times."""
    return [(encoded(ehr, ehr.assertion()), ehr.proof())] * runners


def same_proof_id(ehr: SwiftEhr, runners: int) -> Requests:
    """Proofs that differ in all but key and id, each with an assertion of its own."""
    jti = secrets.token_hex(8)
    return [(encoded(ehr, ehr.assertion()), ehr.proof(jti=jti, n=n)) for n in range(runners)]


def encoded(ehr: SwiftEhr, assertion: str) -> bytes:
    return urlencode(ehr.form(assertion, scope=SELF_SERVICE)).encode()


def storm(ehr: SwiftEhr, make: Round, *, intake: str, rounds: int, runners: int) -> Counter[str]:
    """Run the rounds and count: ``one winner`` or ``N winners`` a round, ``refused`` or the fault of each loser."""
    counts: Counter[str] = Counter()
    with Race(ehr.service, runners) as race:
        for _ in range(rounds):
            answers = race.run(make(ehr, runners))
            winners = [answer for answer in answers if answer.status == 200]
            counts["one winner" if len(winners) == 1 else f"{len(winners)} winners"] += 1
            counts["lost answers"] += runners - len(answers)
            for answer in answers:
                if answer.status != 200:
                    counts[proper_refusal(intake, answer) or "refused"] += 1
    return +counts


STORMS: dict[str, tuple[str, Round]] = {
    "C3 same assertion": (ASSERTION, same_assertion),
    "C3 same request": (ASSERTION, same_request),
    "D2 same proof": (PROOF, same_proof),
    "D2 same proof id": (PROOF, same_proof_id),
}
"""Name, the intake that refuses the losers, and what is sent."""
