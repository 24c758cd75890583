"""The ring of symmetric secrets."""

import pytest

from tillit_server.signing.custody import CustodyError
from tillit_server.signing.envelope import Envelope
from tillit_server.signing.secrets import LEAD, LIVES, Secrets

DAY = 86_400


@pytest.fixture
def process(records, custody, clock, ticks):
    return lambda **more: Secrets(records, custody, clock, ticks=ticks, **more)


def test_every_purpose_has_a_secret_of_its_own_at_the_first_start(process) -> None:
    """Five purposes, five different values of 32 bytes."""
    secrets = process()
    values = {secrets.current(purpose).value for purpose in LIVES}
    assert len(values) == len(LIVES) == 5
    assert {len(value) for value in values} == {32}


def test_every_process_has_the_same(process) -> None:
    """A nonce of one worker is accepted by another."""
    one, other = process(), process()
    for purpose in LIVES:
        assert one.current(purpose) == other.current(purpose)


def test_the_store_holds_them_sealed(process, records) -> None:
    """Nobody reads a secret out of the store."""
    value = process().current("pseudonym").value
    text = repr(records.rows)
    assert value.hex() not in text
    assert repr(value) not in text


def test_a_secret_is_never_shown(process) -> None:
    """A stray log line names the secret and not its value."""
    secret = process().current("nonce")
    assert secret.value.hex() not in repr(secret)
    assert "value" not in repr(secret)


@pytest.mark.parametrize("purpose", ["key_hash", "pseudonym", "audit_hash"])
def test_permanent_secrets_never_change(purpose, process, clock, ticks) -> None:
    """Pseudonyms and hashes come out the same after ten years."""
    secrets = process()
    before = secrets.accepted(purpose)
    clock.pass_(3650 * DAY)
    ticks.pass_(60)
    assert secrets.accepted(purpose) == before == process().accepted(purpose)


def test_a_nonce_secret_is_known_to_all_before_it_is_used(process, clock, ticks) -> None:
    """The new secret is in the ring a minute before it issues, and accepted from then on."""
    secrets = process()
    old = secrets.current("nonce")
    clock.now = old.active_from + DAY - LEAD
    ticks.pass_(60)
    assert len(secrets.accepted("nonce")) == 2
    assert secrets.current("nonce") == old
    clock.pass_(LEAD)
    assert secrets.current("nonce") != old
    assert secrets.accepted("nonce")[1] == old.value


def test_an_old_nonce_secret_is_forgotten(process, clock, ticks, records) -> None:
    """An hour after the change no nonce of the old secret can be valid, so it is destroyed."""
    secrets = process()
    old = secrets.current("nonce")
    for _ in range(3):
        clock.pass_(DAY)
        ticks.pass_(60)
        secrets.accepted("nonce")
    assert old.value not in secrets.accepted("nonce")
    assert len(secrets.accepted("nonce")) <= 2
    assert old.id not in repr(records.rows)


def test_a_sealing_secret_stays_for_opening(process, clock, ticks) -> None:
    """What was sealed years ago still names a secret that is there."""
    secrets = process()
    first = secrets.current("sealing")
    for _ in range(4):
        clock.pass_(91 * DAY)
        ticks.pass_(60)
        secrets.accepted("nonce")
    current, ring = secrets.sealing()
    assert ring[first.id] == first.value
    assert current != first.id
    assert len(ring) >= 4


def test_the_sealing_ring_only_reads(process, clock, ticks, records) -> None:
    """The store asks for it while it writes: no change of the ring may start from there."""
    secrets = process()
    version = records.get("ring", "secrets").version
    clock.pass_(1000 * DAY)
    ticks.pass_(60)
    secrets.sealing()
    secrets.current("sealing")
    assert records.get("ring", "secrets").version == version
    secrets.accepted("nonce")
    assert records.get("ring", "secrets").version == version + 1


def test_a_process_sees_the_secret_of_another(process, clock, ticks) -> None:
    """A worker that never asks for nonces still learns the new sealing secret before anybody uses it."""
    idle, busy = process(), process()
    clock.pass_(90 * DAY - LEAD)
    ticks.pass_(60)
    busy.accepted("nonce")
    clock.pass_(LEAD + 1)
    ticks.pass_(2)
    assert idle.sealing() == busy.sealing()


def test_a_change_may_be_written_with_the_help_of_the_secrets(process, clock, ticks, records) -> None:
    """The audit entry of a rotation is itself sealed and hashed: asking for secrets meanwhile does not hang."""
    asked: list = []

    def write(put, _changes) -> None:
        ticks.pass_(1.5)
        asked.extend((secrets.current("sealing").id, secrets.sealing()[0]))
        records.put(put.kind, put.key, put.value, expect=put.expect)

    secrets = process()
    secrets.use(records, write=write)
    clock.pass_(DAY)
    ticks.pass_(60)
    assert len(secrets.accepted("nonce")) == 2
    assert asked == [secrets.current("sealing").id] * 2


def test_a_clock_set_back_finds_a_secret(process, clock) -> None:
    """Before the first secret's time there is still one."""
    secrets = process()
    before = secrets.current("nonce")
    clock.pass_(-400 * DAY)
    assert secrets.current("nonce") == before


def test_it_goes_on_when_the_store_is_down(process, records, ticks) -> None:
    """Nonces are checked with the last ring; the settlement is what the outage stops."""
    secrets = process()
    before = secrets.accepted("nonce")
    records.down = True
    ticks.pass_(600)
    assert secrets.accepted("nonce") == before


def test_changes_are_told(process, clock, ticks) -> None:
    """The audit hears of the founding, of each successor, and of each secret destroyed."""
    told: list = []
    secrets = process(on_change=lambda *change: told.append(change[:1] + change[2:3]))
    assert told == [("signing.secret.made", purpose) for purpose in LIVES]
    told.clear()
    clock.pass_(DAY)
    ticks.pass_(60)
    secrets.accepted("nonce")
    assert told == [("signing.secret.rotated", "nonce")]
    clock.pass_(2 * 3600)
    ticks.pass_(60)
    secrets.accepted("nonce")
    assert told[1:] == [("signing.secret.destroyed", "nonce")]


def test_k4_a_damaged_secret_stops_the_start(process, records, custody) -> None:
    """A blob moved from one purpose to another does not open."""
    process()
    row = records.get("ring", "secrets")
    body = row.value["body"]
    body[0]["sealed"] = body[1]["sealed"]
    document = Envelope("secrets", custody).wrap(body, epoch=row.value["epoch"] + 1, now=0)
    records.put("ring", "secrets", document)
    with pytest.raises(CustodyError, match=r"secret nonce .* is damaged"):
        process()
