"""Refusals are written down, and nobody can fill the disk with them."""

from typing import Any

import pytest

from support.stores import Hands, open_audit, open_store
from tillit_server.audit.events import TokenRefused
from tillit_server.audit.log import AuditEntry
from tillit_server.audit.refusals import REPEATS, RefusalLog


@pytest.fixture
def refusals(audit: Any, clock: Hands) -> RefusalLog:
    return RefusalLog(audit, clock=clock)


def refused(jti: str | None = "j", client_id: str | None = "ehr") -> TokenRefused:
    return TokenRefused(
        step="fresh_proof", code="invalid_dpop_proof", error_id="e", client_id=client_id, assertion_jti=jti
    )


def written(store: Any, tmp_path: Any, clock: Hands) -> list[AuditEntry]:
    """Everything in the journal, after what was accepted without waiting has been written."""
    store.close()
    again = open_store(tmp_path / "store.sqlite", clock=clock)
    entries = list(open_audit(again, clock).read(1, limit=100_000))
    again.close()
    return entries


def test_strangers_are_counted(refusals: RefusalLog, store: Any, tmp_path: Any, clock: Hands) -> None:
    """Ten thousand refusals within a second are one entry, with a number for each reason."""
    for number in range(10_000):
        refusals.count("authenticated_client", "invalid_client" if number % 4 else "invalid_request")
        clock.now += 0.000_09
    refusals.flush()
    (entry,) = written(store, tmp_path, clock)

    assert entry.event == "issuer.refusals.summarised"
    assert entry.public["total"] == 10_000
    assert entry.public["counts"] == {
        "authenticated_client invalid_client": 7_500,
        "authenticated_client invalid_request": 2_500,
    }


def test_each_second_has_its_summary(refusals: RefusalLog, store: Any, tmp_path: Any, clock: Hands) -> None:
    """A second that is over is written by the next refusal, or by the tick of an idle worker."""
    refusals.count("a", "x")
    clock.now += 1.0
    refusals.count("a", "x")
    refusals.count("a", "x")
    refusals.tick()
    clock.now += 1.0
    refusals.tick()
    refusals.tick()
    entries = written(store, tmp_path, clock)

    assert [entry.public["total"] for entry in entries] == [2, 1]


def test_a_clock_set_back_does_not_hold_the_counts(
    refusals: RefusalLog, store: Any, tmp_path: Any, clock: Hands
) -> None:
    """They are written at once rather than an hour later."""
    refusals.count("a", "x")
    clock.now -= 3600
    refusals.tick()

    assert len(written(store, tmp_path, clock)) == 1


def test_many_kinds_of_refusal_become_other(
    refusals: RefusalLog, store: Any, tmp_path: Any, clock: Hands
) -> None:
    """Even a defect that makes up step names cannot make the summary grow."""
    for number in range(1_000):
        refusals.count(f"step{number}", "x")
    refusals.flush()
    (entry,) = written(store, tmp_path, clock)

    assert len(entry.public["counts"]) == 129
    assert entry.public["counts"]["other"] == 872
    assert entry.public["total"] == 1_000


def test_a_known_clients_refusals_are_entries(
    refusals: RefusalLog, store: Any, tmp_path: Any, clock: Hands
) -> None:
    """One for each, with step and code, as long as the assertions differ."""
    for number in range(10):
        refusals.record(refused(f"j{number}"))
    entries = written(store, tmp_path, clock)

    assert [entry.event for entry in entries] == ["issuer.token.refused"] * 10
    assert entries[0].public["step"] == "fresh_proof"


def test_the_same_assertion_gets_a_few_entries_and_then_a_number(
    refusals: RefusalLog, store: Any, tmp_path: Any, clock: Hands
) -> None:
    """A loop of one refused assertion costs three entries and a count a second."""
    for _ in range(500):
        refusals.record(refused())
    refusals.close()
    entries = written(store, tmp_path, clock)

    assert [entry.event for entry in entries].count("issuer.token.refused") == REPEATS
    assert entries[-1].public["counts"] == {"repeated invalid_dpop_proof": 500 - REPEATS}


def test_a_worker_knows_when_an_assertion_is_exhausted(refusals: RefusalLog) -> None:
    """After a few refusals it need not be judged again; others are not affected."""
    for _ in range(REPEATS):
        assert not refusals.exhausted("ehr", "j")
        refusals.record(refused())

    assert refusals.exhausted("ehr", "j")
    assert not refusals.exhausted("other", "j")
    assert not refusals.exhausted("ehr", "k")


def test_refusals_without_an_assertion_are_never_repeats(
    refusals: RefusalLog, store: Any, tmp_path: Any, clock: Hands
) -> None:
    """What cannot be told apart is written."""
    for _ in range(10):
        refusals.record(refused(None))
        refusals.record(refused("j", None))

    assert len(written(store, tmp_path, clock)) == 20


def test_the_memory_of_assertions_is_bounded(refusals: RefusalLog) -> None:
    """A client that never repeats itself does not make a worker grow."""
    for number in range(5_000):
        refusals._repeated(refused(f"j{number}"))

    assert len(refusals._repeats) == 4_096
