"""The supervisor's waits."""

from types import SimpleNamespace
from typing import Any

from granian.constants import Interfaces

from tillit_server.serving.supervisor import Supervisor


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
