"""What the doctor says of servers that are not as they should be: each finding with what to do about it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError

from support.backstage import eventually
from support.postgres import SERVICE_ROLE, Postgres, as_owner
from support.redis_server import RedisServer, redis_server
from tillit_server.cli.doctor_database import _session, examine_database
from tillit_server.cli.doctor_redis import _encryption_of_redis, _sentinels, examine_redis
from tillit_server.cli.doctor_servers import compare_clocks
from tillit_server.config import Settings, load_settings
from tillit_server.signing.doctor import Finding


@pytest.fixture(scope="module")
def redis() -> Any:
    """A server to be set up badly."""
    with redis_server() as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Four workers, four connections each."""
    return load_settings(flags={"dev": True, "data": tmp_path, "workers": 4})


def by_name(findings: Any) -> dict[str, tuple[str, str]]:
    """Verdict and text by what they are about."""
    return {finding.what: (finding.verdict, finding.text) for finding in findings}


@pytest.mark.parametrize(
    ("name", "value", "what", "verdict", "remedy"),
    [
        ("maxmemory-policy", "allkeys-lru", "redis memory", "BAD", "maxmemory-policy noeviction"),
        ("min-replicas-to-write", "1", "redis replicas", "BAD", "lower it"),
        ("appendonly", "yes", "redis file", "ok", "append-only"),
        ("save", "", "redis file", "look", "appendonly yes"),
    ],
)
def test_s4_what_redis_is_set_to_is_told(
    *, redis: RedisServer, name: str, value: str, what: str, verdict: str, remedy: str
):
    """Eviction and replicas that are asked for and not there are bad; what is kept on disk is told."""
    with redis.client as client:
        before = client.config_get(name)[name]
        client.config_set(name, value)
        try:
            found = by_name(examine_redis(redis.url))
        finally:
            client.config_set(name, before)
    assert found[what][0] == verdict
    assert remedy in found[what][1]
    assert found["redis"][0] == "ok"


def test_a_replica_and_a_server_that_is_away_are_told(redis: RedisServer):
    """A replica where the master should be is bad, and so is nobody; neither line shows a password."""
    with redis.client as client:
        client.replicaof("127.0.0.1", 9)
        try:
            assert by_name(examine_redis(redis.url))["redis"][0] == "BAD"
        finally:
            redis.promote()
    for url in ("redis://:canary@127.0.0.1:9/0", "redis://:canary@127.0.0.1:9/0?what=x", "canary"):
        (finding,) = examine_redis(url)
        assert (finding.verdict, finding.what) == ("BAD", "redis")
        assert "canary" not in finding.text


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        ("redis://127.0.0.1:6379/0", "ok"),
        ("redis://[::1]:6379/0", "ok"),
        ("unix:///run/redis.sock?db=0", "ok"),
        ("redis://:secret@redis.example.no:6379/0", "BAD"),
        ("redis+sentinel://127.0.0.1:1,10.0.0.2:2/service/0", "BAD"),
        ("rediss://redis.example.no/0?ssl_ca_certs=/ca.pem", "ok"),
        ("rediss://redis.example.no/0?ssl_cert_reqs=none", "BAD"),
        ("rediss://redis.example.no/0?ssl_check_hostname=false", "BAD"),
    ],
)
def test_what_crosses_the_network_in_clear_is_bad(url: str, verdict: str):
    """TLS is demanded beyond this host, and that the server proves its name."""
    assert _encryption_of_redis(url).verdict == verdict


class Sentinel:
    """A Sentinel that says what a test wants."""

    def __init__(self, master: str | None, *, quorum: bool = True) -> None:
        self._master, self._quorum = master, quorum

    def sentinel_get_master_addr_by_name(self, _: str) -> tuple[str, int]:
        """Where the master is."""
        if self._master is None:
            raise RedisTimeoutError
        return self._master, 6379

    def execute_command(self, *_: str) -> str:
        """Whether there are enough."""
        return "OK 3 usable" if self._quorum else "NOQUORUM"


@pytest.mark.parametrize(
    ("masters", "quorum", "verdict"),
    [
        (["a", "a", "a"], True, "ok"),
        (["a", "a", None], True, "look"),
        (["a", "b", "a"], True, "BAD"),
        (["a", None, None], False, "BAD"),
        ([None, None, None], True, "BAD"),
    ],
)
def test_s3_sentinels_are_asked_one_by_one(masters: list[str | None], quorum: bool, verdict: str):
    """Which master each names, and whether they are enough for a failover."""
    manager = type("Manager", (), {"sentinels": [Sentinel(master, quorum=quorum) for master in masters]})
    (finding,) = _sentinels(manager, "service")
    assert finding.verdict == verdict
    assert ":" in finding.text


@pytest.mark.parametrize(("apart", "verdict"), [(0.4, "ok"), (-3.0, "look"), (13.0, "BAD"), (-13.0, "BAD")])
def test_d9_clocks_are_compared(apart: float, verdict: str):
    """Two seconds are nothing, twelve stop the settling."""
    assert compare_clocks("redis clock", apart).verdict == verdict


def examined(url: str, settings: Settings) -> dict[str, tuple[str, str]]:
    """The findings about a database."""
    return by_name(examine_database(settings, url))


def test_u1_the_role_of_the_service_changes_no_audit(postgres: Postgres, settings: Settings):
    """The owner may too much, which somebody should know; the role of the page may add, and nothing else."""
    url = postgres.migrated_database(SERVICE_ROLE)
    assert examined(url, settings)["database role"][0] == "ok"
    assert examined(url.replace(SERVICE_ROLE, "tillit", 1), settings)["database role"][0] == "look"
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in ("UPDATE journal SET public = ''", "DELETE FROM journal", "TRUNCATE journal",
                          "UPDATE tillit_schema SET floor = 0", "DROP TABLE record", "DELETE FROM settled"):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


@pytest.mark.parametrize(
    ("statement", "what", "verdict", "remedy"),
    [
        ("REVOKE INSERT ON journal FROM tillit_service", "database role", "BAD", "INSERT ON journal: GRANT"),
        ("UPDATE tillit_migration SET version_num = '0000'", "database schema", "BAD", "tillit migrate up"),
        ("UPDATE tillit_schema SET floor = 99", "database schema", "BAD", "newer release"),
        (
            "ALTER DATABASE {} SET synchronous_commit = off",
            "database durability",
            "BAD",
            "synchronous_commit = on",
        ),
    ],
)
def test_what_is_amiss_in_the_database_is_told(
    *, postgres: Postgres, settings: Settings, statement: str, what: str, verdict: str, remedy: str
):
    """A right that is missing, a schema of another release, a commit that waits for nothing: named, with its remedy."""
    url = postgres.migrated_database(SERVICE_ROLE)
    name = url.partition("@/")[2].partition("?")[0]
    postgres.command(statement.format(name), name)
    found = examined(url, settings)
    assert found[what][0] == verdict
    assert remedy in found[what][1]


def test_a_standby_that_no_commit_waits_for_is_told(postgres: Postgres, settings: Settings):
    """One that may take over without the last revocations, and one that commits wait for in vain; then all is well."""
    url = postgres.migrated_database(SERVICE_ROLE)

    def standbys() -> str:
        return examined(url, settings)["database standbys"][0]

    assert standbys() == "ok"
    with psycopg.connect(as_owner(url) + "&replication=true", autocommit=True) as standby:
        standby.execute("IDENTIFY_SYSTEM")
        assert standbys() == "look"
    assert eventually(lambda: standbys() == "ok")
    postgres.command("ALTER SYSTEM SET synchronous_standby_names = 'one'")
    try:
        postgres.command("SELECT pg_reload_conf()")
        assert eventually(lambda: standbys() == "BAD")
    finally:
        postgres.command("ALTER SYSTEM RESET synchronous_standby_names")
        postgres.command("SELECT pg_reload_conf()")
    assert eventually(lambda: standbys() == "ok")


def test_a_pooler_is_told(postgres: Postgres, settings: Settings):
    """The process id that a session was greeted with is not the one that serves it."""
    url = postgres.migrated_database(SERVICE_ROLE)
    assert examined(url, settings)["database session"][0] == "ok"
    with psycopg.connect(url) as connection:
        pooled = SimpleNamespace(info=SimpleNamespace(backend_pid=1), execute=connection.execute)
        finding = _session(pooled)
    assert finding.verdict == "look"
    assert "pool sessions" in finding.text


def test_room_for_connections_is_counted(postgres: Postgres, tmp_path: Path):
    """Workers, times their connections, times hosts: enough for several, for one, or too few."""
    url = postgres.migrated_database(SERVICE_ROLE)
    for connections, verdict in ((4, "ok"), (30, "look"), (100, "BAD")):
        flags = {"dev": True, "data": tmp_path, "workers": 4, "storage_connections": connections}
        assert examined(url, load_settings(flags=flags))["database connections"][0] == verdict


def test_a_database_that_cannot_be_reached_is_one_line(settings: Settings):
    """No address and no password is shown."""
    (finding,) = examine_database(settings, "postgresql://canary:canary@127.0.0.1:9/canary")
    assert isinstance(finding, Finding)
    assert (finding.verdict, "canary" in finding.text) == ("BAD", False)


def test_s1_the_user_of_redis_reaches_nothing_else(redis: RedisServer):
    """The user of the page can flush nothing, set nothing up, and neither read nor write what others keep."""
    import redis as library

    redis.restrict()
    commands: list[Any] = [
        lambda client: client.flushall(),
        lambda client: client.config_set("maxmemory-policy", "allkeys-lru"),
        lambda client: client.get("other:key"),
        lambda client: client.set("other:key", "1"),
        lambda client: client.eval("return redis.call('GET', KEYS[1])", 1, "other:key"),
        lambda client: client.eval("return redis.call('FLUSHALL')", 0),
        lambda client: client.keys("*"),
        lambda client: client.delete("tillit:x"),
        lambda client: client.shutdown(),
    ]
    with library.Redis.from_url(redis.url, protocol=2) as client:
        assert client.set("tillit:x", "1")
        for command in commands:
            with pytest.raises(library.exceptions.ResponseError):
                command(client)
