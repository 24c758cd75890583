"""D9 (figure G17): the clock of one host is wrong; a little is forgiven, more is refused and told, nothing is good again."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.backstage import eventually
from support.bed import Bed, BedEhr, ServiceHost, issues
from support.programs import libfaketime
from support.service import PATIENCE as STORE_PATIENCE
from support.service import http

PATIENCE = 40.0
ASKED = 10
_CLOCK = re.compile(r"^tillit_clock_seconds\{.*\} ([0-9.e+]+)$", re.MULTILINE)


class WrongClock:
    """A service host whose time of day is off by what a file says, as its processes see it."""

    def __init__(self, service: ServiceHost, library: Path) -> None:
        self.service = service
        self._file = service.home / "clock"
        self._file.write_text("+0", encoding="ascii")
        self._before = dict(service.environment)
        service.environment |= {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "TILLIT_STORAGE_TIMEOUT": str(STORE_PATIENCE),
        }
        service.stop()
        service.start()

    def set(self, seconds: float) -> None:
        """Make it so wrong, and wait until every worker has noticed."""
        self._file.write_text(f"{seconds:+.0f}", encoding="ascii")
        assert eventually(lambda: all(abs(off - seconds) < 3 for off in self._offsets()), seconds=PATIENCE)

    def put_right(self) -> None:
        """Have the clock of everybody else again."""
        self.service.environment = self._before
        self.service.kill()  # libfaketime and an hour's jump may have it wait for ever
        self.service.start()

    def _offsets(self) -> list[float]:
        _, _, text = http("GET", self.service.management + "/metrics", timeout=PATIENCE)
        found = _CLOCK.findall(text.decode())
        return [float(clock) - self.service.now() for clock in found] or [float("inf")]


@pytest.fixture(scope="module")
def wrong(bed: Bed) -> Iterator[WrongClock]:
    """The second host, with a clock of its own; right again when all is over."""
    clock = WrongClock(bed.services[1], libfaketime())
    yield clock
    clock.put_right()


@pytest.fixture
def pair(bed: Bed, wrong: WrongClock) -> list[BedEhr]:
    """A client of hosts that are well."""
    wrong.set(0)
    clients = bed.client()
    assert bed.well(clients)
    return clients


def alarms(bed: Bed) -> int:
    return len(bed.behind.entries("service.clocks.differed"))


@pytest.mark.parametrize("seconds", [10, -10])
def test_d9_ten_seconds_are_nothing(seconds: int, bed: Bed, wrong: WrongClock, pair: list[BedEhr]):
    """While one host is ten seconds off, no request is refused by either, and no alarm is raised."""
    before = alarms(bed)
    wrong.set(seconds)
    assert [ehr.ask().status for _ in range(ASKED) for ehr in pair] == [200] * ASKED * 2
    assert alarms(bed) == before


@pytest.mark.parametrize("seconds", [61, -61])
def test_d9_a_minute_is_refused_and_told(seconds: int, bed: Bed, wrong: WrongClock, pair: list[BedEhr]):
    """A host that is a minute off gives no token and raises the alarm; the other goes on."""
    right, off = pair
    before = alarms(bed)
    requests = [off.request() for _ in range(ASKED)]
    wrong.set(seconds)
    answers = {off.send(*request).status for request in requests}
    assert answers <= {400, 401, 503}, answers
    assert [right.ask().status for _ in range(ASKED)] == [200] * ASKED
    assert eventually(lambda: alarms(bed) > before, seconds=PATIENCE)
    wrong.set(0)
    assert eventually(lambda: issues(off), seconds=PATIENCE)


def test_d9_an_hour_back_makes_nothing_good_again(bed: Bed, wrong: WrongClock, pair: list[BedEhr]):
    """Before, during and after an hour's jump of one host, what gave a token gives none again at either."""
    requests = [ehr.request() for ehr in pair for _ in range(5)]
    assert [pair[1].send(*request).status for request in requests] == [200] * len(requests)
    for seconds in (-3600, 0):
        wrong.set(seconds)
        again = [ehr.send(*request).status for request in requests for ehr in pair]
        assert 200 not in again
    assert bed.well(pair)
