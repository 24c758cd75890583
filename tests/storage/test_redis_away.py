"""A Redis server that is away, full, read-only, slow or wrong: 503 in time, and back by itself."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.redis_server import RedisServer, free_port, redis_pair, redis_server
from support.redis_stores import open_spending
from support.stores import START, Halves, Hands, open_store
from tillit_server.storage.ports import Claim, Conflict, StorageRefused, StorageUnavailable
from tillit_server.storage.redis_link import Link
from tillit_server.storage.spending import AHEAD


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[Any]:
    store = open_store(tmp_path / "lasting.sqlite")
    yield store
    store.close()


def opened(url: str, lasting: Any, tmp_path: Path, **options: Any) -> Any:
    return open_spending(Halves(url, tmp_path), lasting.records, **options)


def proof(name: str, made: float = START) -> Claim:
    return Claim("proof", name, made + 120, made=made)


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://127.0.0.1:6379",
        "http://127.0.0.1:6379",
        "127.0.0.1:6379",
        "redis://:secret@host:port/0",
        "redis+sentinel://:secret@",
        "redis+sentinel://:secret@host:26379",
        "redis+sentinel://:secret@host:26379/name/x",
        "redis+sentinel://:secret@host:26379/name/0?nonsense=1",
        "redis+sentinel://:secret@[::1/name",
        "redis://host/0?password_file=/no/such/secret",
        "",
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    """With the reason and what to write instead, and never with the password."""
    with pytest.raises(StorageRefused) as refused:
        Link(url)
    assert "secret" not in str(refused.value)
    assert refused.value.hint


@pytest.mark.parametrize("policy", ["volatile-lru", "allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_s4_a_server_that_evicts_is_refused(policy: str, lasting: Any, tmp_path: Path) -> None:
    """At the start with the remedy; and one that comes to it later is not asked any more."""
    with redis_server(maxmemory_policy=policy) as server:
        with pytest.raises(StorageRefused, match="noeviction"):
            opened(server.url, lasting, tmp_path)
        server.client.config_set("maxmemory-policy", "noeviction")
        spending = opened(server.url, lasting, tmp_path)
        spending.ping()
        server.client.config_set("maxmemory-policy", policy)
        with pytest.raises(StorageUnavailable, match="evict"):
            spending.ping()
        server.client.flushall()
        with pytest.raises(StorageUnavailable, match="evict"):
            spending.spend([proof("a")])
        spending.close()


def test_a_server_that_hides_its_configuration_tells_its_policy(lasting: Any, tmp_path: Path) -> None:
    """CONFIG may be forbidden, as managed services do: INFO says the same."""
    with redis_server() as server:
        server.client.execute_command(
            "ACL", "SETUSER", "service", "on", ">word", "~tillit:*",
            "+eval", "+evalsha", "+wait", "+info", "+time", "+get", "+set", "+mget", "+hmget", "+hset", "+select",
        )  # fmt: skip
        server.client.config_set("maxmemory-policy", "allkeys-lru")
        url = server.url.replace("//", "//service:word@")
        with pytest.raises(StorageRefused, match="noeviction"):
            opened(url, lasting, tmp_path)
        server.client.config_set("maxmemory-policy", "noeviction")
        spending = opened(url, lasting, tmp_path)
        spending.spend([proof("a")])
        spending.ping()
        spending.close()


def test_s4_a_full_server_issues_nothing(lasting: Any, tmp_path: Path) -> None:
    """OOM is 503 with nothing spent, and the same request passes when there is room again."""
    with redis_server(maxmemory="100mb") as server:
        spending = opened(server.url, lasting, tmp_path)
        spending.spend([proof("first")])
        server.client.config_set("maxmemory", "100kb")
        with pytest.raises(StorageUnavailable, match="OOM"):
            spending.spend([proof("a"), proof("b")])
        server.client.config_set("maxmemory", "100mb")
        assert spending.seen("proof", "first")
        spending.spend([proof("a"), proof("b")])
        spending.close()


def test_s5_a_replica_is_not_asked(lasting: Any, tmp_path: Path) -> None:
    """READONLY is 503; no ticket is read from a replica either."""
    with redis_pair() as (_, replica):
        spending = opened(replica.url, lasting, tmp_path)
        with pytest.raises(StorageUnavailable, match="READONLY"):
            spending.spend([proof("a")])
        with pytest.raises(StorageUnavailable, match="READONLY"):
            spending.tickets.peek("code", "a")
        spending.close()


def test_the_password_may_lie_in_a_file(lasting: Any, tmp_path: Path) -> None:
    """Settings are shown; the file that they name is not."""
    (tmp_path / "password").write_text("word\n")
    with redis_server(requirepass="word") as server:
        spending = opened(f"{server.url}?password_file={tmp_path / 'password'}", lasting, tmp_path)
        spending.spend([proof("a")])
        spending.close()


def test_a_server_of_this_host_may_be_asked_through_its_socket(lasting: Any, tmp_path: Path) -> None:
    """The same promises by the shorter way: what was spent there is spent, and it may go and come back."""
    with redis_server() as server:
        spending = opened(server.socket_url, lasting, tmp_path, timeout=8.0)
        spending.spend([proof("a")])
        assert spending.seen("proof", "a")
        with pytest.raises(Conflict):
            spending.spend([proof("a")])
        server.kill()
        with pytest.raises(StorageUnavailable, match="away"):
            spending.spend([proof("b")])
        server.start()
        assert seconds_until_well(spending) < 20
        spending.close()


def test_s1_a_server_that_is_away_is_no_reason_not_to_start(lasting: Any, tmp_path: Path) -> None:
    """Nothing is settled while it is away, and everything when it has come, without a restart of ours."""
    port = free_port()
    spending = opened(f"redis://127.0.0.1:{port}", lasting, tmp_path)
    with pytest.raises(StorageUnavailable):
        spending.spend([proof("a")])
    server = RedisServer(tmp_path / "redis", port)
    try:
        assert seconds_until_well(spending) < 10
    finally:
        server.kill()
        spending.close()


def seconds_until_well(spending: Any) -> float:
    begin = time.monotonic()
    while time.monotonic() < begin + 20:
        try:
            spending.ping()
        except StorageUnavailable:
            time.sleep(0.01)
        else:
            return time.monotonic() - begin
    raise AssertionError("never well again")


def test_s2_a_server_that_hangs_holds_few_threads(lasting: Any, tmp_path: Path) -> None:
    """Sixteen threads ask a stopped server for two seconds: each hears 503 in time, most of them at once."""
    with redis_server() as server:
        spending = opened(server.url, lasting, tmp_path, connections=4)
        spending.spend([proof("a")])
        server.hang()
        waits: list[float] = []
        end = time.monotonic() + 2

        def ask() -> None:
            while time.monotonic() < end:
                begin = time.monotonic()
                with pytest.raises(StorageUnavailable):
                    spending.spend([proof("b")])
                waits.append(time.monotonic() - begin)
                time.sleep(0.01)

        threads = [threading.Thread(target=ask) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.carry_on()
        assert seconds_until_well(spending) < 10
        spending.close()

    assert max(waits) < 3
    assert sorted(waits)[len(waits) // 2] < 0.2


def test_a_burst_waits_in_line(lasting: Any, tmp_path: Path) -> None:
    """More requests at once than connections, at a server that takes its time: all are settled, none hears 503."""
    with redis_server() as server:
        spending = opened(server.url, lasting, tmp_path, connections=1, timeout=10.0)
        spending.ping()
        server.client.execute_command("CLIENT", "PAUSE", "150")
        with ThreadPoolExecutor(16) as crowd:
            guards = list(crowd.map(lambda number: spending.spend([proof(str(number))]), range(16)))
        assert all(guards)
        spending.close()


def test_s2_a_half_open_connection_is_given_up(lasting: Any, tmp_path: Path) -> None:
    """A peer that accepts and never answers costs one timeout."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        begin = time.monotonic()
        spending = opened(f"redis://127.0.0.1:{deaf.getsockname()[1]}/1", lasting, tmp_path)
        with pytest.raises(StorageUnavailable):
            spending.spend([proof("a")])
        spending.close()
    assert time.monotonic() - begin < 5


def test_an_answer_that_is_no_redis_is_503(lasting: Any, tmp_path: Path) -> None:
    """Whatever listens there, nothing is believed that is not an answer."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:

        def answer() -> None:
            while True:
                try:
                    peer, _ = stranger.accept()
                except OSError:
                    return
                with peer:
                    peer.recv(65_536)
                    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        spending = opened(f"redis://127.0.0.1:{stranger.getsockname()[1]}", lasting, tmp_path)
        with pytest.raises(StorageUnavailable):
            spending.spend([proof("a")])
        spending.close()


def test_s3_without_an_acknowledgement_nothing_is_acknowledged(lasting: Any, tmp_path: Path) -> None:
    """A replica that hangs: 503, and the ids stay spent."""
    with redis_pair() as (master, replica):
        spending = opened(master.url, lasting, tmp_path)
        spending.spend([proof("a")])
        replica.hang()
        with pytest.raises(StorageUnavailable, match="acknowledged"):
            spending.spend([proof("b")])
        replica.carry_on()
        with pytest.raises(Conflict, match="spent"):
            spending.spend([proof("b")])
        spending.close()


def test_a_replica_that_is_there_is_seen_all_the_time(lasting: Any, tmp_path: Path) -> None:
    """Across the turns of seconds, at which a server may say that it heard from its replica in the future."""
    with redis_pair() as (master, _):
        spending = opened(master.url, lasting, tmp_path)
        end = time.monotonic() + 2.2
        while time.monotonic() < end:
            assert not spending.seen("proof", "nobody's")
        spending.close()


def test_a_lost_replica_stops_the_house_for_seconds_only(lasting: Any, tmp_path: Path) -> None:
    """First 503, for it may have been promoted elsewhere; then a new epoch begins without it."""
    clock, steady = Hands(), Hands(0.0)
    with redis_pair() as (master, replica):
        spending = opened(master.url, lasting, tmp_path, clock=clock, steady=steady)
        spending.spend([proof("a")])
        replica.kill()
        master.client.client_kill_filter(_type="slave")
        with pytest.raises(StorageUnavailable, match="lost its replica"):
            spending.spend([proof("b")])
        steady.now += 6
        with pytest.raises(Conflict, match="spent"):
            spending.spend([proof("a")])
        clock.now += AHEAD + 1
        spending.spend([proof("c", clock.now)])
        spending.close()


def test_a_fork_shares_no_connection(lasting: Any, tmp_path: Path) -> None:
    """A child that uses what its parent opened has connections of its own; answers are never mixed up."""
    import os

    with redis_server() as server:
        spending = opened(server.url, lasting, tmp_path)
        spending.spend([proof("parent")])
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            seen = spending.seen("proof", "parent") and not spending.seen("proof", "child")
            os.write(writing, b"1" if seen else b"0")
            os._exit(0)
        told = [spending.seen("proof", "parent") for _ in range(50)]
        assert os.read(reading, 1) == b"1"
        os.waitpid(child, 0)
        assert told == [True] * 50
        assert server.client.info("clients")["connected_clients"] >= 1
        spending.close()


@pytest.mark.parametrize("difference", [-61, 61])
def test_d9_a_clock_that_is_off_settles_nothing(difference: float, lasting: Any, tmp_path: Path) -> None:
    """G17: a host whose clock differs by a minute from the server's is refused; one within ten seconds is not."""
    clock = Hands(time.time())
    with redis_server() as server:
        spending = opened(server.url, lasting, tmp_path, clock=clock, checked_clock=True)
        spending.spend([proof("a", clock.now)])
        clock.now += difference
        with pytest.raises(StorageUnavailable, match="clock"):
            spending.spend([proof("b", clock.now)])
        clock.now = time.time() + (5 if difference > 0 else -5)
        spending.spend([proof("b", clock.now)])
        spending.close()
