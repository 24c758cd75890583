"""Personal members: encrypted, found by staff, and gone when their month is destroyed."""

import threading
from pathlib import Path
from typing import Any

import pytest

from support.stores import AUDIT_SECRET, Hands, open_audit, open_store
from tillit_server.audit.chain import chain_secret, verify
from tillit_server.audit.events import ClientAdded, GlassBroken, TokenIssued, TokenRefused
from tillit_server.audit.log import AuditLog, RetentionRefused
from tillit_server.audit.months import month_of
from tillit_server.storage.ports import Settlement, StorageUnavailable

MONTH = 31 * 86_400


def broken_glass(patient: str) -> GlassBroken:
    return GlassBroken(jti="t", client_id="ehr", legal_entity="999999999", patients=(patient,))


def test_staff_read_what_was_written(audit: AuditLog, issued: TokenIssued, clock: Hands) -> None:
    """All members come back, the personal ones apart."""
    audit.record(issued)
    (entry,) = audit.read(1)

    assert (entry.slot, entry.seq, entry.at, entry.event) == (1, 1, clock.now, "issuer.token.issued")
    assert entry.public["client_id"] == "ehr"
    assert "practitioner" not in entry.public
    assert entry.personal == {
        "practitioner": "05117512345",
        "patients": ["13116900216", "14016900217"],
        "assertion": issued.assertion,
    }


def test_an_event_without_persons_has_no_personal_members(audit: AuditLog) -> None:
    """And needs no month key."""
    entry = audit.entry(ClientAdded(client_id="ehr", operator="kari", reason="new"))

    assert (entry.sealed, entry.period, entry.labels) == (b"", "", ())


def test_alarms_are_marked(audit: AuditLog) -> None:
    """Breaking the glass can be told from the entry alone."""
    audit.record(broken_glass("13116900216"))

    assert audit.read(1)[0].public["alarm"] is True


def test_persons_are_found_in_every_role_and_month(
    audit: AuditLog, issued: TokenIssued, clock: Hands
) -> None:
    """By exact number, newest month first; nobody else's entries."""
    audit.record(issued)
    clock.now += MONTH
    audit.record(broken_glass("13116900216"))
    audit.record(broken_glass("14016900217"))

    assert [entry.event for entry in audit.find_person("13116900216")] == [
        "issuer.glass.broken",
        "issuer.token.issued",
    ]
    assert [entry.event for entry in audit.find_person("05117512345")] == ["issuer.token.issued"]
    assert audit.find_person("0511751234") == []
    assert len(audit.find_person("13116900216", limit=1)) == 1


def test_a_destroyed_month_cannot_be_read_and_stays_verified(
    audit: AuditLog, store: Any, issued: TokenIssued, clock: Hands
) -> None:
    """The persons are gone for everybody, the chain is whole, the deed itself is written down."""
    audit.record(issued)
    month = month_of(clock.now)
    clock.now += 2 * MONTH
    audit.record(issued)
    destroyed = audit.destroy_month(month, operator="kari", reason="retention")
    first, second, deed = audit.read(1)

    assert destroyed == 1
    assert first.personal is None
    assert first.public["client_id"] == "ehr"
    assert second.personal is not None
    assert (deed.event, deed.public["month"], deed.public["operator"]) == (
        "audit.month.destroyed",
        month,
        "kari",
    )
    assert [entry.seq for entry in audit.find_person("05117512345")] == [2]
    assert verify(store.journal, chain_secret(AUDIT_SECRET)).intact
    assert audit.destroy_month(month, operator="kari", reason="again") == 0


def test_a_destroyed_key_is_not_in_the_file_any_more(
    audit: AuditLog, store: Any, issued: TokenIssued, clock: Hands, tmp_path: Path
) -> None:
    """Not even sealed: neither in the table nor in free pages nor in the log."""
    audit.record(issued)
    (sealed,) = store._readers.rows("SELECT value FROM record WHERE kind = 'audit-month'")[0]
    clock.now += 2 * MONTH
    audit.destroy_month(month_of(clock.now - 2 * MONTH), operator="kari", reason="retention")
    store.settle(Settlement())
    files = b"".join(path.read_bytes() for path in tmp_path.glob("store.sqlite*"))

    assert sealed not in files


@pytest.mark.parametrize("days_over", [-1, 0, 0.9])
def test_a_month_that_is_not_over_is_kept(
    audit: AuditLog, issued: TokenIssued, clock: Hands, days_over: float
) -> None:
    """Some writer may still be using its key."""
    clock.now = 1_793_491_200.0 - 5  # the last seconds of October 2026, UTC
    audit.record(issued)
    clock.now = 1_793_491_200.0 + days_over * 86_400
    with pytest.raises(RetentionRefused):
        audit.destroy_month("2026-10", operator="kari", reason="too early")
    assert audit.read(1)[0].personal is not None


def test_a_clock_set_back_into_a_destroyed_month(
    audit: AuditLog, store: Any, issued: TokenIssued, clock: Hands
) -> None:
    """Gets a second key; the first stays destroyed."""
    audit.record(issued)
    start = clock.now
    clock.now += 2 * MONTH
    audit.destroy_month(month_of(start), operator="kari", reason="retention")
    clock.now = start
    open_audit(store, clock).record(issued)
    entries = audit.read(1)

    assert entries[0].personal is None
    assert entries[-1].personal is not None


def test_writers_agree_on_one_key_per_month(store: Any, clock: Hands, issued: TokenIssued) -> None:
    """Eight audits that start at the same moment make one key."""
    audits = [open_audit(store, clock) for _ in range(8)]
    start = threading.Barrier(8)

    def run(audit: AuditLog) -> None:
        start.wait()
        audit.record(issued)

    threads = [threading.Thread(target=run, args=(audit,)) for audit in audits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(list(store.records.each("audit-month"))) == 1
    assert all(entry.personal for entry in audits[0].read(1))


def test_personal_members_cannot_be_moved_to_another_entry(
    audit: AuditLog, store: Any, issued: TokenIssued
) -> None:
    """Ciphertext opens only beside the clear members it was written with."""
    audit.record(issued)
    audit.record(broken_glass("13116900216"))
    store._connection.execute(
        "UPDATE journal SET sealed = (SELECT sealed FROM journal WHERE id & 255 = 1) WHERE id & 255 = 2"
    )

    assert audit.read(1)[1].personal is None


def test_u5_no_person_and_no_assertion_in_the_files(
    audit: AuditLog, store: Any, issued: TokenIssued, tmp_path: Path
) -> None:
    """Numbers, assertion and their parts are nowhere in clear, also not in lock files or the log."""
    for _ in range(20):
        audit.record(issued)
    audit.record(
        TokenRefused(step="s", code="c", error_id="e", practitioner="05117512345", patients=("13116900216",))
    )
    canaries = [b"05117512345", b"13116900216", b"14016900217", b"canary-assertion", b"eyJhbGciOiJFUzI1NiJ9"]

    def found() -> list[tuple[str, bytes]]:
        return [
            (path.name, canary)
            for path in tmp_path.iterdir()
            for canary in canaries
            if canary in path.read_bytes()
        ]

    # Opening a file here and closing it drops SQLite's locks of this process; nobody else uses this store.
    assert found() == []
    store.close()
    assert found() == []


def test_u5_errors_and_representations_hold_no_person(audit: AuditLog, issued: TokenIssued) -> None:
    """What might reach a log line names no person."""
    entry = audit.entry(issued)

    assert "05117512345" not in repr(entry)
    assert "05117512345" not in repr(Settlement(entries=(entry,)))


def test_u3_no_entry_no_token(tmp_path: Path, clock: Hands, issued: TokenIssued) -> None:
    """While the store is away an event cannot be recorded, and who must record it hears so."""
    home = tmp_path / "home"
    home.mkdir()
    store = open_store(home / "store.sqlite", clock=clock)
    audit = open_audit(store, clock)
    audit.record(issued)
    home.rename(tmp_path / "away")
    with pytest.raises(StorageUnavailable):
        audit.record(issued)
    (tmp_path / "away").rename(home)
    audit.record(issued)

    assert verify(store.journal, chain_secret(AUDIT_SECRET)).intact
    store.close()


def test_u3_a_new_month_while_the_store_is_away(tmp_path: Path, clock: Hands, issued: TokenIssued) -> None:
    """Without a key for the month there is no entry, and nothing is written in clear instead."""
    home = tmp_path / "home"
    home.mkdir()
    store = open_store(home / "store.sqlite", clock=clock)
    audit = open_audit(store, clock)
    home.rename(tmp_path / "away")
    with pytest.raises(StorageUnavailable):
        audit.entry(issued)
    (tmp_path / "away").rename(home)
    store.close()
