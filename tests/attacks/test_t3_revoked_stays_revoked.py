"""T3: a token that was revoked is inactive for ever, whoever is killed and whatever the clock does."""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.backstage import Backstage, SwiftEhr, Timeline, eventually
from support.evidence import record, setting
from support.granted import Granted, grant, introspect, login_client, revoke
from support.processes import listeners, processes_of
from support.service import Service, http

KILLS = 3
KILLS_LONG = setting("KILLS", 500)
INACTIVE = {"active": False}


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Service]:
    """A service to be killed."""
    with Service(tmp_path / "victim") as running:
        yield running


def uses(granted: Granted, refresh: str, *access: str) -> set[str]:
    """Everything that these tokens still open: nothing, when all is well."""
    ehr = granted.ehr
    opened = {"introspection" for token in (refresh, *access) if introspect(ehr, token).json != INACTIVE}
    opened |= {"userinfo" for token in access if granted.userinfo(token).status != 401}
    form = ehr.form(ehr.assertion(), grant_type="refresh_token", refresh_token=refresh, scope=...)
    if ehr.send(form, ehr.proof()).error != "invalid_grant":
        opened.add("refresh")
    return opened


def kill(service: Service, *, everybody: bool) -> None:
    """Kill every worker, or the whole service and start it again."""
    if everybody:
        service.kill()
        service.start()
        return
    killed = set(service.worker_pids())
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: killed.isdisjoint(processes_of(service)), seconds=20)
    assert eventually(lambda: serves(service), seconds=20)


def serves(service: Service) -> bool:
    """Whether all workers are there again, and nothing of the dead ones."""
    try:
        answers = [http("GET", service.issuer + "/.well-known/openid-configuration")[0] for _ in range(8)]
    except OSError:
        return False
    return set(answers) == {200} and listeners(service.port) == service.workers


def revoke_and_kill(service: Service, behind: Backstage, ehr: SwiftEhr, *, kills: int, seed: int) -> int:
    """Revoke, be told 200, kill at that instant, and use: counts the tokens that were tried afterwards."""
    chance = random.Random(seed)
    tried = 0
    for number in range(1, kills + 1):
        granted = grant(behind, ehr)
        alone, first, second = (granted.access_token() for _ in range(3))
        refresh = granted.refresh_token()
        assert revoke(ehr, alone).status == 200
        if chance.random() < 0.5:
            kill(service, everybody=False)
            assert introspect(ehr, alone).json == INACTIVE
            assert introspect(ehr, first).json["active"]
        assert revoke(ehr, refresh).status == 200
        kill(service, everybody=number % 3 == 0)
        assert uses(granted, refresh, alone, first, second) == set()
        tried += 4
    return tried


def test_t3_what_was_revoked_before_a_kill_is_revoked_after_it(victim: Service):
    """After 200 and kill -9 no token of the login is active, opens userinfo or can be refreshed."""
    behind = Backstage(victim)
    assert revoke_and_kill(victim, behind, login_client(behind), kills=KILLS, seed=3) == 4 * KILLS
    behind.close()


@pytest.mark.long
def test_t3_five_hundred_kills(victim: Service):
    """The same five hundred times; the counts are recorded."""
    seed, begun = random.SystemRandom().randrange(2**32), time.monotonic()
    behind = Backstage(victim)
    tried = revoke_and_kill(victim, behind, login_client(behind), kills=KILLS_LONG, seed=seed)
    behind.close()
    record(
        "T3 kill -9 after each revocation, 2 workers, SQLite",
        seed=seed,
        seconds=time.monotonic() - begun,
        counts={"kills": KILLS_LONG, "revoked tokens tried": tried, "active": 0},
    )


@pytest.mark.xdist_group("timeline")
@pytest.mark.parametrize("jump", [-3600, -61, 61, 599, 3600])
def test_t3_a_clock_that_jumps_brings_nothing_back(jump: int, timeline: Timeline):
    """During a jump of the clock and after it, revoked tokens of people and of machines stay revoked."""
    behind, start = timeline.backstage, timeline.moment()
    granted = grant(behind, login_client(behind))
    access, refresh = granted.access_token(), granted.refresh_token()
    machine = timeline.ehr
    own = machine.token().json["access_token"]
    assert revoke(granted.ehr, access).status == 200
    assert revoke(granted.ehr, refresh).status == 200
    assert revoke(machine, own).status == 200
    for instant in (start + jump, start):
        timeline.at(instant)
        for _ in range(3):  # commits in which old ids could be forgotten
            assert machine.token().status == 200
        assert introspect(machine, own).json == INACTIVE
        assert uses(granted, refresh, access) == set()


@pytest.mark.xdist_group("timeline")
def test_t3_a_token_dies_with_its_last_second(timeline: Timeline):
    """Revoked or not: at its expiry an access token is good, a second later it is not."""
    behind, start = timeline.backstage, timeline.moment()
    granted = grant(behind, login_client(behind))
    token = granted.access_token(lifetime=600)
    timeline.at(start + 600)
    assert introspect(granted.ehr, token).json["active"]
    timeline.at(start + 601)
    assert introspect(granted.ehr, token).json == INACTIVE
