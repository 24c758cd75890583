"""The supervisor's waits, and its patience."""

import time
from types import SimpleNamespace
from typing import Any

from granian.constants import Interfaces

from tillit_server.serving.reports import Line
from tillit_server.serving.supervisor import STUCK_SECONDS, Supervisor


class Built:
    """The semaphore of a worker that is built at the third look; a wait of it would go by the time of day."""

    looks = 0

    def acquire(self, *, block: bool) -> bool:
        """One look."""
        assert not block
        self.looks += 1
        return self.looks == 3


def test_d9_no_wait_for_a_new_worker_goes_by_the_time_of_day() -> None:
    """A clock that is put back during a rolling restart holds up neither that nor a stop."""
    supervisor: Any = Supervisor("tillit", interface=Interfaces.WSGI)
    supervisor.ready = Built()
    assert supervisor._came_up(SimpleNamespace(is_alive=lambda: True))


class Forked:
    """A worker that was started so many seconds ago, and has perhaps said that it is built."""

    def __init__(self, idx: int, age: float, *, built: bool) -> None:
        self.idx, self.birth, self.line, self.inner = idx, time.monotonic() - age, Line(), self
        self.ended = False
        if built:
            self.line.theirs.send_bytes(b"!")

    def is_alive(self) -> bool:
        """Until it is killed."""
        return not self.ended

    def kill(self) -> None:
        """End."""
        self.ended = True


def test_x2_a_worker_that_never_comes_up_is_ended() -> None:
    """Whatever it waits for: the others serve on, one that still starts has its time, and a new one takes its place."""
    supervisor: Any = Supervisor("tillit", interface=Interfaces.WSGI)
    stuck, serving, young = (
        Forked(0, STUCK_SECONDS + 1, built=False),
        Forked(1, STUCK_SECONDS + 1, built=True),
        Forked(2, STUCK_SECONDS - 10, built=False),
    )
    supervisor._workers = [stuck, serving, young]
    supervisor._end_stuck()
    assert [worker.ended for worker in (stuck, serving, young)] == [True, False, False]
