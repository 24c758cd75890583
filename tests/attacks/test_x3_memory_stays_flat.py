"""X3: requests by the thousand, one in ten of them hostile: every answer is right, memory and open files stay flat."""

import http.client
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from urllib.parse import urlencode

import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr
from support.evidence import record, setting
from support.processes import open_files, rss_mib
from support.service import Service
from support.wire import FORM
from tillit.protocol.jose import generate_key

WARM_UP, REQUESTS, CLIENTS = 2_000, 3_000, 8
ROUNDS = 3
OPEN_FILES = CLIENTS + 2  # connections to clients and to the database
REQUESTS_LONG = setting("SOAK_REQUESTS", 1_000_000)
GROWTH_MIB = 10.0
TRIES = 4
ASKED_AGAIN = 0.01
"""The share of requests that may meet a disk standing still for longer than the store waits."""
STRANGER = generate_key("ES256")

Request = tuple[bytes, str | None, int]
"""A form, a proof, and the status it must get."""


def encoded(ehr: SwiftEhr, assertion: str, **fields: str) -> bytes:
    return urlencode(ehr.form(assertion, **{"scope": SELF_SERVICE, **fields})).encode("ascii")


HOSTILE: dict[str, Callable[[SwiftEhr], Request]] = {
    "no form at all": lambda _: (secrets.token_bytes(300), None, 400),
    "one byte repeated": lambda _: (b"&" * 60_000, None, 400),
    "a large value": lambda ehr: (encoded(ehr, "a" * 60_000), None, 401),
    "nested JSON": lambda ehr: (encoded(ehr, "[" * 20_000), None, 401),
    "a stranger's signature": lambda ehr: (encoded(ehr, ehr.assertion(key=STRANGER)), ehr.proof(), 401),
    "an unknown client": lambda ehr: (
        encoded(ehr, ehr.assertion(iss="x", sub="x"), client_id="x"),
        ehr.proof(),
        401,
    ),
    "no proof": lambda ehr: (encoded(ehr, ehr.assertion()), None, 400),
    "a proof of long ago": lambda ehr: (encoded(ehr, ehr.assertion()), ehr.proof(iat=1), 400),
    "a scope never granted": lambda ehr: (encoded(ehr, ehr.assertion(), scope="openid"), ehr.proof(), 400),
    "an unknown grant": lambda ehr: (encoded(ehr, ehr.assertion(), grant_type="x" * 999), ehr.proof(), 400),
}


def soak(ehr: SwiftEhr, count: int) -> Counter[str]:
    """Send so many requests from several clients, one in ten hostile; what came back, by what was expected."""
    hostile, found, mutex = list(HOSTILE.values()), Counter[str](), threading.Lock()
    ehr.nonce()

    def client(numbers: range) -> None:
        results = Counter[str]()
        with closing(http.client.HTTPConnection("127.0.0.1", ehr.service.port, timeout=20)) as connection:
            for number in numbers:
                if number % 10:
                    form, proof, due = encoded(ehr, ehr.assertion()), ehr.proof(), 200
                else:
                    form, proof, due = hostile[number // 10 % len(hostile)](ehr)
                headers = {"Content-Type": FORM} | ({"DPoP": proof} if proof else {})
                for _ in range(TRIES):
                    connection.request("POST", "/connect/token", form, headers)
                    response = connection.getresponse()
                    response.read()
                    if response.status != 503 or due != 200:
                        break
                    # A disk that others keep busy stood still: nothing was spent, so the same may be sent again.
                    results["asked again"] += 1
                kind = "good" if due == 200 else "hostile"
                results[kind if response.status == due else f"{response.status} for {due} ({number})"] += 1
        with mutex:
            found.update(results)

    threads = [threading.Thread(target=client, args=(range(n, count, CLIENTS),)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def measured(service: Service) -> dict[int, tuple[float, int]]:
    """Memory in MiB and number of open files of each worker."""
    return {pid: (rss_mib(pid), open_files(pid)) for pid in service.worker_pids()}


def grown(before: dict[int, tuple[float, int]], after: dict[int, tuple[float, int]]) -> tuple[float, int]:
    """By how much the worker that grew most has grown, in MiB and in open files; no worker was replaced."""
    assert before.keys() == after.keys()
    memory = max(after[pid][0] - before[pid][0] for pid in before)
    return memory, max(after[pid][1] - before[pid][1] for pid in before)


def judge(found: Counter[str]) -> None:
    """Every answer was right in the end, nearly all of them at once."""
    assert found.keys() - {"asked again"} == {"good", "hostile"}, found
    assert found["asked again"] <= ASKED_AGAIN * found["good"], found


def test_x3_five_thousand_requests_leave_nothing_behind(service: Service, backstage: Backstage):
    """Thousands of requests are answered rightly, and the workers' memory and open files come to rest.

    Heaps and caches grow once, whenever they are first needed; so a round in which a worker has grown by 10 MiB is
    followed by another, and only who grows in every round has kept something.
    """
    ehr = backstage.client()
    found = soak(ehr, WARM_UP)
    before, grew = measured(service), []
    while len(grew) < ROUNDS and (not grew or grew[-1] >= GROWTH_MIB):
        found += soak(ehr, REQUESTS)
        after = measured(service)
        memory, files = grown(before, after)
        grew.append(memory)
        assert files <= OPEN_FILES
        before = after
    judge(found)
    assert grew[-1] < GROWTH_MIB, grew


@pytest.mark.long
def test_x3_a_million_requests_leave_nothing_behind(service: Service, backstage: Backstage):
    """The same with a million; memory is compared from a fifth of the way on, and the counts are recorded."""
    ehr, begun = backstage.client(), time.monotonic()
    first = soak(ehr, REQUESTS_LONG // 5)
    before = measured(service)
    found = first + soak(ehr, REQUESTS_LONG - REQUESTS_LONG // 5)
    memory, files = grown(before, measured(service))
    record(
        "X3 soak, 2 workers, SQLite, one in ten hostile",
        seed=None,
        seconds=time.monotonic() - begun,
        counts={
            **found,
            "growth MiB of a worker": round(memory, 1),
            "growth in open files": files,
            "MiB of the largest worker": round(max(m for m, _ in measured(service).values()), 1),
        },
    )
    judge(found)
    assert memory < GROWTH_MIB
    assert files <= OPEN_FILES
