"""T3: a token that was revoked is inactive for ever, whatever the clock does; who is killed is a matter of `proofs/`."""

import pytest

from support.backstage import Timeline
from support.granted import INACTIVE, grant, introspect, login_client, revoke, uses


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
