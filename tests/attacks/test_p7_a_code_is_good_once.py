"""P7: a code is redeemed once; what comes back later, or loses the race, ends all that came of it."""

import threading
from collections import Counter
from urllib.parse import urlencode

import pytest

from support.backstage import Backstage, SwiftEhr
from support.ehr import Answer
from support.granted import introspect
from support.redeeming import Laid, client, code_form, good, lay, redeem, refresh, refused
from support.service import http
from support.wire import Race
from tillit_server.issuer.families import FAMILY, Family, new_family_key, put_family
from tillit_server.storage.ports import Conflict, Redemption, Settlement

ROUNDS, RUNNERS = 5, 32


@pytest.fixture(scope="module")
def ehr(backstage: Backstage) -> SwiftEhr:
    """A client whose users log in."""
    return client(backstage)


def ended(backstage: Backstage, ehr: SwiftEhr, laid: Laid, tokens: Answer) -> None:
    """Nothing of this login is good any more, and the audit says why, once."""
    access = tokens.json["access_token"]
    assert introspect(ehr, access).json == {"active": False}
    proof = ehr.proof(nonce=..., htm="GET", htu=f"{ehr.service.issuer}/connect/userinfo")
    status, _, _ = http(
        "GET",
        f"{ehr.service.issuer}/connect/userinfo",
        headers={"Authorization": f"DPoP {access}", "DPoP": proof},
    )
    assert status == 401
    refused(refresh(ehr, tokens.json["refresh_token"]))
    (entry,) = backstage.entries("issuer.code.reused", family=laid.authorized.family)
    assert (entry.public["kind"], entry.public["alarm"]) == ("code", True)


def test_p7_a_code_that_comes_back_ends_its_login(backstage: Backstage, ehr: SwiftEhr):
    """The second redemption is refused; access and refresh token of the first are dead from then on."""
    laid = lay(backstage, ehr)
    tokens = redeem(ehr, laid)
    assert introspect(ehr, good(tokens)["access_token"]).json["active"]
    refused(redeem(ehr, laid))
    ended(backstage, ehr, laid, tokens)
    refused(redeem(ehr, laid))
    assert len(backstage.entries("issuer.code.reused", family=laid.authorized.family)) == 1


def test_p7_whoever_brings_a_used_code_is_no_matter(backstage: Backstage, ehr: SwiftEhr):
    """A used code in the hands of another client is a leak too: the login ends."""
    laid = lay(backstage, ehr)
    tokens = redeem(ehr, laid)
    good(tokens)
    refused(redeem(client(backstage), laid))
    ended(backstage, ehr, laid, tokens)


def test_p7_a_request_sent_twice_is_no_reuse(backstage: Backstage, ehr: SwiftEhr):
    """The same request again is a replayed assertion: ``invalid_client``, and the login lives on."""
    laid = lay(backstage, ehr)
    form, proof = code_form(ehr, laid), ehr.proof()
    tokens = ehr.send(form, proof)
    again = ehr.send(form, proof)
    assert (again.status, again.error) == (401, "invalid_client")
    assert introspect(ehr, good(tokens)["access_token"]).json["active"]


def halves(backstage: Backstage, ehr: SwiftEhr, laid: Laid) -> tuple[Settlement, Settlement]:
    """What the winner of a code does first and last where two servers keep the store: spend it, begin the family."""
    until = int(backstage.service.now()) + 28_800
    family = Family(laid.authorized, until, new_family_key(), ehr.dpop_key.public.thumbprint)
    spend = Redemption("code", laid.code, {"family": laid.authorized.family}, float(until))
    return Settlement(redemptions=(spend,)), Settlement(puts=(put_family(family, expect=0),))


def reused(backstage: Backstage, laid: Laid) -> int:
    return len(backstage.entries("issuer.code.reused", family=laid.authorized.family))


def test_p7_a_code_that_comes_back_before_its_family_is_written_ends_it(backstage: Backstage, ehr: SwiftEhr):
    """Two servers do not write at one moment: whoever comes in between waits for a slow winner, and ends the family."""
    store, laid = backstage.services.store, lay(backstage, ehr)
    spend, begin = halves(backstage, ehr, laid)
    store.settle(spend)
    later = threading.Timer(0.6, store.settle, (begin,))
    later.start()
    refused(redeem(ehr, laid))
    later.join()
    family = store.records.get(FAMILY, laid.authorized.family)
    assert family is not None
    # Not merely "ended": it did begin, so who redeemed the code was answered with a token.
    assert family.value["revoked"]
    assert reused(backstage, laid) == 1


def test_p7_a_family_that_is_late_never_begins(backstage: Backstage, ehr: SwiftEhr):
    """A code that comes back while its winner stands still leaves nothing for the winner to begin."""
    store, laid = backstage.services.store, lay(backstage, ehr)
    spend, begin = halves(backstage, ehr, laid)
    store.settle(spend)
    refused(redeem(ehr, laid))
    with pytest.raises(Conflict):
        store.settle(begin)
    refused(redeem(ehr, laid))
    refused(refresh(ehr, f"{laid.authorized.family}.0.{'A' * 43}"))
    assert reused(backstage, laid) == 1


def test_p7_a_used_code_is_known_for_as_long_as_its_tokens(backstage: Backstage, ehr: SwiftEhr):
    """A code is told from an unknown one by what it ends, not by what is answered."""
    known, unknown = lay(backstage, ehr), lay(backstage, ehr)
    good(redeem(ehr, known))
    ticket = backstage.services.store.tickets.peek("code", known.code)
    assert ticket is not None
    assert ticket.redeemed
    assert ticket.value == {"family": known.authorized.family}
    assert ticket.until >= backstage.service.now() + 28_700
    refused(redeem(ehr, unknown, code="A" * 43))


def test_p7_one_code_32_times_at_once_wins_exactly_once(backstage: Backstage, ehr: SwiftEhr):
    """In every round one request wins; as the others were no replays, what it won is ended at once."""
    counts: Counter[object] = Counter()
    with Race(ehr.service, RUNNERS) as race:
        for _ in range(ROUNDS):
            laid = lay(backstage, ehr)
            requests = [(urlencode(code_form(ehr, laid)).encode(), ehr.proof()) for _ in range(RUNNERS)]
            answers = race.run(requests)
            winners = [answer for answer in answers if answer.status == 200]
            counts["winners"] += len(winners)
            counts.update(answer.error for answer in answers if answer.status != 200)
            assert len(winners) == 1
            ended(backstage, ehr, laid, winners[0])
    assert counts == {"winners": ROUNDS, "invalid_grant": ROUNDS * (RUNNERS - 1)}
