"""Storms of requests of which exactly one may win."""

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr
from support.ehr import Answer
from support.intakes import ASSERTION, PROOF, proper_refusal
from support.redeeming import client, code_form, good, lay, redeem, refresh_form
from support.service import Service
from support.wire import Race
from tillit_server.issuer.families import FAMILY, read_family

Requests = list[tuple[bytes, str]]
Round = Callable[[SwiftEhr, int], Requests]
LOGIN_EVERY = 1000
"""Rounds that one login is refreshed: it lives for hours, and a run may take as long."""


@dataclass(frozen=True)
class Field:
    """Where a storm takes place."""

    behind: Backstage
    services: Sequence[Service]
    runners: int


Storm = Callable[[Field, Iterable[int]], Counter[str]]
"""Runs its rounds, each of as many requests as there are runners, and counts what came of them."""


def encoded(ehr: SwiftEhr, assertion: str) -> bytes:
    return urlencode(ehr.form(assertion, scope=SELF_SERVICE)).encode()


def same_assertion(ehr: SwiftEhr, runners: int) -> Requests:
    """One assertion in many requests, each with a proof of its own."""
    form = encoded(ehr, ehr.assertion())
    return [(form, ehr.proof()) for _ in range(runners)]


def same_request(ehr: SwiftEhr, runners: int) -> Requests:
    """One request, octet for octet, many times."""
    return [(encoded(ehr, ehr.assertion()), ehr.proof())] * runners


def same_proof(ehr: SwiftEhr, runners: int) -> Requests:
    """One proof in many requests, each with an assertion of its own."""
    proof = ehr.proof()
    return [(encoded(ehr, ehr.assertion()), proof) for _ in range(runners)]


def same_proof_id(ehr: SwiftEhr, runners: int) -> Requests:
    """Proofs that differ in all but key and id, each with an assertion of its own."""
    jti = secrets.token_hex(8)
    return [(encoded(ehr, ehr.assertion()), ehr.proof(jti=jti, n=n)) for n in range(runners)]


def single_use(intake: str, make: Round, field: Field, rounds: Iterable[int]) -> Counter[str]:
    """One token a round, with one entry in the audit; everybody else is refused as the intake must."""
    ehr, counts = field.behind.client(), Counter[str]()
    with Race(field.services, field.runners) as race:
        for _ in rounds:
            answers = race.run(make(ehr, field.runners))
            counts[winners(sum(answer.status == 200 for answer in answers))] += 1
            for answer in answers:
                if answer.status != 200:
                    fault = proper_refusal(intake, answer)
                    counts[f"{answer.status} {answer.error}" if fault else "refused"] += 1
    counts["in the audit"] = len(field.behind.entries("issuer.token.issued", client_id=ehr.client_id))
    return counts


def winners(count: int) -> str:
    """A round by the number of those who won it."""
    return "one winner" if count == 1 else f"{count} winners"


def refusals(answers: Iterable[Answer], due: str | None) -> Counter[str]:
    """Answers that are no tokens: ``refused`` where the error is the one that is due, else what they are."""
    lost = [answer for answer in answers if answer.status != 200]
    return Counter(
        "refused" if (answer.status, answer.error) == (400, due) else f"{answer.status} {answer.error}"
        for answer in lost
    )


def same_code(field: Field, rounds: Iterable[int]) -> Counter[str]:
    """One token a round; as the losers were no replays, the login has ended, and the token with it."""
    behind, ehr, counts = field.behind, client(field.behind), Counter[str]()
    with Race(field.services, field.runners) as race:
        for _ in rounds:
            laid = lay(behind, ehr)
            form = partial(code_form, ehr, laid)
            answers = race.run([(urlencode(form()).encode(), ehr.proof()) for _ in range(field.runners)])
            counts[winners(sum(answer.status == 200 for answer in answers))] += 1
            counts.update(refusals(answers, "invalid_grant"))
            found = behind.services.store.records.get(FAMILY, laid.authorized.family)
            family = read_family(found)
            counts["ended" if found is not None and (family is None or family.revoked) else "alive"] += 1
    counts["in the audit"] = len(behind.entries("issuer.code.reused", client_id=ehr.client_id))
    return counts


def same_refresh(field: Field, rounds: Iterable[int], *, rotate: bool) -> Counter[str]:
    """All get the same successor, and the next round begins with that."""
    ehr, counts = client(field.behind, rotate_refresh_tokens=rotate), Counter[str]()
    head = ""
    with Race(field.services, field.runners) as race:
        for number in rounds:
            if number % LOGIN_EVERY == 0:
                head = good(redeem(ehr, lay(field.behind, ehr)))["refresh_token"]
            form = partial(refresh_form, ehr, head)
            answers = race.run([(urlencode(form()).encode(), ehr.proof()) for _ in range(field.runners)])
            heads = {answer.json["refresh_token"] for answer in answers if answer.status == 200}
            counts["one head" if len(heads) == 1 else f"{len(heads)} heads"] += 1
            counts.update(refusals(answers, None))
            (head,) = heads
    return counts


STORMS: dict[str, Storm] = {
    "C3 same assertion": partial(single_use, ASSERTION, same_assertion),
    "C3 same request": partial(single_use, ASSERTION, same_request),
    "D2 same proof": partial(single_use, PROOF, same_proof),
    "D2 same proof id": partial(single_use, PROOF, same_proof_id),
    "P7 same code": same_code,
    "T2 same refresh token, reusable": partial(same_refresh, rotate=False),
    "T2 same refresh token, rotating": partial(same_refresh, rotate=True),
}


def due(name: str, rounds: int, runners: int) -> Counter[str]:
    """What must come of so many rounds of a storm."""
    if name.startswith("T2"):
        return Counter({"one head": rounds})
    counts = Counter({"one winner": rounds, "refused": rounds * (runners - 1), "in the audit": rounds})
    return counts + Counter({"ended": rounds} if name.startswith("P7") else {})
