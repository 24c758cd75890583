"""What ``tillit doctor`` finds about the Redis server and its Sentinels."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from tillit_server.cli.doctor_servers import compare_clocks
from tillit_server.settings_values import is_loopback
from tillit_server.signing.doctor import Finding
from tillit_server.storage.ports import StorageRefused
from tillit_server.storage.redis_fence import POLICY
from tillit_server.storage.redis_url import connections_to

_OLDEST: Final = (6, 2)


def examine_redis(url: str) -> Iterator[Finding]:
    """The findings; of a server that cannot be asked, that."""
    try:
        pool = connections_to(url, 1)
    except (StorageRefused, ValueError, OSError, RedisError):
        yield Finding("BAD", "redis", "storage_shared_url cannot be used: see docs/redis.md")
        return
    if manager := getattr(pool, "sentinel_manager", None):
        yield from _sentinels(manager, str(getattr(pool, "service_name", "")))
    client = Redis(connection_pool=pool)
    try:
        with closing(client):
            begun = time.time()
            seconds, microseconds = client.time()
            apart = seconds + microseconds / 1e6 - (begun + time.time()) / 2
            info = client.info()
            wanted = _configured(client, "min-replicas-to-write")
            saves = _configured(client, "save")
    except RedisError as error:
        text = f"cannot be asked ({type(error).__name__}): look at the URL, the password, the user's rights"
        yield Finding("BAD", "redis", text)
        return
    yield _version_of_redis(info)
    yield _encryption_of_redis(url)
    if info["maxmemory_policy"] == POLICY:
        yield Finding("ok", "redis memory", f"{POLICY}: what is spent stays")
    else:
        text = f"may evict what is spent ({info['maxmemory_policy']}): maxmemory-policy {POLICY}"
        yield Finding("BAD", "redis memory", text)
    yield _persistence(info, saves)
    yield _replicas(info, wanted)
    yield compare_clocks("redis clock", apart)


def _configured(client: Any, name: str) -> str | None:
    """A value of its configuration; None where we may not read it, which is usual."""
    try:
        found = client.config_get(name).get(name)
    except ResponseError:
        return None
    return str(found)


def _version_of_redis(info: dict[str, Any]) -> Finding:
    version = str(info["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        return Finding("BAD", "redis", f"Redis {version}: use 6.2 or later")
    if info["role"] != "master":
        return Finding("BAD", "redis", "is a replica: name the master, or its Sentinels")
    return Finding("ok", "redis", f"Redis {version}, the master")


def _encryption_of_redis(url: str) -> Finding:
    scheme, options = url.partition("://")[0], urlsplit(url).query.lower()
    if scheme.startswith("rediss"):
        if "ssl_cert_reqs" not in options and "ssl_check_hostname" not in options:
            return Finding("ok", "redis TLS", "encrypted, and the server proved its name")
        text = "encrypted, and anybody may be the server: no ssl_cert_reqs and ssl_check_hostname in the URL"
        return Finding("BAD", "redis TLS", text)
    hosts = urlsplit(url).netloc.rpartition("@")[2].split(",")
    names = [host if host.endswith("]") else host.rpartition(":")[0] or host for host in hosts]
    if scheme == "unix" or all(is_loopback(name.strip("[]")) for name in names):
        return Finding("ok", "redis TLS", "not needed: the server is on this host")
    return Finding("BAD", "redis TLS", "in clear over the network, the password too: rediss:// in its place")


def _persistence(info: dict[str, Any], saves: str | None) -> Finding:
    if info["aof_enabled"]:
        return Finding("ok", "redis file", "keeps an append-only file")
    what = "nothing on disk" if saves == "" else "no append-only file"
    text = f"{what}: a restart ends sessions and logins under way (nothing worse); appendonly yes"
    return Finding("look", "redis file", text)


def _replicas(info: dict[str, Any], wanted: str | None) -> Finding:
    here, least = int(info["connected_slaves"]), int(wanted or 0)
    if least > here:
        text = f"{here}, and min-replicas-to-write {least}: it refuses every write"
        return Finding("BAD", "redis replicas", f"{text}; bring one back, or lower it")
    if not here:
        text = "none: with this server everything stops until it is back; add one, and three Sentinels"
        return Finding("look", "redis replicas", text)
    shown = "not to be read by this user" if wanted is None else str(least)
    return Finding("ok", "redis replicas", f"{here}; min-replicas-to-write: {shown}")


def _sentinels(manager: Any, service: str) -> Iterator[Finding]:
    said: list[str] = []
    quorum = False
    for sentinel in manager.sentinels:
        try:
            host, port = sentinel.sentinel_get_master_addr_by_name(service)
            said.append(f"{host}:{port}")
            quorum = quorum or str(sentinel.execute_command("SENTINEL", "CKQUORUM", service)).startswith("OK")
        except (RedisError, TypeError):
            continue
    asked = len(manager.sentinels)
    reached = f"{len(said)} of {asked} Sentinels answer"
    if len(set(said)) > 1:
        named = " and ".join(sorted(set(said)))
        yield Finding("BAD", "sentinel", f"{reached} and name {named}: mend the network")
    elif not said:
        text = f"{reached} for {service}: look at the URL, the name and the Sentinels"
        yield Finding("BAD", "sentinel", text)
    elif not quorum:
        yield Finding("BAD", "sentinel", f"{reached}, too few for a failover: bring the others back")
    elif len(said) < asked:
        yield Finding("look", "sentinel", f"{reached}; the master is {said[0]}: bring the others back")
    else:
        yield Finding("ok", "sentinel", f"{reached}, enough for a failover; the master is {said[0]}")
