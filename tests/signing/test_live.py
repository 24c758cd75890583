"""A ring kept by many processes: lazily read, one winner, never older than 2 s when it signs."""

import contextlib
import threading
from dataclasses import dataclass, field

import pytest

from tillit_server.signing import live
from tillit_server.signing.custody import Custody, CustodyError
from tillit_server.signing.live import LiveRing, RingChange, RingUnavailable
from tillit_server.storage.ports import Put, Record


@dataclass
class CountPlan:
    """A ring that is a list of numbers, one more every 100 s."""

    name: str = "count"
    opened: list[int] = field(default_factory=list)

    def advance(self, ring, now):
        """Count."""
        due = int(now // 100) % 1000
        if ring is not None and ring[-1] >= due:
            return ring, ()
        return [*(ring or []), due], (RingChange("counted", str(due), "n", due),)

    def to_json(self, ring):
        """As it is."""
        return list(ring)

    def from_json(self, body):
        """As it is; remembers that it was asked."""
        self.opened.append(body[-1])
        return body


@pytest.fixture
def changes() -> list:
    return []


@pytest.fixture
def process(records, custody: Custody, clock, ticks, changes):
    clock.now = 100.0

    def start(**more) -> LiveRing:
        options = {"on_change": lambda *change: changes.append(change), **more}
        return LiveRing(CountPlan(), records, custody, clock, ticks=ticks, **options)

    return start


def test_the_first_process_founds_and_the_second_reads(process, changes: list) -> None:
    """One ring, one founding in the audit."""
    assert process().fresh() == [1]
    assert process().fresh() == [1]
    assert changes == [("counted", "1", "n", 1)]


def test_another_process_changes_it_in_the_middle_of_a_look(process, records, clock, ticks):
    """What was read a moment before somebody else changed it is not taken for a restored backup."""
    slow, quick = process(), process()
    for now in (200.0, 300.0, 400.0):
        clock.now = now
        ticks.pass_(1.5)
        records.after_get = quick.fresh
        assert slow.fresh()[-1] == now // 100
        assert records.after_get is None
        ticks.pass_(1.5)
        # A third process starts while the ring is changed for the second time since it began to look.
        clock.now = now + 50
        records.after_get = lambda: quick.change(lambda ring, _now: ([*ring, ring[-1]], ()))
        assert process().fresh()[-1] == now // 100
        assert records.after_get is None


def test_the_loser_of_a_race_takes_the_winners_ring(process, records, changes: list, clock, ticks) -> None:
    """Two processes decide in the same moment: one write counts, the other process reads it."""
    slow = process()
    fast = process()
    clock.now = 205.0
    ticks.pass_(1.0)
    records.before_put = fast.fresh
    assert slow.fresh() == [1, 2] == fast.fresh()
    assert records.get("ring", "count").version == 2
    assert changes[1:] == [("counted", "2", "n", 2)]


def test_the_loser_of_the_founding_takes_the_winners_ring(process, records, changes: list, custody) -> None:
    """Two hosts starting at once, each with its own lock file, still make one ring."""
    custody.alone = contextlib.nullcontext
    records.before_put = process
    process()
    assert records.get("ring", "count").version == 1
    assert len(changes) == 1


def test_it_looks_at_most_once_a_second(process, records, ticks) -> None:
    """The hot path does not touch the store."""
    ring = process()
    before = records.gets
    for _ in range(100):
        ring.fresh()
        ring.last()
    ticks.pass_(0.99)
    ring.fresh()
    assert records.gets == before
    ticks.pass_(0.01)
    ring.fresh()
    ring.last()
    assert records.gets == before + 1


def test_an_unchanged_ring_is_not_opened_again(process, ticks) -> None:
    """Opening private keys happens once per version of the ring."""
    ring = process()
    opened = len(ring._plan.opened)
    for _ in range(5):
        ticks.pass_(1.0)
        ring.fresh()
    assert len(ring._plan.opened) == opened


def test_it_signs_for_two_seconds_without_the_store_and_not_longer(process, records, ticks) -> None:
    """A worker that has not seen the ring for 2 s refuses, and is well again with the next look."""
    ring = process()
    records.down = True
    ticks.pass_(2.0)
    assert ring.fresh() == [1]
    ticks.pass_(0.1)
    with pytest.raises(RingUnavailable, match="the store is down"):
        ring.fresh()
    assert ring.last() == [1]
    records.down = False
    ticks.pass_(0.9)
    assert ring.fresh() == [1]


def test_the_age_counts_from_the_question_not_from_the_answer(process, records, ticks, monkeypatch) -> None:
    """A store that takes 1.5 s to answer tells how things stood 1.5 s ago."""
    ring = process()
    real = records.get

    def slow(kind: str, key: str) -> Record | None:
        ticks.pass_(1.5)
        return real(kind, key)

    monkeypatch.setattr(records, "get", slow)
    ticks.pass_(5)
    ring.fresh()
    records.down = True
    ticks.pass_(0.4)
    ring.fresh()
    ticks.pass_(0.2)
    with pytest.raises(RingUnavailable):
        ring.fresh()


def test_a_store_that_is_down_is_asked_once_a_second(process, records, ticks) -> None:
    """An outage does not become a storm of attempts."""
    ring = process()
    records.down = True
    ticks.pass_(5)
    before = records.gets
    for _ in range(50):
        with pytest.raises(RingUnavailable):
            ring.fresh()
        ring.last()
    assert records.gets == before + 1


def test_only_the_first_request_of_an_outage_waits(process, records, ticks, monkeypatch) -> None:
    """With a store that hangs, the key set is served at once and the end of the outage is found out aside."""
    ring = process()
    records.down = True
    ticks.pass_(5)
    ring.last()
    hanging, asked, looks = threading.Event(), threading.Event(), []
    real = records.get

    def slow(kind: str, key: str) -> Record | None:
        asked.set()
        looks.append(key)
        hanging.wait(10)
        return real(kind, key)

    monkeypatch.setattr(records, "get", slow)
    ticks.pass_(5)
    for _ in range(20):
        assert ring.last() == [1]
    assert asked.wait(10)
    records.down = False
    hanging.set()
    for thread in threading.enumerate():
        if thread.name == "tillit-ring":
            thread.join(10)
    assert len(looks) == 1
    assert ring.fresh() == [1]


def test_an_idle_worker_reads_before_it_answers(process, records, ticks, clock) -> None:
    """After a quiet hour the first request already sees what others changed."""
    ring, other = process(), process()
    clock.now = 205.0
    ticks.pass_(3600)
    other.fresh()
    assert ring.last() == [1, 2]


def test_last_can_only_read(process, records, ticks, clock) -> None:
    """Called from within the store it never writes."""
    ring = process()
    clock.now = 205.0
    ticks.pass_(1.0)
    version = records.get("ring", "count").version
    assert ring.last(advance=False) == [1]
    assert records.get("ring", "count").version == version


def test_others_go_on_while_one_thread_looks(process, records, ticks) -> None:
    """A slow store delays one request a second, not all of them."""
    ring = process()
    ticks.pass_(1.5)
    with ring._lock:
        assert ring.fresh() == [1]


def test_a_ring_that_goes_back_stops_signing_and_alarms_once(process, records, ticks, clock, changes) -> None:
    """A rollback under a running service: no signature by it, the key set goes on, one alarm."""
    ring = process()
    old = dict(records.rows)
    clock.now = 205.0
    ticks.pass_(1.0)
    ring.fresh()
    records.rows = old
    for _ in range(3):
        ticks.pass_(2.5)
        with pytest.raises(RingUnavailable, match="was a backup restored"):
            ring.fresh()
    assert ring.last() == [1, 2]
    assert [change for change in changes if "rollback" in change[0]] == [
        ("signing.rollback.suspected", "2", "1", 205)
    ]


def test_a_ring_that_disappears_stops_signing(process, records, ticks) -> None:
    """A running service never founds a second ring."""
    ring = process()
    records.rows.clear()
    ticks.pass_(2.5)
    with pytest.raises(RingUnavailable, match="gone from the store"):
        ring.fresh()
    assert not records.rows


def test_an_edited_ring_stops_signing(process, records, ticks) -> None:
    """What somebody wrote into the store by hand is not taken over."""
    ring = process()
    row = records.get("ring", "count")
    records.put("ring", "count", {**row.value, "body": [9]})
    records.rows["ring", "count"] = Record({**row.value, "body": [9], "mac": "x"}, 2)
    ticks.pass_(2.5)
    with pytest.raises(RingUnavailable, match="damaged"):
        ring.fresh()
    assert ring.last() == [1]


def test_the_write_can_carry_the_audit_entries(process, records) -> None:
    """A change and its audit entry can be one settlement: the writer gets both."""
    seen: list = []

    def write(put: Put, made) -> None:
        seen.append((put.kind, put.key, put.expect, [change.event for change in made]))
        records.put(put.kind, put.key, put.value, expect=put.expect)

    process(write=write)
    assert seen == [("ring", "count", 0, ["counted"])]


def test_another_view_of_the_store_can_take_over(process, records, ticks) -> None:
    """The secrets are read before the store proper can be opened, and go on with it afterwards."""
    ring = process()
    moved = type(records)(rows=dict(records.rows))
    ring.use(moved)
    records.down = True
    ticks.pass_(5)
    assert ring.fresh() == [1]


def test_a_lock_held_at_a_fork_does_not_hang_the_child(process, ticks) -> None:
    """The child gets a lock of its own."""
    ring = process()
    ring._lock.acquire()
    live._after_fork()
    ticks.pass_(5)
    assert ring.fresh() == [1]


def test_a_guard_that_cannot_be_written_stops_the_start_only(
    process, monkeypatch, custody, ticks, clock
) -> None:
    """At the start it is a fault to be repaired; later a full disk must not stop signing."""
    ring = process()

    def full(*_arguments) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(custody.guard, "raise_to", full)
    with pytest.raises(CustodyError, match="guard cannot be written"):
        process()
    clock.now = 205.0
    ticks.pass_(1.0)
    assert ring.fresh() == [1, 2]


def test_many_threads_share_one_look(process, records, ticks) -> None:
    """Sixteen threads meeting an aged ring wait for one read, and all get an answer."""
    ring = process()
    ticks.pass_(60)
    before = records.gets
    answers: list = []
    threads = [threading.Thread(target=lambda: answers.append(ring.fresh())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [[1]] * 16
    assert records.gets == before + 1
