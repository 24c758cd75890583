"""Clocks are compared by pulses in the store: what differs by a minute is found, and what only leaps is not."""

from collections.abc import Callable

import pytest

from tillit_server.signing.clocks import Clocks, ClocksDiffer, judge


class Hosts:
    """Processes on several hosts, whose seconds pass together."""

    def __init__(self, records, clock, ticks) -> None:
        self.records, self.clock, self.ticks = records, clock, ticks
        self.alarms: list[str] = []
        self.offsets: dict[str, float] = {}
        self.members: list[Clocks] = []

    def join(self, offset: float) -> Clocks:
        """Another process, on a host whose clock is off by so much."""
        name = str(len(self.members))
        self.offsets[name] = offset
        member = Clocks(self.records, self.showing(name), self.ticks, self.alarm)
        self.members.append(member)
        return member

    def showing(self, name: str) -> Callable[[], float]:
        """The clock of a host."""
        return lambda: self.clock() + self.offsets[name]

    def alarm(self, event: str, seconds: str, _kind: str, _at: int) -> None:
        """Note an alarm."""
        assert event == "service.clocks.differed"
        self.alarms.append(seconds)

    def pass_(self, seconds: int) -> None:
        """Time passes for all."""
        for _ in range(seconds):
            self.clock.pass_(1)
            self.ticks.pass_(1)
            for member in self.members:
                member.tick()


@pytest.fixture
def hosts(records, clock, ticks) -> Hosts:
    return Hosts(records, clock, ticks)


def may_change(*members: Clocks) -> list[bool]:
    """Who may change the keys."""
    return [member.agree() for member in members]


@pytest.mark.parametrize("offset", [0, 10, -10, 50, -50])
def test_clocks_that_nearly_agree_are_in_order(hosts, offset):
    """Up to a minute apart, at any time after the start, nobody is stopped and nothing is told."""
    members = [hosts.join(0), hosts.join(offset), hosts.join(0)]
    for _ in range(40):
        hosts.pass_(10)
        assert may_change(*members) == [True] * 3
    assert hosts.alarms == []


@pytest.mark.parametrize("offset", [61, -61, 3600, -86_400 * 400])
@pytest.mark.parametrize("late", [0, 400])
def test_clocks_that_differ_stop_everybody_and_are_told_once(hosts, offset, late):
    """Within seconds of a host's start; nobody knows which one is wrong; a command that comes by is stopped too."""
    members = [hosts.join(0), hosts.join(0)]
    hosts.pass_(late)
    members.append(hosts.join(offset))
    hosts.pass_(8)
    assert may_change(*members) == [False] * 3
    with pytest.raises(ClocksDiffer, match=r"differ by about \d+ s: set them"):
        members[0].require()
    assert abs(judge(hosts.records, hosts.clock())) == pytest.approx(abs(offset), abs=1)
    hosts.pass_(300)
    assert may_change(*members) == [False] * 3
    assert len(hosts.alarms) == 1


def test_when_the_clock_is_set_everything_goes_on(hosts):
    """No restart, no command: within a minute, and a second time it is told again."""
    members = [hosts.join(0), hosts.join(90)]
    hosts.pass_(100)
    hosts.offsets["1"] = 0
    hosts.pass_(10)
    assert may_change(*members) == [True, True]
    assert judge(hosts.records, hosts.clock()) == 0
    hosts.pass_(100)
    hosts.offsets["1"] = -90
    hosts.pass_(10)
    assert may_change(*members) == [False, False]
    assert len(hosts.alarms) == 2


@pytest.mark.parametrize("leap", [3600, -3600, 86_400 * 30])
def test_a_leap_of_all_clocks_is_nothing(hosts, leap):
    """One host whose clock is corrected, or whose machine was asleep, has nobody to differ from."""
    members = [hosts.join(0), hosts.join(0)]
    for pause in (1, 2, 3, 7, 60, 61):
        hosts.pass_(pause)
        hosts.clock.pass_(leap)
        hosts.pass_(3)
        assert may_change(*members) == [True, True]
    assert hosts.alarms == []


def test_who_is_gone_is_not_waited_for(hosts):
    """A host that differed and was switched off, in good order or not, keeps nobody from changing keys."""
    members = [hosts.join(0), hosts.join(90)]
    hosts.pass_(10)
    hosts.members.pop().leave()
    hosts.pass_(5)
    assert may_change(members[0]) == [True]
    hosts.join(90)
    hosts.pass_(10)
    hosts.members.pop()
    hosts.pass_(400)
    assert may_change(members[0]) == [True]


def test_a_command_on_a_host_that_is_behind_is_stopped(hosts):
    """It comes by once, and sees a pulse from its future; where no worker has run for long nothing is known."""
    hosts.join(0)
    hosts.pass_(10)
    passing = hosts.join(-61 - 10)
    assert not passing.agree()
    hosts.members.clear()
    hosts.clock.pass_(3600)
    assert passing.agree()


def test_without_the_store_the_last_finding_holds(hosts):
    """Looking raises nothing, and does not make clocks agree."""
    members = [hosts.join(0), hosts.join(90)]
    hosts.pass_(10)
    hosts.records.down = True
    hosts.pass_(100)
    assert may_change(*members) == [False, False]
    for member in members:
        member.leave()
