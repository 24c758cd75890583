"""Storms of requests of which exactly one may win."""

import secrets
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from operator import methodcaller
from urllib.parse import urlencode

import orjson

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr
from support.ehr import Answer
from support.intakes import ASSERTION, PROOF, proper_refusal
from support.redeeming import claims_of, client, code_form, good, lay, redeem, refresh_form
from support.service import Service
from support.wire import Race
from tillit_server.issuer.families import FAMILY, read_family

ABREAST = 3
"""Rounds under way at once: while one is made and judged, the service has others to answer."""
Requests = list[tuple[bytes, str]]
Round = Callable[[SwiftEhr, int], Requests]


@dataclass(frozen=True)
class Field:
    """Where a storm takes place; ``spans``: the seconds from the first to the last start of each round."""

    behind: Backstage
    services: Sequence[Service]
    runners: int
    spans: list[float] = field(default_factory=list)


@dataclass
class Found:
    """What came of the rounds of one client, and the ids of the tokens that it was given in them."""

    ehr: SwiftEhr
    counts: Counter[str] = field(default_factory=Counter)
    tokens: set[str] = field(default_factory=set)

    def judge(self, answers: Sequence[Answer], fault: Callable[[Answer], str | None]) -> list[Answer]:
        """Count whoever did not win, ``refused`` where there is no fault in that; the winners."""
        won = [answer for answer in answers if answer.status == 200]
        lost = [answer for answer in answers if answer.status != 200]
        self.counts.update(fault(answer) or "refused" for answer in lost)
        self.tokens |= {claims_of(answer.json["access_token"])["jti"] for answer in won}
        return won

    def came_to(self, what: str, number: int, answers: Sequence[Answer] | None) -> None:
        """Count a round by the number of those who won it; one that should not be is told in full."""
        self.counts[f"one {what}" if number == 1 else f"{number} {what}s"] += 1
        if number != 1:
            print(number, *[(answer.status, answer.body) for answer in answers or ()], sep="\n")


Track = Generator[Requests, Sequence[Answer] | None, None]
"""Rounds that follow each other: gives the requests of one, is sent the answers, and gives those of the next."""
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


def single_use(intake: str, make: Round, field: Field, found: Found) -> Track:
    """One token a round; everybody else is refused as the intake must."""
    while True:
        answers = yield make(found.ehr, field.runners)
        won = found.judge(answers or (), partial(proper_refusal, intake))
        found.came_to("winner", len(won), answers)


def fault(answer: Answer, due: str | None = None) -> str | None:
    """None for an error that is due, else what it is."""
    return None if (answer.status, answer.error) == (400, due) else f"{answer.status} {answer.error}"


def same_code(field: Field, found: Found) -> Track:
    """One token a round; as the losers were no replays, the login has ended, and the token with it."""
    ehr, records = found.ehr, field.behind.services.store.records
    while True:
        laid = lay(field.behind, ehr)
        form = partial(code_form, ehr, laid)
        answers = yield [(urlencode(form()).encode(), ehr.proof()) for _ in range(field.runners)]
        won = found.judge(answers or (), partial(fault, due="invalid_grant"))
        found.came_to("winner", len(won), answers)
        record = records.get(FAMILY, laid.authorized.family)
        family = read_family(record)
        ended = record is not None and (family is None or family.revoked)
        found.counts["ended" if ended else "alive"] += 1


def same_refresh(field: Field, found: Found) -> Track:
    """All get the same successor, and the next round begins with that."""
    ehr = found.ehr
    head = good(redeem(ehr, lay(field.behind, ehr)))["refresh_token"]
    while True:
        form = partial(refresh_form, ehr, head)
        answers = yield [(urlencode(form()).encode(), ehr.proof()) for _ in range(field.runners)]
        won = found.judge(answers or (), fault)
        heads = {answer.json["refresh_token"] for answer in won}
        found.came_to("head", len(heads), answers)
        head = next(iter(heads), head)


@dataclass(frozen=True)
class Kind:
    """``grant``: by which the requests ask, and hence which entries of the audit are theirs."""

    track: Callable[[Field, Found], Track]
    client: Callable[[Backstage], SwiftEhr]
    grant: str

    def __call__(self, field: Field, rounds: Iterable[int]) -> Counter[str]:
        """Run the rounds, on several tracks in turn, and ask the audit about them."""
        found = Found(self.client(field.behind))
        journal = field.behind.services.store.journal
        before = {head.slot: head.seq for head in journal.heads()}
        with ExitStack() as stack:
            tracks = [
                (stack.enter_context(Race(field.services, field.runners)), self.track(field, found))
                for _ in range(ABREAST)
            ]
            for number in rounds:
                race, track = tracks[number % ABREAST]
                race.begin(track.send(race.answers()))
            for race, track in tracks:
                if answers := race.answers():
                    track.send(answers)
                field.spans.extend(race.spans)
        found.counts.update(self._in_the_audit(field.behind, found, before))
        return found.counts

    def _in_the_audit(self, behind: Backstage, found: Found, before: dict[int, int]) -> Counter[str]:
        """Each token has its one entry, and each entry its token; what else the audit says of this client."""
        issued, counts = Counter[str](), Counter[str]()
        for said in written_since(behind, before):
            if said.get("client_id") != found.ehr.client_id:
                continue
            if said["event"] == "issuer.token.issued" and said["grant"] == self.grant:
                issued[said["jti"]] += 1
            counts["reuses in the audit"] += said["event"] == "issuer.code.reused"
        counts["in the audit"] = sum(issued[token] == 1 for token in found.tokens)
        counts["not in the audit"] = len(found.tokens) - counts["in the audit"]
        counts["in the audit alone"] = len(issued.keys() - found.tokens)
        return +counts


def written_since(behind: Backstage, before: dict[int, int]) -> Iterable[dict[str, str]]:
    """The public half of all entries that came after these places, without keeping them."""
    journal = behind.services.store.journal
    for head in journal.heads():
        after = before.get(head.slot, 0)
        while page := journal.read(head.slot, after=after):
            after = page[-1].seq
            yield from (orjson.loads(entry.public) for entry in page)


STORMS: dict[str, Storm] = {
    **{
        name: Kind(partial(single_use, intake, make), methodcaller("client"), "client_credentials")
        for name, intake, make in (
            ("C3 same assertion", ASSERTION, same_assertion),
            ("C3 same request", ASSERTION, same_request),
            ("D2 same proof", PROOF, same_proof),
            ("D2 same proof id", PROOF, same_proof_id),
        )
    },
    "P7 same code": Kind(same_code, client, "authorization_code"),
    **{
        f"T2 same refresh token, {name}": Kind(
            same_refresh, partial(client, rotate_refresh_tokens=rotate), "refresh_token"
        )
        for name, rotate in (("reusable", False), ("rotating", True))
    },
}


def due(name: str, rounds: int, runners: int) -> Counter[str]:
    """What must come of so many rounds of a storm."""
    if name.startswith("T2"):
        return Counter({"one head": rounds, "in the audit": rounds * runners})
    counts = Counter({"one winner": rounds, "refused": rounds * (runners - 1), "in the audit": rounds})
    return counts + Counter({"ended": rounds, "reuses in the audit": rounds} if name.startswith("P7") else {})
