"""One settlement is one act: all of it or nothing, judged in a fixed order."""

import itertools
import threading
from typing import Any

import pytest

from support.redis_stores import HalvedStore
from support.stores import START, Hands, note
from tillit_server.storage.ports import Claim, Conflict, Issue, Put, Record, Redemption, Settlement, Ticket
from tillit_server.storage.shared import SharedStore

ASSERTION = Claim("assertion", "a", START + 60)
PROOF = Claim("proof", "p", START + 60)
CODE = Redemption("code", "c")
FAMILY = Put("family", "f", {"alive": True}, expect=0)
SESSION = Issue("session", "s", {"user": 1}, START + 60)


def everything() -> Settlement:
    return Settlement(
        claims=(ASSERTION, PROOF),
        redemptions=(CODE,),
        issues=(SESSION,),
        puts=(FAMILY,),
        entries=(note("done"),),
    )


def spoil(store: Any, part: str) -> None:
    """Make one part of `everything` fail."""
    if part in ("assertion", "proof"):
        store.once.claim(part, part[0], START + 60)
    elif part == "code":
        store.tickets.redeem("code", "c")
    elif part == "session":
        store.tickets.issue("session", "s", None, START + 60)
    else:
        store.records.put("family", "f", None if part == "nothing" else {"alive": False})


def state(store: Any) -> tuple[object, ...]:
    return (
        store.seen("assertion", "a"),
        store.seen("proof", "p"),
        store.tickets.peek("code", "c"),
        store.tickets.peek("session", "s"),
        store.records.get("family", "f"),
        store.journal.heads(),
    )


def test_a_settlement_does_everything(store: Any) -> None:
    """Ids spent, ticket redeemed and issued, record written, entry linked, in one call."""
    store.tickets.issue("code", "c", 1, START + 30)
    store.settle(everything())

    assert state(store)[:5] == (
        True,
        True,
        Ticket(None, START + 30, redeemed=True),
        Ticket({"user": 1}, START + 60, redeemed=False),
        Record({"alive": True}, 1),
    )
    assert store.journal.heads()[0].seq == 1


PARTS = ("assertion", "proof", "code", "session", "family")


@pytest.mark.parametrize("part", PARTS)
def test_a_conflict_changes_nothing(store: Any, part: str) -> None:
    """Whatever fails is named, and all other parts are as before.

    Where two servers share the work, a record that has moved on is found when the ids are spent: they stay so.
    """
    store.tickets.issue("code", "c", 1, START + 30)
    spoil(store, part)
    before = state(store)
    with pytest.raises(Conflict) as conflict:
        store.settle(everything())

    assert conflict.value.space == part
    assert conflict.value.ids_spent is (part == "family" and isinstance(store, SharedStore))
    after = state(store)
    if part == "family" and isinstance(store, HalvedStore | SharedStore):
        assert after[:2] == (True, True)
        assert after[2].redeemed
        assert after[4:] == before[4:]
    else:
        assert after == before


@pytest.mark.parametrize(("first", "second"), tuple(itertools.combinations(PARTS, 2)))
def test_the_first_conflict_in_the_fixed_order_is_reported(store: Any, first: str, second: str) -> None:
    """Assertion before proof before code before whatever comes after, however many have failed."""
    store.tickets.issue("code", "c", 1, START + 30)
    spoil(store, second)
    spoil(store, first)
    with pytest.raises(Conflict) as conflict:
        store.settle(everything())

    assert conflict.value.space == first


def test_a_settlement_cannot_use_the_same_thing_twice(store: Any) -> None:
    """Not even within itself."""
    store.tickets.issue("code", "c", 1, START + 30)
    for twice in (
        Settlement(claims=(PROOF, PROOF)),
        Settlement(redemptions=(CODE, CODE)),
        Settlement(issues=(SESSION, SESSION)),
        Settlement(puts=(FAMILY, FAMILY)),
        Settlement(redemptions=(CODE,), issues=(Issue("code", "c", 2, START + 30),)),
    ):
        with pytest.raises(Conflict):
            store.settle(twice)
    assert not store.seen("proof", "p")


def test_a_tombstone_tells_reuse_from_nonsense(store: Any, clock: Hands) -> None:
    """A redeemed code leaves its family behind, until the last token of the family has died."""
    store.tickets.issue("code", "c", 1, START + 30)
    store.settle(Settlement(redemptions=(Redemption("code", "c", {"family": "f1"}, START + 3600),)))
    clock.now = START + 3600

    assert store.tickets.peek("code", "c") == Ticket({"family": "f1"}, START + 3600, redeemed=True)
    with pytest.raises(Conflict, match="spent"):
        store.settle(Settlement(redemptions=(CODE,)))


def crowd(store: Any, settlements: list[Settlement]) -> list[str]:
    """Settle all at once from as many threads; the outcomes in order."""
    outcomes = [""] * len(settlements)
    start = threading.Barrier(len(settlements))

    def run(number: int) -> None:
        start.wait()
        try:
            store.settle(settlements[number])
            outcomes[number] = "won"
        except Conflict as conflict:
            outcomes[number] = conflict.space

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(settlements))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_settlements_of_one_batch_are_isolated_from_each_other(opener: Any) -> None:
    """Sixteen threads share commits, and still each proof has one winner and losers leave nothing behind."""
    store = opener(timeout=10.0)
    store.ping()  # a first look at a Redis server is for one thread; others would not wait for it long
    for number in range(20):
        shared = Claim("proof", f"p{number}", START + 60)
        own = [Claim("assertion", f"a{number}.{thread}", START + 60) for thread in range(16)]
        outcomes = crowd(store, [Settlement(claims=(mine, shared), entries=(note("x"),)) for mine in own])

        assert sorted(outcomes) == ["proof"] * 15 + ["won"]
        assert [store.seen("assertion", mine.key) for mine in own] == [word == "won" for word in outcomes]
    assert store.journal.heads()[0].seq == 20


def test_a_refusal_may_be_written_without_waiting(opener: Any) -> None:
    """An entry that nobody waits for is in the journal when the store closes, if not before."""
    store = opener()
    for number in range(50):
        store.settle(Settlement(entries=(note(str(number)),)), durable=False)
    store.close()

    assert opener().journal.heads()[0].seq == 50


def test_only_entries_can_go_unwaited(store: Any) -> None:
    """A spent id is judged before the call returns, whatever the caller asked for."""
    store.settle(Settlement(claims=(PROOF,)), durable=False)
    with pytest.raises(Conflict):
        store.settle(Settlement(claims=(PROOF,)), durable=False)
