"""The four shapes, against every backend."""

import math
from typing import Any

import pytest

from support.stores import START, Hands, note
from tillit_server.storage.ports import Claim, Conflict, Head, Put, Record, Settlement, Ticket


def test_an_id_is_claimed_once(store: Any) -> None:
    """The first claim wins, every later one loses, other ids and other spaces are untouched."""
    assert store.once.claim("assertion", "a", START + 60)
    assert not store.once.claim("assertion", "a", START + 60)
    assert store.once.claim("assertion", "A", START + 60)
    assert store.once.claim("proof", "a", START + 60)


def test_spaces_and_keys_do_not_run_together(store: Any) -> None:
    """No pair of space and key can be mistaken for another whose letters join to the same text."""
    assert store.once.claim("ab", "c", START + 60)
    assert store.once.claim("a", "bc", START + 60)
    assert store.once.claim("a", "b:c", START + 60)
    assert store.once.claim("a:b", "c", START + 60)


def test_seen_looks_without_spending(store: Any) -> None:
    """A look tells spent from unspent and changes nothing."""
    assert not store.seen("proof", "p")
    assert store.once.claim("proof", "p", START + 60)
    assert store.seen("proof", "p")
    assert not store.seen("assertion", "p")


def test_one_look_finds_the_first_spent_of_several(store: Any) -> None:
    """Once a replay was refused, `first_seen` names the first spent id in the order asked, and spends nothing."""
    ids = [Claim("assertion", "a", START + 60), Claim("proof", "p", START + 60), Claim("proof", "a", START)]
    assert store.first_seen(ids) is None
    assert store.first_seen(()) is None
    assert store.once.claim("proof", "a", START + 60)
    assert not store.once.claim("proof", "a", START + 60)
    assert store.first_seen(ids) is ids[2]
    assert store.once.claim("proof", "p", START + 60)
    assert store.first_seen(ids) is ids[1]
    assert store.first_seen(ids[::-1]) is ids[2]
    assert not store.seen("assertion", "a")


def test_keys_are_bytes_not_letters(store: Any) -> None:
    """Identifiers that differ in case, normal form or a NUL are different, and odd ones do no harm."""
    odd = ["\u00e5", "a\u030a", "A", "a", "a\0", "", "\ud800", "' OR 1=1 --", "x" * 100_000]
    assert all(store.once.claim("assertion", key, START + 60) for key in odd)
    assert not any(store.once.claim("assertion", key, START + 60) for key in odd)


def test_a_ticket_has_one_redeemer(store: Any) -> None:
    """The value is handed out once; afterwards a look still shows that there was one."""
    store.tickets.issue("code", "c", {"scope": ["openid"]}, START + 60)

    assert store.tickets.peek("code", "c") == Ticket({"scope": ["openid"]}, START + 60, redeemed=False)
    assert store.tickets.redeem("code", "c") == {"scope": ["openid"]}
    with pytest.raises(Conflict) as conflict:
        store.tickets.redeem("code", "c")
    assert (conflict.value.space, conflict.value.reason) == ("code", "spent")
    assert store.tickets.peek("code", "c") == Ticket(None, START + 60, redeemed=True)


@pytest.mark.parametrize(("late", "there"), [(0.0, True), (0.001, False)])
def test_a_ticket_lives_up_to_and_including_its_time(
    store: Any, clock: Hands, late: float, there: bool
) -> None:
    """At the instant `until` a ticket is still good, after it it is not."""
    store.tickets.issue("request_uri", "r", 1, START + 60)
    clock.now = START + 60 + late

    assert (store.tickets.peek("request_uri", "r") is not None) is there
    if there:
        assert store.tickets.redeem("request_uri", "r") == 1
    else:
        with pytest.raises(Conflict, match="expired"):
            store.tickets.redeem("request_uri", "r")


def test_an_unknown_ticket_is_no_ticket(store: Any) -> None:
    """Nothing to see, nothing to redeem, and not under another space either."""
    store.tickets.issue("code", "c", 1, START + 60)

    assert store.tickets.peek("code", "d") is None
    assert store.tickets.peek("session", "c") is None
    with pytest.raises(Conflict, match="unknown"):
        store.tickets.redeem("session", "c")


def test_a_ticket_is_not_issued_over_a_living_one(store: Any, clock: Hands) -> None:
    """A taken key stays taken until the first ticket's time is over."""
    store.tickets.issue("code", "c", 1, START + 60)
    with pytest.raises(Conflict, match="exists"):
        store.tickets.issue("code", "c", 2, START + 90)
    clock.now = START + 61
    store.tickets.issue("code", "c", 3, START + 90)

    assert store.tickets.redeem("code", "c") == 3


def test_records_are_written_under_compare_and_swap(store: Any) -> None:
    """A write that expects another version changes nothing."""
    assert store.records.get("client", "ehr") is None
    assert store.records.put("client", "ehr", {"v": 1}, expect=0) == 1
    with pytest.raises(Conflict) as conflict:
        store.records.put("client", "ehr", {"v": 2}, expect=0)
    assert (conflict.value.space, conflict.value.reason) == ("client", "version")
    assert store.records.put("client", "ehr", {"v": 2}, expect=1) == 2
    assert store.records.put("client", "ehr", {"v": 3}) == 3
    assert store.records.get("client", "ehr") == Record({"v": 3}, 3)


def test_a_record_made_anew_never_gets_an_old_version(store: Any) -> None:
    """Whoever read the removed record cannot overwrite its successor by mistake."""
    store.records.put("client", "a", 1)
    version = store.records.put("client", "a", 2)
    store.records.remove("client", "a", expect=version)

    assert store.records.get("client", "a") is None
    assert store.records.put("client", "a", 3, expect=0) > version
    with pytest.raises(Conflict):
        store.records.put("client", "a", 4, expect=version)


@pytest.mark.parametrize(("late", "there"), [(0.0, True), (0.001, False)])
def test_a_record_lives_up_to_and_including_its_time(
    store: Any, clock: Hands, late: float, there: bool
) -> None:
    """At the instant `until` a record is found, after it it is not, whether or not it lies there still."""
    version = store.records.put("family", "f", {"v": 1}, until=START + 60)
    store.records.put("family", "g", {"v": 2})
    clock.now = START + 60 + late

    assert (store.records.get("family", "f") is not None) is there
    assert [key for key, _ in store.records.each("family")] == (["f", "g"] if there else ["g"])
    with pytest.raises(Conflict, match="version"):
        store.records.put("family", "f", {"v": 3}, expect=0 if there else version)
    assert store.records.put("family", "f", {"v": 3}, expect=version if there else 0) > version


def test_each_write_says_how_long_a_record_lives(store: Any, clock: Hands) -> None:
    """A later write makes the time longer or shorter, and one that names none takes it away."""
    store.records.put("family", "f", 1, until=START + 60)
    store.records.put("family", "f", 2, until=START + 90)
    store.settle(Settlement(puts=(Put("family", "g", 1, until=START + 60),)))
    store.settle(Settlement(puts=(Put("family", "g", 2),)))
    clock.now = START + 80
    assert store.records.get("family", "f").value == 2
    clock.now = START + 91
    assert store.records.get("family", "f") is None
    assert store.records.get("family", "g").value == 2


def test_a_record_whose_time_is_over_can_be_removed(store: Any, clock: Hands) -> None:
    """As one that is not there; and its version is not given again."""
    version = store.records.put("family", "f", 1, until=START)
    clock.now = START + 1
    with pytest.raises(Conflict):
        store.records.remove("family", "f", expect=version)
    store.records.remove("family", "f")

    assert store.records.put("family", "f", 2, expect=0) > version


def test_removing_what_is_not_there(store: Any) -> None:
    """Is no error, unless a version was expected."""
    store.records.remove("client", "nobody")
    with pytest.raises(Conflict):
        store.records.remove("client", "nobody", expect=1)


def test_each_gives_a_kind_in_the_order_of_the_keys(store: Any) -> None:
    """Records of other kinds are left out."""
    for key in ("c", "a", "b"):
        store.records.put("client", key, key.upper())
    store.records.put("account", "d", "D")

    found = [(key, record.value) for key, record in store.records.each("client")]
    assert found == [("a", "A"), ("b", "B"), ("c", "C")]


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True]}, [], "text åøæ", 0, False, {"": ""}])
def test_values_come_back_as_they_went_in(store: Any, value: object) -> None:
    """Any JSON value survives, in records and tickets."""
    store.records.put("kind", "key", value)
    store.tickets.issue("space", "key", value, START + 1)

    assert store.records.get("kind", "key").value == value
    assert store.tickets.redeem("space", "key") == value


def test_the_journal_numbers_entries_without_gaps(store: Any) -> None:
    """Entries come back in order, from any point, and the head is the last one."""
    for text in ("one", "two", "three"):
        store.journal.append(note(text))

    entries = store.journal.read(1)
    assert [entry.seq for entry in entries] == [1, 2, 3]
    assert [entry.public for entry in store.journal.read(1, after=1, limit=1)] == [note("two").public]
    assert store.journal.heads() == [Head(1, 3, entries[-1].link)]
    assert store.journal.read(2) == []


def test_every_instance_writes_its_own_chain(opener: Any) -> None:
    """Two writers number their entries independently, and a reader sees both heads."""
    one, seven = opener(slot=1), opener(slot=7)
    one.journal.append(note("a"))
    seven.journal.append(note("b"))
    one.journal.append(note("c"))

    assert [(head.slot, head.seq) for head in seven.journal.heads()] == [(1, 2), (7, 1)]


def test_a_chain_goes_on_after_a_restart(opener: Any) -> None:
    """Who takes a slot over continues the numbers and the links."""
    first = opener()
    first.journal.append(note("a"))
    first.close()
    second = opener()
    second.journal.append(note("b"))

    assert [entry.seq for entry in second.journal.read(1)] == [1, 2]


def test_labels_find_entries_and_are_forgotten_with_their_period(store: Any) -> None:
    """Forgetting a period drops its labels, all of them, and no entry."""
    from tillit_server.storage.ports import Entry

    old = Entry(b"{}", b"", "2026-10", (b"x" * 16,))
    new = Entry(b"{}", b"", "2026-11", (b"x" * 16, b"y" * 16))
    store.settle(Settlement(entries=(old, new, old)))

    assert [entry.seq for entry in store.journal.find("2026-10", b"x" * 16)] == [3, 1]
    assert store.journal.forget("2026-10") == 2
    assert store.journal.find("2026-10", b"x" * 16) == []
    assert [entry.seq for entry in store.journal.find("2026-11", b"y" * 16)] == [2]
    assert store.journal.heads()[0].seq == 3


@pytest.mark.parametrize("until", [math.nan, math.inf, -math.inf])
def test_an_instant_that_is_none_is_refused_alone(store: Any, until: float) -> None:
    """A bad value is its sender's error and never reaches the commit that others share."""
    with pytest.raises(ValueError, match="finite"):
        store.settle(Settlement(claims=(Claim("a", "b", until),)))
    with pytest.raises(ValueError, match="finite"):
        store.records.put("a", "b", 1, until=until)
    with pytest.raises(ValueError, match="surrogate"):
        store.settle(Settlement(puts=(Put("kind", "\ud800", 1),)))


def test_a_closed_store_says_so(opener: Any) -> None:
    """After `close` everything is 503, nothing hangs."""
    from tillit_server.storage.ports import StorageUnavailable

    store = opener()
    store.close()
    for use in (store.ping, lambda: store.once.claim("a", "b", START), lambda: store.seen("a", "b")):
        with pytest.raises(StorageUnavailable):
            use()
