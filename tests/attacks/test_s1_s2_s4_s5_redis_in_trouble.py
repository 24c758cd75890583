"""S1, S2, S4, S5: Redis is away, hangs, evicts, or has lost what it knew, behind two running hosts."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from support.backstage import SwiftEhr, eventually
from support.redis_house import House, house
from support.redis_server import redis_server
from support.service import Service, http

ONE_HOUSE = pytest.mark.xdist_group("redis house")
"""For tests of one pair of hosts, which one process starts for all of them."""
PUBLISHED = ("/.well-known/openid-configuration", "/.well-known/openid-configuration/jwks")
SECONDS = 3.0
"""An answer takes a second at most; a busy test machine gets more."""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("house")) as running:
        yield running


@pytest.fixture
def ehr(hosts: House) -> SwiftEhr:
    """A client that nobody else uses, of hosts that are well."""
    client = hosts.backstage.client()
    assert hosts.well(client)
    return client


def published(service: Service) -> list[tuple[int, bool]]:
    """Status of everything that is published, and whether it came in time."""
    found = []
    for path in PUBLISHED:
        begun = time.monotonic()
        status, _, _ = http("GET", service.issuer + path)
        found.append((status, time.monotonic() - begun < SECONDS))
    return found


@ONE_HOUSE
def test_c3_s1_one_of_thirty_two_wins_at_two_hosts(hosts: House, ehr: SwiftEhr):
    """The same request to both hosts at once gives exactly one token."""
    for _ in range(3):
        statuses = hosts.storm(ehr, *hosts.request(ehr))
        assert statuses.count(200) == 1, statuses
        assert set(statuses) <= {200, 400, 401}


@ONE_HOUSE
def test_s1_without_redis_no_token(hosts: House, ehr: SwiftEhr):
    """503 with Retry-After in time, keys and metadata as ever, and all is well by itself when it is back."""
    before = hosts.request(ehr)
    assert hosts.ask(ehr, *before).status == 200
    hosts.redis.kill()
    begun = time.monotonic()
    answers = [hosts.ask(ehr, *hosts.request(ehr), host=host) for host in (0, 1)]
    assert time.monotonic() - begun < 2 * SECONDS
    assert [(answer.status, answer.error) for answer in answers] == [(503, "temporarily_unavailable")] * 2
    assert all("Retry-After" in answer.headers for answer in answers)
    assert published(hosts.first) == [(200, True)] * 2
    hosts.redis.start()

    assert eventually(lambda: hosts.ask(ehr, *before).status in {400, 401}, seconds=10)
    assert hosts.well(ehr)


@ONE_HOUSE
def test_s2_a_redis_that_hangs_starves_nobody(hosts: House, ehr: SwiftEhr):
    """Forty requests at once are answered 503, and the keys are served meanwhile."""
    requests = [hosts.request(ehr) for _ in range(40)]
    statuses: list[int] = []
    hosts.redis.hang()
    threads = [
        threading.Thread(target=lambda request=request: statuses.append(hosts.ask(ehr, *request).status))
        for request in requests
    ]
    for thread in threads:
        thread.start()
    documents = published(hosts.first)
    for thread in threads:
        thread.join(30)
    hosts.redis.carry_on()

    assert set(statuses) == {503}
    assert documents == [(200, True)] * 2
    assert hosts.well(ehr)


def empty_it(hosts: House) -> None:
    hosts.redis.client.flushall()


def restart_it(hosts: House) -> None:
    hosts.redis.restart()


def restart_it_with_its_data(hosts: House) -> None:
    hosts.redis.client.save()
    hosts.redis.restart()


def swap_its_databases(hosts: House) -> None:
    hosts.redis.client.swapdb(0, 5)


@ONE_HOUSE
@pytest.mark.parametrize(
    "loss",
    [empty_it, restart_it, restart_it_with_its_data, swap_its_databases],
    ids=lambda loss: loss.__name__,
)
def test_c2_s5_what_redis_forgot_is_not_accepted_again(
    loss: Callable[[House], None], hosts: House, ehr: SwiftEhr
):
    """A request that gave a token gives none at either host afterwards, and an alarm is in the audit."""
    request = hosts.request(ehr)
    assert hosts.ask(ehr, *request).status == 200
    alarms = len(hosts.backstage.entries("service.replay_fence.raised"))
    loss(hosts)

    for host in (0, 1, 0, 1):
        assert eventually(lambda host=host: hosts.ask(ehr, *request, host=host).status in {400, 401})
    hosts.ask(ehr, *hosts.request(ehr))  # whoever asks for something new finds out
    assert len(hosts.backstage.entries("service.replay_fence.raised")) > alarms
    assert hosts.well(ehr)


@ONE_HOUSE
def test_s5_a_replica_gets_no_request(hosts: House, ehr: SwiftEhr):
    """While the server follows another, 503; what was accepted before stays spent when it is master again."""
    request = hosts.request(ehr)
    assert hosts.ask(ehr, *request).status == 200
    with redis_server() as other:
        hosts.redis.follow(other)
        assert hosts.ask(ehr, *hosts.request(ehr)).status == 503
        assert published(hosts.first) == [(200, True)] * 2
    hosts.redis.promote()

    assert eventually(lambda: hosts.ask(ehr, *request).status in {400, 401})
    assert hosts.well(ehr)


@ONE_HOUSE
def test_s4_a_house_on_a_redis_that_evicts_does_not_start(hosts: House):
    """One line that names the setting and the remedy."""
    with redis_server(maxmemory_policy="allkeys-lru") as evicting:
        text = hosts.settings.read_text(encoding="utf-8")
        path = hosts.settings.with_name("evicting.toml")
        path.write_text(text.replace(hosts.redis.url, evicting.url), encoding="utf-8")
        service = Service(hosts.first.data, workers=1, arguments=("--config", str(path)))
        with pytest.raises(AssertionError, match="noeviction"):
            service.start()
