"""The replay fence: whatever a Redis server loses, nothing that was made before is accepted again."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from support.redis_server import RedisServer, redis_pair, redis_server
from support.redis_stores import HalvedStore, open_spending
from support.stores import START, Halves, Hands, open_store
from tillit_server.storage import redis_fence
from tillit_server.storage.ports import (
    Claim,
    Conflict,
    Put,
    Redemption,
    Settlement,
    StorageUnavailable,
    Ticket,
)
from tillit_server.storage.redis_fence import KEY, KIND, LAYOUT
from tillit_server.storage.spending import AHEAD, TOLERANCE, FenceRaised

EPOCH = "tillit:https://sts.example.test:epoch"
Opener = Callable[..., Any]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of one's own, for tests that do it harm."""
    with redis_server() as own:
        yield own


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[Any]:
    store = open_store(tmp_path / "lasting.sqlite")
    yield store
    store.close()


@pytest.fixture
def opened(server: RedisServer, lasting: Any, clock: Hands, tmp_path: Path) -> Iterator[Opener]:
    """Opens the short-lived half of a store, as each worker does."""
    workers: list[Any] = []

    def open_one(url: str = "", **options: Any) -> Any:
        place = Halves(url or server.url, tmp_path)
        workers.append(open_spending(place, lasting.records, clock=clock, **options))
        return workers[-1]

    yield open_one
    for worker in workers:
        worker.close()


def proof(name: str, made: float) -> Claim:
    return Claim("proof", name, made + 120, made=made)


def flush(server: RedisServer) -> str:
    server.client.flushall()
    return "empty"


def forget_the_fence(server: RedisServer) -> str:
    server.client.hdel(EPOCH, "fence")
    return "empty"


def swap(server: RedisServer) -> str:
    server.client.swapdb(0, 7)
    return "empty"


def restart(server: RedisServer) -> str:
    server.restart()
    return "empty"


def restart_with_what_was_saved(server: RedisServer) -> str:
    server.client.save()
    server.restart()
    return "restarted"


def follow_and_be_promoted(server: RedisServer) -> str:
    with redis_server() as other:
        other.client.restore(EPOCH, 0, server_dump(server), replace=True)
        server.follow(other)
    server.promote()
    return "history"


def server_dump(server: RedisServer) -> bytes:
    with redis.Redis(port=server.port, protocol=2) as client:
        return client.dump(EPOCH)


def go_back_in_time(server: RedisServer) -> str:
    server.client.hset(EPOCH, "time", server.client.hget(EPOCH, "time")[:-9])
    return "rolled back"


def evict(server: RedisServer) -> str:
    client = server.client
    client.config_set("maxmemory-policy", "volatile-ttl")
    client.config_set("maxmemory", 1)
    with pytest.raises(redis.ResponseError, match="maxmemory"):
        client.set("of somebody else", 1)
    client.config_set("maxmemory", 0)
    client.config_set("maxmemory-policy", "noeviction")
    assert client.keys() == [EPOCH]
    return "evicted"


def be_an_hour_ahead_for_a_moment(server: RedisServer) -> str:
    client = server.client
    client.delete(*client.keys("*:once:*"), *client.keys("*:ticket:*"), f"{EPOCH}:canary")
    return "clock back"


def be_an_hour_ahead_before(server: RedisServer) -> str:
    server.client.hincrbyfloat(EPOCH, "time", 3600)
    return "clock back"


def test_d9_a_fence_stands_no_further_ahead_than_the_clocks_did(
    server: RedisServer, lasting: Any, tmp_path: Path
) -> None:
    """A server that still has the epoch knows how far ahead any clock was; for another, as far as one may be."""
    place = Halves(server.url, tmp_path)
    worker = open_spending(place, lasting.records, clock=time.time, checked_clock=True)
    for loss, least, most in ((restart_with_what_was_saved, 0, 2), (flush, TOLERANCE, TOLERANCE + 2)):
        worker.ping()
        before = time.time()
        loss(server)
        worker.ping()
        fence = lasting.records.get(KIND, KEY).value["fence"]
        assert before + least < fence < time.time() + most
    worker.close()


LOSSES = [
    flush,
    forget_the_fence,
    swap,
    restart,
    restart_with_what_was_saved,
    follow_and_be_promoted,
    evict,
    go_back_in_time,
    be_an_hour_ahead_for_a_moment,
    be_an_hour_ahead_before,
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_s5_after_a_loss_only_what_is_new_is_accepted(
    loss: Any, server: RedisServer, lasting: Any, opened: Opener, clock: Hands
) -> None:
    """Ids made before are refused although the server knows nothing of them, in every worker; new ones pass."""
    one, other = opened(), opened()
    one.spend([proof("a", START)])
    one.tickets.issue("code", "c", 1, START + 600)
    other.spend([proof("b", START)])
    clock.now += 5
    for worker in (one, other):
        worker.ping()  # whoever looks around forgets nothing of what it knows
    reason = loss(server)

    for worker in (one, other):
        for name in ("a", "never seen"):
            with pytest.raises(Conflict, match=r"forgotten|spent"):
                worker.spend([proof(name, START)])
        assert worker.tickets.peek("code", "c") is None
        with pytest.raises(Conflict, match=r"unknown|forgotten"):
            worker.tickets.redeem("code", "c")
    record = lasting.records.get(KIND, KEY)
    assert record.value == {"number": 2, "fence": clock.now, "reason": reason, "layout": LAYOUT}
    clock.now += AHEAD + 1
    one.spend([proof("new", clock.now)])
    with pytest.raises(Conflict, match="spent"):
        other.spend([proof("new", clock.now)])
    other.tickets.issue("code", "d", 2, START + 600)
    assert one.tickets.redeem("code", "d") == 2


def test_what_nobody_can_tell_is_asked_for_again(server: RedisServer, opened: Opener, clock: Hands) -> None:
    """What may have been made before the fence by a clock that is ahead gets 503, and when to try again."""
    worker = opened()
    worker.spend([proof("a", START)])
    flush(server)
    with pytest.raises(StorageUnavailable) as away:
        worker.spend([proof("a", START + 3)])
    assert away.value.retry_after == AHEAD + 1
    clock.now += AHEAD + 1

    worker.spend([proof("b", START + AHEAD + 1)])


def test_an_id_that_says_nothing_is_as_old_as_one_can_be(
    server: RedisServer, opened: Opener, clock: Hands
) -> None:
    """Without the instant at which it was made, an id is refused until the oldest of its kind have died."""
    worker = opened()
    worker.spend([proof("a", START)])
    flush(server)
    assert not worker.once.claim("request_object", "r", START + 3600)
    clock.now += 3800
    assert worker.once.claim("request_object", "r", clock.now + 3600)


def test_s1_what_was_gone_for_long_is_trusted_at_once(
    server: RedisServer, opened: Opener, clock: Hands
) -> None:
    """The fence stands where the last settlement was, if a worker has seen that none followed."""
    steady, count = Hands(0.0), Hands(0)
    worker = opened(steady=steady, settled=lambda: count.now)
    worker.spend([proof("a", START)])
    count.now += 1
    worker.ping()
    steady.now += 60
    clock.now += 60
    flush(server)

    worker.spend([proof("new", clock.now)])
    for made in (START, START + AHEAD):
        # A client whose clock is ahead may have made it before the fence: it never becomes good.
        with pytest.raises(Conflict, match="forgotten"):
            worker.spend([proof("old", made)])


def test_s1_an_outage_counts_from_its_beginning(server: RedisServer, opened: Opener, clock: Hands) -> None:
    """Workers look when Redis stops answering, so after a minute without it tokens are issued at once."""
    steady, looks = Hands(0.0), threading.Event()

    def settled() -> int:
        looks.set()
        return 7

    worker = opened(steady=steady, settled=settled)
    worker.spend([proof("a", START)])
    looks.clear()
    steady.now += 1
    server.kill()
    with pytest.raises(StorageUnavailable):
        worker.spend([proof("b", START)])
    assert looks.wait(10)
    looks.clear()
    for _ in range(60):
        steady.now += 1
        clock.now += 1
        with pytest.raises(StorageUnavailable):
            worker.spend([proof("c", clock.now)])
        assert looks.wait(10)
        looks.clear()
    server.start()
    steady.now += 1

    worker.spend([proof("new", clock.now)])
    with pytest.raises(Conflict, match="forgotten"):
        worker.spend([proof("a", START)])


@pytest.mark.parametrize("seen", [True, False], ids=["moved on", "never seen"])
def test_s3_a_settlement_that_nobody_saw_moves_the_fence(
    seen: bool, server: RedisServer, opened: Opener, clock: Hands
) -> None:
    """Another host has settled meanwhile, or may have: what was made before the loss was noticed is refused."""
    steady, count = Hands(0.0), Hands(1)

    def settled() -> float:
        if threading.current_thread().name == "tillit-quiet":
            raise StorageUnavailable("whoever looks aside may come too late")
        return count.now

    worker = opened(steady=steady, settled=settled)
    worker.spend([proof("a", START)])
    if seen:
        worker.ping()
    steady.now += 60
    clock.now += 60
    count.now += 1
    flush(server)

    with pytest.raises(Conflict, match="forgotten"):
        worker.spend([proof("old", clock.now)])
    with pytest.raises(StorageUnavailable):
        worker.spend([proof("new", clock.now + 1)])


def test_a_new_installation_has_nothing_to_refuse(opened: Opener) -> None:
    """Its first epoch has no fence; for one that has moved here, all that was made before is old."""
    opened(fresh=True).spend([proof("a", START)])


def test_an_installation_that_moves_here_begins_with_a_fence(opened: Opener) -> None:
    """What its old store knew to be spent is refused."""
    with pytest.raises(Conflict, match="forgotten"):
        opened(fresh=False).spend([proof("a", START)])


def test_a_tombstone_outlives_the_fence(tmp_path: Path, clock: Hands, lasting: Any) -> None:
    """On a replica that knew of the redemption, a second one is still told from nonsense."""
    with redis_pair() as (master, replica):
        one = open_spending(Halves(master.url, tmp_path), lasting.records, clock=clock)
        one.tickets.issue("code", "c", 1, START + 60)
        one.spend(redemptions=[Redemption("code", "c", {"family": "f"}, START + 600)])
        master.kill()
        replica.promote()
        two = open_spending(Halves(replica.url, tmp_path), lasting.records, clock=clock)

        assert two.tickets.peek("code", "c") == Ticket({"family": "f"}, START + 600, redeemed=True)
        with pytest.raises(Conflict, match="spent"):
            two.tickets.redeem("code", "c")


def test_workers_agree_on_one_fence(server: RedisServer, opened: Opener, lasting: Any, clock: Hands) -> None:
    """Eight that meet the loss at the same moment end in the same epoch, and each id has one winner."""
    workers = [opened() for _ in range(8)]
    for number, worker in enumerate(workers):
        worker.spend([proof(f"before {number}", START)])
    clock.now += 60
    flush(server)
    outcomes: list[str] = []
    start = threading.Barrier(len(workers))

    def run(worker: Any) -> None:
        start.wait()
        for number in range(5):
            try:
                worker.spend([proof(f"n{number}", clock.now + AHEAD + 1)])
                outcomes.append(f"won {number}")
            except Conflict as conflict:
                outcomes.append(conflict.reason)

    threads = [threading.Thread(target=run, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["spent"] * 35 + [f"won {number}" for number in range(5)]
    guards = {worker.spend([proof(f"after {n}", clock.now + 60)]) for n, worker in enumerate(workers)}
    assert len(guards) == 1
    assert lasting.records.get(KIND, KEY).version == guards.pop().version


def test_s3_the_other_half_of_a_split_cannot_settle(tmp_path: Path, clock: Hands) -> None:
    """When a new master has begun its epoch, whatever the old one still spends is not settled."""
    with redis_pair() as (old, new):
        here = HalvedStore(Halves(old.url, tmp_path / "s.sqlite"), clock=clock)
        here.settle(Settlement(claims=[proof("a", START)]))
        new.promote()
        there = HalvedStore(Halves(new.url, tmp_path / "s.sqlite"), clock=clock, slot=2)
        with pytest.raises(Conflict, match=r"spent|forgotten"):
            there.settle(Settlement(claims=[proof("a", START)]))
        clock.now += AHEAD + 1
        there.settle(Settlement(claims=[proof("b", clock.now)]))
        with pytest.raises(StorageUnavailable):
            here.settle(Settlement(claims=[proof("b", clock.now)], puts=[Put("token", "t", 1)]))

        assert there.records.get("token", "t") is None
        here.close()
        there.close()


def test_s9_a_record_that_went_back_raises_the_fence(
    server: RedisServer, opened: Opener, lasting: Any, clock: Hands
) -> None:
    """If what lasts is restored from a copy, the epochs no longer agree, and a later one begins."""
    worker = opened()
    worker.spend([proof("a", START)])
    flush(server)
    with pytest.raises(Conflict):
        worker.spend([proof("a", START)])
    lasting.records.put(KIND, KEY, {"number": 1, "fence": 0.0, "reason": "empty"})
    again = opened(fresh=False)
    with pytest.raises(Conflict, match="forgotten"):
        again.spend([proof("a", START)])

    assert lasting.records.get(KIND, KEY).value["number"] == 3


def test_a_fence_is_reported_with_its_record(server: RedisServer, opened: Opener, lasting: Any) -> None:
    """Number, instant and reason go where the caller says, in the same act as the record."""
    worker, told = opened(), []

    def write(put: Put, raised: FenceRaised) -> None:
        told.append(raised)
        lasting.settle(Settlement(puts=(put,)))

    worker.report_to(write)
    worker.spend([proof("a", START)])
    flush(server)
    assert not worker.once.claim("proof", "a", START)

    assert told == [FenceRaised(1, 0.0, "empty"), FenceRaised(2, START, "empty")]


def test_a_release_that_writes_otherwise_takes_over_and_none_before_it_goes_on(
    opened: Opener, lasting: Any, clock: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two releases that name what they spend differently never judge side by side, whoever is asked first."""
    before, later = opened(), opened()
    before.spend([proof("a", START)])
    clock.now += AHEAD + 1
    monkeypatch.setattr(redis_fence, "LAYOUT", LAYOUT + 1)
    with pytest.raises(Conflict, match="forgotten"):  # perhaps spent under another name
        later.spend([proof("z", START)])
    assert lasting.records.get(KIND, KEY).value["reason"] == "layout"

    monkeypatch.undo()
    for _ in range(2):  # before it knows of it, and after
        with pytest.raises(StorageUnavailable):
            before.spend([proof("b", clock.now + AHEAD + 1)])
    with pytest.raises(StorageUnavailable, match="later release"):
        opened().spend([proof("c", clock.now + AHEAD + 1)])


def test_a_record_that_was_written_slowly_does_not_count(
    server: RedisServer, opened: Opener, lasting: Any
) -> None:
    """Until it is written another server may still accept, so the fence must not be older than a second."""
    steady, told = Hands(0.0), []
    worker = opened(steady=steady)

    def write(put: Put, raised: FenceRaised) -> None:
        steady.now += 2 if not told else 0
        told.append(raised.number)
        lasting.settle(Settlement(puts=(put,)))

    worker.report_to(write)
    with pytest.raises(Conflict):
        worker.spend([proof("a", START)])

    assert told == [1, 2]
    assert server.client.hget(EPOCH, "number") == "2"


def test_an_epoch_that_came_second_is_not_used(
    server: RedisServer, opened: Opener, lasting: Any, clock: Hands
) -> None:
    """A worker that was overtaken between its record and the server begins anew, behind the later fence."""
    slow, told = opened(), []
    slow.spend([proof("a", START)])
    clock.now += 60

    def write(put: Put, raised: FenceRaised) -> None:
        told.append(raised.number)
        lasting.settle(Settlement(puts=(put,)))
        if len(told) == 1:
            later = {**put.value, "number": raised.number + 1, "fence": clock.now + 5}
            lasting.records.put(KIND, KEY, later)

    slow.report_to(write)
    flush(server)
    with pytest.raises(Conflict, match="forgotten"):
        slow.spend([proof("b", clock.now + 5)])

    assert told == [2, 4]
    assert slow.begin(3, 0.0, 0.0) == "later"
    assert server.client.hget(EPOCH, "number") == "4"


def test_a_fence_never_goes_back(server: RedisServer, opened: Opener, clock: Hands) -> None:
    """Nor because a worker has seen that nothing was settled for longer than the last fence stands."""
    steady, count = Hands(0.0), Hands(1)
    watching, hasty = opened(steady=steady, settled=lambda: count.now), opened()
    watching.spend([proof("a", START)])
    watching.ping()
    clock.now += 30
    flush(server)
    with pytest.raises(Conflict, match="forgotten"):
        hasty.spend([proof("b", clock.now)])
    clock.now += 30
    steady.now += 60
    flush(server)

    with pytest.raises(Conflict, match="forgotten"):
        watching.spend([proof("c", START + 30 + AHEAD)])
    watching.spend([proof("d", START + 31 + AHEAD)])


def test_without_the_record_nothing_is_spent(server: RedisServer, opened: Opener) -> None:
    """A fence that cannot be written down is not begun: 503, until what lasts is there again."""
    worker = opened()
    worker.spend([proof("a", START)])
    flush(server)
    lost = StorageUnavailable("away")

    def write(put: Put, raised: FenceRaised) -> None:
        raise lost

    worker.report_to(write)
    with pytest.raises(StorageUnavailable):
        worker.spend([proof("b", START)])
    assert not server.client.exists(EPOCH)


def test_s9_two_deployments_on_one_server_do_not_meet(
    server: RedisServer, opened: Opener, tmp_path: Path
) -> None:
    """The issuer stands in every key, so the same id is new to each."""
    other_records = open_store(tmp_path / "other.sqlite")
    place = Halves(server.url, tmp_path)
    one, two = opened(), open_spending(place, other_records.records, issuer="https://other.example.test")
    one.spend([proof("a", START)])
    two.spend([proof("a", START)])

    keys = server.client.keys()
    assert len(keys) == 6
    assert all(
        key.startswith(("tillit:https://sts.example.test:", "tillit:https://other.example.test:"))
        for key in keys
    )
    two.close()
    other_records.close()


def test_d9_what_is_spent_stays_spent_when_our_clock_runs_ahead(opened: Opener, clock: Hands) -> None:
    """However old the id seems: Redis still has it, and by a clock that is right again it would be good."""
    worker = opened()
    worker.spend([proof("a", START)])
    clock.now += 10_000
    with pytest.raises(Conflict, match="spent"):
        worker.spend([proof("a", START)])


@pytest.mark.parametrize("until", [START + 120, START - 10_000, 9e15])
def test_d9_every_key_outlives_its_id(until: float, server: RedisServer, opened: Opener) -> None:
    """Whatever instant an id brings, its key has a TTL, and one well past the id's time."""
    opened().once.claim("proof", "p", until)
    (key,) = server.client.keys("*:once:*")
    left = server.client.pttl(key) / 1000

    assert min(max(until - START, 0), 1e8) + 290 < left <= 3.2e8
    assert math.isfinite(left)
