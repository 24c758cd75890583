"""Two hosts, both servers over TLS with the least rights: limits they share, health, traces, doctor, and faults."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from support.backstage import SELF_SERVICE, SwiftEhr, eventually
from support.ehr import Answer
from support.postgres import Postgres
from support.service import http
from support.starting import attempt
from support.watched_house import WatchedHouse, watched_house

PARTS = {"database", "redis", "fence", "clocks", "keys", "secrets", "audit", "clock"}
TRACE = "00-{}-00f067aa0ba902b7-01"
LIMITS = {
    "client_limits": ["introspection=6/hour"],
    "address_limits": ["jwks=6/hour", "token=100000/hour"],
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[WatchedHouse]:
    """The house, ready."""
    with watched_house(tmp_path_factory.mktemp("watched"), postgres, **LIMITS) as built:
        for host in built.hosts:
            assert eventually(lambda host=host: host.ready()[0] == 200, seconds=40), host.ready()
        yield built


def token(house: WatchedHouse, ehr: SwiftEhr, host: int, **headers: str) -> Answer:
    """What a host says to a good request."""
    form = ehr.form(ehr.assertion(), scope=SELF_SERVICE)
    url = house.hosts[host].origin + "/connect/token"
    answer = ehr.send(form, ehr.proof(), url=url, headers=headers)
    assert isinstance(answer, Answer)
    return answer


def keys_for(house: WatchedHouse, address: str, host: int) -> int:
    """The status of a request for the keys from an address."""
    url = house.hosts[host].origin + "/.well-known/openid-configuration/jwks"
    return http("GET", url, headers={"X-Forwarded-For": address})[0]


def test_tls_and_the_least_rights_are_enough(house: WatchedHouse):
    """Tokens from both hosts, by servers that are reached over TLS alone, with the rights that the pages name."""
    ehr = house.backstage.client()
    assert [token(house, ehr, host).status for host in (0, 1)] == [200, 200]
    assert all(door.taken for door in house.tls)
    assert "PASSWORD" not in house.hosts[0].log()


def test_a_trace_has_what_each_server_took(house: WatchedHouse):
    """Redis' one script and the journal's commit, both within the settlement."""
    trace = "e" * 32
    assert token(house, house.backstage.client(), 1, traceparent=TRACE.format(trace)).status == 200
    request, *within = house.collector.whole(trace)
    (settle,) = [span for span in within if span.name == "settle"]
    assert settle.parent == request.ident
    assert sorted(span.name for span in within if span.parent == settle.ident) == ["redis spend", "write"]


def test_each_part_of_each_server_is_told(house: WatchedHouse):
    """Ready names all parts, and what was heard of the servers: replicas, the fence, how far clocks are apart."""
    status, report = house.hosts[0].ready()
    assert status == 200
    assert report["parts"] == dict.fromkeys(PARTS, "ok")
    assert set(report["servers"]) == {
        "replicas", "fence_seconds", "redis_clock_seconds", "database_clock_seconds",
    }  # fmt: skip
    assert report["servers"]["replicas"] == report["servers"]["fence_seconds"] == 0
    assert abs(report["servers"]["redis_clock_seconds"]) < 12
    assert house.hosts[0].total("tillit_replicas") == 0
    assert house.hosts[0].total("tillit_limits_shared") == 1


def test_x7_who_asks_too_often_at_one_host_waits_at_both(house: WatchedHouse):
    """Two hosts share one count: the share is used up at one, and the other refuses too; others are served."""
    busy, other = "203.0.113.1", "203.0.113.2"
    assert [keys_for(house, busy, 0) for _ in range(8)] == [200] * 6 + [429] * 2
    assert keys_for(house, busy, 1) == 200  # who comes for the first time is not known yet

    def told(number: int) -> bool:
        with house.redis.client as client:
            return any(int(client.get(name)) == number for name in client.keys("tillit:*:limit:*"))

    assert eventually(lambda: told(7), seconds=20)
    if keys_for(house, busy, 1) == 200:  # it told before the other did, and hears when it tells again
        assert eventually(lambda: told(8), seconds=20)
        # By itself it would let six through in all; a look at its health gives it time to hear the answer.
        assert any(house.hosts[1].ready() and keys_for(house, busy, 1) == 429 for _ in range(3))
    assert keys_for(house, other, 1) == 200


def test_x7_a_client_uses_its_share_at_both(house: WatchedHouse):
    """A client that asks the hosts in turn gets no more than one host would have given, and a little."""
    ehr, statuses = house.backstage.client(), []
    for number in range(24):
        form = ehr.form(ehr.assertion(), token="x", grant_type=...)
        answer = ehr.send(form, None, url=house.hosts[number % 2].origin + "/connect/introspect")
        statuses.append(answer.status)
    assert statuses[-2:] == [429, 429]
    assert statuses.count(429) >= 12  # alone, each would have let six through
    assert token(house, ehr, 0).status == 200


def test_x7_without_redis_limits_hold_at_home_and_replays_are_refused_everywhere(house: WatchedHouse):
    """With Redis standing still each host counts alone, says so, and judges nothing that needs it; then all is back."""
    ehr = house.backstage.client()
    form, proof = ehr.form(ehr.assertion(), scope=SELF_SERVICE), ehr.proof()
    used = house.hosts[0].origin + "/connect/token"
    assert ehr.send(form, proof, url=used).status == 200
    again = [(ehr.form(ehr.assertion(), scope=SELF_SERVICE), ehr.proof()) for _ in range(2)]
    house.redis.hang()
    try:
        for host in (0, 1):
            assert [keys_for(house, "203.0.113.3", host) for _ in range(7)] == [200] * 6 + [429]
        assert eventually(lambda: house.hosts[0].total("tillit_limits_shared") == 0, seconds=10)
        assert ehr.send(form, proof, url=house.hosts[1].origin + "/connect/token").status == 503
        assert ehr.send(*again[0], url=used).status == 503
        status, report = house.hosts[0].ready()
        assert status == 503
        assert "away" in report["parts"]["redis"]
        assert report["parts"]["database"] == "ok"
        assert http("GET", house.hosts[0].management + "/health/live")[0] == 200
    finally:
        house.redis.carry_on()
    assert eventually(lambda: [host.ready()[0] for host in house.hosts] == [200, 200], seconds=20)
    assert eventually(lambda: house.hosts[0].total("tillit_limits_shared") == 1, seconds=10)
    assert ehr.send(form, proof, url=house.hosts[1].origin + "/connect/token").status == 401


def test_s1_a_fence_is_told_until_it_is_over(house: WatchedHouse):
    """After a flush the part says until when the fence is closed, and the service is not ready; then it is."""
    with house.redis.client as client:
        client.flushall()
    assert eventually(
        lambda: house.hosts[0].ready()[1]["parts"]["fence"].startswith("closed until 20"), seconds=10
    )
    assert house.hosts[1].total("tillit_fence_seconds") > 0
    for host in house.hosts:
        host.set_clock(offset=13)
    assert eventually(lambda: [host.ready()[0] for host in house.hosts] == [200, 200], seconds=10)


def test_the_doctor_looks_at_both_servers(house: WatchedHouse, postgres: Postgres):
    """Everything about a sound pair is told with its verdict; what tests run without is bad, with its remedy."""
    host = house.hosts[0]
    done = attempt(
        *("doctor", "--data", str(host.data), "--output", "json"),
        *("--config", str(host.data / "settings.toml")),
        output=host.data / "doctor",
    )
    found = {finding["what"]: finding for finding in json.loads(done.output)}
    verdicts = {what: finding["verdict"] for what, finding in found.items()}
    assert (
        verdicts
        | {
            "database": "ok",
            "database TLS": "ok",
            "database durability": "BAD",
            "database schema": "ok",
            "database role": "ok",
            "database connections": "ok",
            "database clock": "ok",
            "redis": "ok",
            "redis TLS": "ok",
            "redis memory": "ok",
            "redis file": "look",
            "redis replicas": "look",
            "redis clock": "ok",
        }
        == verdicts
    )
    assert found["database durability"]["text"].endswith(" = on")
    assert "add one" in found["redis replicas"]["text"]
    assert "PASSWORD" not in done.output
    assert done.code == 1


def test_nobody_comes_in_clear(house: WatchedHouse):
    """The door of PostgreSQL takes no connection without TLS, so the tests before have not gone around it."""
    with closing(socket.create_connection(("127.0.0.1", house.tls[1].port), 5)) as connection:
        connection.sendall(bytes(8))
        assert connection.recv(1) == b""
