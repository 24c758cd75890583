"""Who leads, who follows, and that nobody waits for ever."""

import fcntl
import threading
from pathlib import Path

import pytest

from support.backstage import eventually
from tillit_server.storage.group_commit import GroupCommit, Work
from tillit_server.storage.ports import StorageUnavailable
from tillit_server.storage.turns import Turn


class Stage:
    """A commit that waits for its cue, and remembers the batches."""

    def __init__(self, path: Path, timeout: float = 5.0) -> None:
        self.entered = threading.Event()
        self.cue = threading.Event()
        self.batches: list[int] = []
        self.outcome: Exception | None = None
        self.turn = Turn(path / "stage")
        self.group: GroupCommit[Work] = GroupCommit(self.commit, lambda: None, self.turn, timeout)

    def commit(self, batch: list[Work], _deadline: float) -> None:
        """Wait for the cue, then give everybody the outcome."""
        self.batches.append(len(batch))
        self.entered.set()
        assert self.cue.wait(5)
        for work in batch:
            work.outcome = self.outcome

    def in_background(self, count: int = 1) -> list[threading.Thread]:
        """Submit from as many threads."""
        threads = [threading.Thread(target=self.group.submit, args=(Work(),)) for _ in range(count)]
        for thread in threads:
            thread.start()
        return threads

    def wait_for_queue(self, length: int) -> None:
        """Until so much work is queued behind the commit that is going on."""
        full = threading.Event()
        for _ in range(5_000):
            if len(self.group._queue) >= length or full.wait(0.001):
                return
        raise AssertionError("the queue did not fill")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_nothing_is_done_for_whoever_was_told_that_it_failed(tmp_path: Path) -> None:
    """While another process has the turn, the background leads; it waits no longer for locks than they who wait for it."""
    deadlines: list[float] = []
    group: GroupCommit[Work] = GroupCommit(
        lambda _batch, deadline: deadlines.append(deadline), lambda: None, Turn(tmp_path / "turn"), 5.0
    )
    other = Turn(tmp_path / "turn")
    other.acquire()
    works = [Work() for _ in range(3)]
    threads = [threading.Thread(target=group.submit, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    assert eventually(lambda: len(group._queue) == len(works))
    other.release()
    for thread in threads:
        thread.join()
    group.close()

    assert deadlines == [min(work.deadline for work in works)]


def test_what_arrives_during_a_commit_shares_the_next(stage: Stage) -> None:
    """One commit for the first, one for the nine that came meanwhile."""
    first = stage.in_background()
    assert stage.entered.wait(5)
    rest = stage.in_background(9)
    stage.wait_for_queue(9)
    stage.cue.set()
    for thread in first + rest:
        thread.join(5)

    assert stage.batches == [1, 9]
    assert stage.group.close()


def test_a_batch_has_a_limit_and_nobody_is_left(stage: Stage) -> None:
    """More work than fits into a batch is done in several."""
    first = stage.in_background()
    assert stage.entered.wait(5)
    rest = stage.in_background(150)
    stage.wait_for_queue(150)
    stage.cue.set()
    for thread in first + rest:
        thread.join(5)

    assert stage.batches == [1, 128, 22]
    assert stage.group.close()


def test_a_follower_gives_up_at_its_deadline(tmp_path: Path) -> None:
    """It takes its work out of the queue again, so that nothing it was refused happens later."""
    stage = Stage(tmp_path, timeout=0.1)
    leader = stage.in_background()
    assert stage.entered.wait(5)
    with pytest.raises(StorageUnavailable, match="in time"):
        stage.group.submit(Work())
    stage.cue.set()
    leader[0].join(5)

    assert stage.batches == [1]
    assert stage.group.close()


def test_work_that_nobody_waits_for_rides_along(stage: Stage) -> None:
    """It is committed with whatever comes next, or soon by itself."""
    stage.cue.set()
    stage.group.post(Work())
    stage.group.submit(Work())
    assert stage.group.close()

    assert sum(stage.batches) == 2


def test_too_much_unwaited_work_is_turned_away(stage: Stage) -> None:
    """The queue of refusals is bounded: the sender must wait its turn like everybody."""
    leader = stage.in_background()
    assert stage.entered.wait(5)
    accepted = 0
    while stage.group.post(Work()):
        accepted += 1
    stage.cue.set()
    leader[0].join(5)
    assert stage.group.close()

    assert accepted == 2_000
    assert sum(stage.batches) == 2_001


def test_unwaited_work_is_tried_again_when_the_store_was_away(stage: Stage) -> None:
    """And is committed once the store is back."""
    stage.outcome = StorageUnavailable("away")
    stage.group.post(Work())
    assert stage.entered.wait(5)
    stage.cue.set()
    with pytest.raises(StorageUnavailable):
        stage.group.submit(Work())
    stage.outcome = None
    stage.group.submit(Work())
    assert stage.group.close()

    assert stage.group._queue == type(stage.group._queue)()


def test_closing_does_not_wait_for_a_store_that_stays_away(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be written at the end is counted in the log."""
    stage.outcome = StorageUnavailable("away")
    stage.cue.set()
    stage.group.post(Work())

    assert stage.group.close()
    assert "1 entries" in caplog.text


def test_an_unexpected_end_of_the_leader_does_not_stop_the_others(stage: Stage) -> None:
    """Even when a commit breaks down altogether, the lead and the turn are handed on."""

    class Breakdown(BaseException):
        pass

    real = stage.group._commit

    def broken(batch: list[Work], deadline: float) -> None:
        raise Breakdown

    stage.group._commit = broken
    with pytest.raises(Breakdown):
        stage.group.submit(Work())
    stage.group._commit = real
    stage.cue.set()
    stage.group.submit(Work())

    assert stage.group.close()


def test_a_turn_is_for_one_process_at_a_time(tmp_path: Path) -> None:
    """Two places in the line: while one has the turn the other has not."""
    ours, theirs = Turn(tmp_path / "x"), Turn(tmp_path / "x")

    assert ours.try_acquire()
    assert not theirs.try_acquire()
    ours.release()
    assert theirs.try_acquire()
    theirs.release()
    ours.close()
    theirs.close()


def test_who_had_many_turns_lets_a_waiting_neighbour_in(tmp_path: Path) -> None:
    """A queue is looked at after a few turns in a row, and then respected."""
    ours, theirs = Turn(tmp_path / "x"), Turn(tmp_path / "x")
    for _ in range(4):
        assert ours.try_acquire()
        ours.release()
    theirs.acquire()
    fcntl.flock(theirs._queue, fcntl.LOCK_EX)
    theirs.release()
    assert not ours.try_acquire()
    fcntl.flock(theirs._queue, fcntl.LOCK_UN)
    assert ours.try_acquire()
    ours.release()
    ours.close()
    theirs.close()
