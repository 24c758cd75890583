"""C9 at full length: 20,000 refusals, and their times do not tell why the client was refused."""

import time
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr
from support.ehr import Answer
from support.evidence import record, setting
from support.service import Service
from support.timing import measured, worst
from support.wire import Lane
from tillit.protocol.jose import generate_key
from tillit_server.issuer.clients.registration import remove_key

REQUESTS = setting("TIMING_REQUESTS", 20_000)
SEED = 20_261_122
SUSPICIOUS = 4.5
"""Welch's t beyond which two samples are called different (the threat table's figure)."""

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def backstage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backstage]:
    """A service with one worker, whom nobody else asks anything."""
    with Service(tmp_path_factory.mktemp("timing"), workers=1) as running:
        opened = Backstage(running)
        yield opened
        opened.close()


def refusals(backstage: Backstage, lane: Lane) -> dict[str, Callable[[], Answer]]:
    """Requests of strangers, by the reason for which they are refused; client ids are of one length."""
    now = backstage.service.now()
    good = backstage.client(client_id="client-1")
    disabled = backstage.client(client_id="client-2")
    backstage.set_disabled(disabled.client_id, disabled=True)
    old = generate_key("ES256")
    expired = backstage.client(old, client_id="client-3", keys=[{**old.public.jwk, "exp": now - 1}])
    stolen = generate_key("ES256")
    removed = backstage.client(stolen, generate_key("ES256"), client_id="client-5")
    remove_key(backstage.services, removed.client_id, stolen.kid, operator="test", reason="test")
    unknown = SwiftEhr(backstage.service, "client-4", generate_key("ES256"))
    same_kid = good.assertion(key=generate_key("ES256", good.key.kid))
    assertions = {
        "wrong key": (good, same_kid),
        "unknown key id": (good, good.assertion(key=generate_key("ES256"))),
        "unknown client": (unknown, unknown.assertion()),
        "disabled client": (disabled, disabled.assertion()),
        "expired key": (expired, expired.assertion()),
        "removed key": (removed, removed.assertion()),
    }

    def sender(ehr: SwiftEhr, assertion: str) -> Callable[[], Answer]:
        body = urlencode(ehr.form(assertion, scope=SELF_SERVICE)).encode()
        return lambda: lane.send(body, "x")

    return {name: sender(*asked) for name, asked in assertions.items()}


def test_c9_times_of_refusals_cannot_be_told_apart(backstage: Backstage):
    """Unknown, disabled, expired, foreign: no two of these take times that differ by more than chance allows."""
    started = time.monotonic()
    with Lane(backstage.service) as lane:
        kinds = refusals(backstage, lane)
        for send in kinds.values():
            assert {send().status for _ in range(50)} == {401}
        times = measured(kinds, requests=REQUESTS // len(kinds), seed=SEED)
    t, which = worst(times)
    means = {name: round(1e6 * sum(seconds) / len(seconds), 1) for name, seconds in times.items()}
    record(
        "C9 timing of refusals, microseconds and Welch's t",
        seed=SEED,
        seconds=time.monotonic() - started,
        counts={"requests": REQUESTS, "worst t": round(t, 2), "between": which, "means": means},
    )
    assert t < SUSPICIOUS, which
