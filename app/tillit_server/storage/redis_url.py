"""What a URL of the shared store means: one server, or the master that Sentinels know."""

from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from tillit_server.storage.ports import StorageRefused

_CONNECTING = 0.6
_ASKING_A_SENTINEL = 0.3
"""Parts of the time that a caller has, for each step; a Sentinel that is away has others beside it."""

_NO_CLUSTER = (
    "Redis Cluster is not supported: what a request spends is one act, and its keys lie in different slots"
)


def connections_to(url: str, connections: int, timeout: float = 0.8) -> ConnectionPool:
    """Connections to the server at `url`, made when they are needed; `timeout` as in `Link`.

    Raises `StorageRefused`, `ValueError`, `OSError` or `RedisError` for a URL that cannot be used. Texts of
    the last three may hold the password.
    """
    scheme = url.partition("://")[0]
    if "cluster" in scheme:
        raise StorageRefused(_NO_CLUSTER, "Use one server, or Sentinel")
    settings: dict[str, Any] = {
        "protocol": 2,
        "socket_connect_timeout": _CONNECTING * timeout,
        "socket_timeout": _CONNECTING * timeout,
        "driver_info": None,  # to say which library this is would take two round trips more
        "retry": Retry(NoBackoff(), 0),
    }
    if scheme != "unix":
        settings["socket_keepalive"] = True
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    if file := options.pop("password_file", None):
        settings["password"] = Path(file).read_text("utf-8").strip()
    if scheme in {"redis+sentinel", "rediss+sentinel"}:
        return _watched(parts, options, connections, timeout, settings)
    address = url.partition("?")[0]
    pool = ConnectionPool.from_url(f"{address}?{urlencode(options)}", max_connections=connections, **settings)
    try:
        # An option that nobody knows would be found by the first request.
        pool.connection_class(**pool.connection_kwargs)
    except TypeError as error:
        raise ValueError("unknown option") from error
    return pool


def _watched(
    parts: SplitResult, options: dict[str, str], connections: int, timeout: float, settings: dict[str, Any]
) -> ConnectionPool:
    """`redis+sentinel://[user:password@]host:port,…/service[/database][?sentinel_password=…&ssl_ca_certs=…]`."""
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = (unquote(part) for part in credentials.partition(":"))
    service, _, database = parts.path.strip("/").partition("/")
    if not service or not hosts:
        raise ValueError("hosts and the name of the service needed")
    named = [(name, f"sentinel_{name}") for name in ("username", "password")]
    watchers = {name: options.pop(option) for name, option in named if option in options}
    encrypted = {"ssl": True, **options} if parts.scheme.startswith("rediss") else {}
    if options and not encrypted:
        raise ValueError("unknown option")
    addresses = [_address(host) for host in hosts.split(",")]
    of_redis = settings.pop("password", None) or password or None
    common = {**settings, **encrypted}
    brief = {"socket_connect_timeout": _ASKING_A_SENTINEL * timeout}
    sentinel = Sentinel(addresses, sentinel_kwargs={**common, **watchers, **brief})
    return SentinelConnectionPool(
        service,
        sentinel,
        max_connections=connections,
        db=int(database or 0),
        username=user or None,
        password=of_redis,
        **common,
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host:
        host, port = text, "26379"
    return host.strip("[]"), int(port)
