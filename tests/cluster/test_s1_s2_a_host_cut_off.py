"""S1, S2 (figure G9): a host that reaches a store no more, or late, says so in time; the others go on."""

import time
from collections import Counter
from collections.abc import Sequence

import pytest

from support.backstage import eventually
from support.bed import Bed, BedEhr, ServiceHost, issues, loads, seconds_until
from support.load import Told, again
from support.service import http

PUBLISHED = ("/.well-known/openid-configuration", "/.well-known/openid-configuration/jwks")
IN_TIME = 1.0
"""Seconds, of most answers. A busy test machine gets more for the others."""
BUSY = 4.0
CLIENTS = 16


def timed(ehr: BedEhr, assertions: Sequence[tuple[dict[str, str], str]]) -> list[tuple[int, float]]:
    """Status and seconds of each request, one after the other."""
    found = []
    for form, proof in assertions:
        begun = time.monotonic()
        status = ehr.send(form, proof).status
        found.append((status, time.monotonic() - begun))
    return found


def assert_in_time(seconds: list[float]) -> None:
    assert sorted(seconds)[len(seconds) // 2] <= IN_TIME, seconds
    assert max(seconds) <= BUSY, seconds


def published(service: ServiceHost) -> list[int]:
    return [http("GET", service.origin + path, timeout=BUSY)[0] for path in PUBLISHED]


@pytest.mark.parametrize("lost", ["redis", "postgres", "both"])
def test_s1_s2_a_host_cut_off_from_a_store_says_so(lost: str, bed: Bed, ehrs: list[BedEhr]):
    """Without a sign of the cut, 503 in time on one host, keys and metadata as ever, tokens on the other; then well by itself."""
    away, here = ehrs
    host = bed.host_of(bed.services[0])
    names = {"postgres": ["postgres"], "redis": [name for name in bed.hosts if name[0] in "rs"]}
    names["both"] = names["postgres"] + names["redis"]
    stores = [bed.hosts[name] for name in names[lost]]
    requests = [away.request() for _ in range(7)]
    host.ignore(*stores)
    try:
        answers = timed(away, requests)
        documents = published(bed.services[0])
        others = [here.ask().status for _ in range(5)]
    finally:
        host.heed(*stores)
    recovery = seconds_until(lambda: issues(away))

    assert {status for status, _ in answers} == {503}
    assert_in_time([seconds for _, seconds in answers])
    assert documents == [200, 200]
    assert others == [200] * 5
    print(f"cut off from {lost}: well again {recovery:.1f} s after")
    assert recovery < 15


def percentile_of_keys(service: ServiceHost, *, times: int = 200) -> float:
    """The 99th percentile of the seconds that the key set takes."""
    found = []
    for _ in range(times):
        begun = time.monotonic()
        assert http("GET", service.origin + PUBLISHED[1])[0] == 200
        found.append(time.monotonic() - begun)
    return sorted(found)[int(0.99 * times)]


def tokens(told: Sequence[Told]) -> int:
    return sum(one.status == 200 for one in told)


def judged_again(ehr: BedEhr, told: Told) -> int:
    """The answer to the same form, as soon as it is not 503; 0 if it never is."""
    return eventually(lambda: (status := again(ehr, told)) != 503 and status)


@pytest.mark.parametrize(("milliseconds", "survivable"), [(150, True), (300, False)])
def test_s2_a_slow_redis_starves_nobody(milliseconds: int, survivable: bool, bed: Bed, ehrs: list[BedEhr]):
    """Every frame to Redis and its replica takes longer: tokens come as long as there is time for them, else 503, and the keys as fast as before."""
    slow = bed.host_of(bed.master())
    with loads(ehrs[:1], clients=CLIENTS) as (ledger,):
        before = percentile_of_keys(bed.services[0])
        slow.slow(milliseconds / 1000)
        begun = time.monotonic()
        try:
            after = min(percentile_of_keys(bed.services[0]) for _ in range(2))
            assert eventually(lambda: len(ledger.since(begun)) > 3 * CLIENTS, seconds=30), (
                "nothing is answered any more"
            )
            if survivable:
                assert eventually(lambda: tokens(ledger.since(begun)) > CLIENTS, seconds=30), (
                    "no tokens, although there is time for them"
                )
        finally:
            slow.mend()
    told = ledger.since(begun)
    bed.heal()
    assert bed.well(ehrs)

    assert after <= max(2 * before, 0.02), (before, after)
    counts = Counter(one.status for one in told)
    print(f"{milliseconds} ms each way: {dict(counts)}")
    assert set(counts) <= {200, 503}, counts
    assert_in_time([one.ended - one.began for one in told])
    acknowledged = [one for one in told if one.status == 200][-20:]
    assert {judged_again(ehr, one) for one in acknowledged for ehr in ehrs} <= {401}
    assert len(ledger.tokens) == ledger.counts[200]
