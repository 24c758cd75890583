"""A change to a client is seen by every worker within a second, without a restart."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr, eventually
from support.ehr import Ehr
from support.service import Service
from support.wire import Lane
from tillit.protocol.jose import generate_key

LANES = 8
WITHIN = 1.0
"""Seconds in which every worker has seen a change."""
PATIENCE = 5.0


@pytest.fixture
def lanes(backstage: Backstage) -> Iterator[list[Lane]]:
    """Connections to every worker of the service: at least two of each, by the audit's slots."""
    ehr = backstage.client()

    def workers() -> int:
        entries = backstage.entries("issuer.token.issued", client_id=ehr.client_id)
        return min(
            (sum(entry.slot == slot for entry in entries) for slot in {e.slot for e in entries}), default=0
        )

    with ExitStack() as opened:
        found: list[Lane] = []
        while len(found) < 64:
            lane = opened.enter_context(Lane(backstage.service))
            found.append(lane)
            assert status(lane, ehr) == 200
            slots = {e.slot for e in backstage.entries("issuer.token.issued", client_id=ehr.client_id)}
            if len(found) >= LANES and len(slots) == backstage.service.workers and workers() >= 2:
                break
        yield found


def status(lane: Lane, ehr: Ehr) -> int:
    return lane.send(ehr.form(ehr.assertion(), scope=SELF_SERVICE), ehr.proof()).status


def seen_by_all(lanes: list[Lane], look: Callable[[Lane], bool]) -> float:
    """Change first, then ask: seconds until the last question that was still answered by the old state."""
    changed = latest = time.monotonic()
    while latest - changed < PATIENCE:
        still_old = [asked for lane in lanes if (asked := time.monotonic()) and not look(lane)]
        if not still_old:
            break
        latest = still_old[-1]
    return latest - changed


def test_a_new_client_is_known_within_a_second(backstage: Backstage, lanes: list[Lane]):
    """Who was refused as unknown is accepted by every worker soon after being registered."""
    key = generate_key("ES256")
    ehr = SwiftEhr(backstage.service, "newcomer", key)
    assert [lane.send(ehr.form(), "x").status for lane in lanes] == [401] * len(lanes)
    backstage.register("newcomer", key)
    assert seen_by_all(lanes, lambda lane: lane.send(ehr.form(), "x").status == 400) < WITHIN
    assert [status(lane, ehr) for lane in lanes] == [200] * len(lanes)


def test_a_disabled_client_is_refused_by_every_worker_within_a_second(
    backstage: Backstage, lanes: list[Lane]
):
    """Disabled means invalid_client everywhere, enabled again means tokens everywhere."""
    ehr = backstage.client()
    assert [status(lane, ehr) for lane in lanes] == [200] * len(lanes)
    backstage.set_disabled(ehr.client_id, disabled=True)
    assert seen_by_all(lanes, lambda lane: lane.send(ehr.form(), "x").status == 401) < WITHIN
    backstage.set_disabled(ehr.client_id, disabled=False)
    assert seen_by_all(lanes, lambda lane: lane.send(ehr.form(), "x").status == 400) < WITHIN
    assert [status(lane, ehr) for lane in lanes] == [200] * len(lanes)


def test_a_replaced_key_authenticates_and_the_old_one_does_not(backstage: Backstage, lanes: list[Lane]):
    """After a client was replaced its old key is worth nothing, within a second and in every worker."""
    ehr = backstage.client()
    assert [status(lane, ehr) for lane in lanes] == [200] * len(lanes)
    key = generate_key("ES256")
    backstage.register(ehr.client_id, key, replace=True)
    successor = SwiftEhr(backstage.service, ehr.client_id, key)
    assert seen_by_all(lanes, lambda lane: lane.send(ehr.form(), "x").status == 401) < WITHIN
    assert [status(lane, successor) for lane in lanes] == [200] * len(lanes)


def test_a_scope_taken_away_is_gone_within_a_second(backstage: Backstage, lanes: list[Lane]):
    """Permissions are read anew too, not only keys."""
    key = generate_key("ES256")
    ehr = backstage.client(key)
    assert [status(lane, ehr) for lane in lanes] == [200] * len(lanes)
    backstage.register(ehr.client_id, key, replace=True, scopes=["example:ward/list"])
    assert seen_by_all(lanes, lambda lane: status(lane, ehr) == 400) < WITHIN


def test_the_command_line_does_the_same_and_the_audit_tells(service: Service, backstage: Backstage):
    """`clients disable` works on a running service, and the audit knows who did it and why."""
    ehr = backstage.client()
    assert ehr.token().status == 200
    data = ("--data", str(service.data), "--id", ehr.client_id)
    service.cli("clients", "disable", *data, "--operator", "kari", "--reason", "a test")
    assert eventually(lambda: ehr.send(ehr.form(), "x").status == 401)
    (entry,) = backstage.entries("registry.client.disabled", client_id=ehr.client_id)
    assert (entry.public["operator"], entry.public["reason"]) == ("kari", "a test")
