"""The way to the Redis server: few connections, short waits, and nobody waits in line for a dead server."""

import re
import threading
import time
from collections.abc import Callable, Sequence
from hashlib import sha1
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.exceptions import (
    NoScriptError,
    RedisError,
    ResponseError,
)
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from tillit_server.storage.ports import StorageRefused, StorageUnavailable

Value = str | bytes | int | float

_CONNECTING = 0.3
_ANSWERING = 0.6
"""Of the time that a caller has; the rest is for waiting in line."""
_ACKNOWLEDGING = 300  # milliseconds
_PAUSE = 0.1
_ERROR = re.compile(r"\b(OOM|READONLY|MISCONF|NOREPLICAS|NOPERM|CROSSSLOT|MASTERDOWN|BUSY|NOSCRIPT)\b")
_NO_CLUSTER = (
    "Redis Cluster is not supported: what a request spends is one act, and its keys lie in different slots"
)


class Script:
    """A script of this package, with the common beginning before it."""

    def __init__(self, name: str) -> None:
        lua = files("tillit_server.storage") / "lua"
        self.name = name
        self.text = "\n".join((lua / f"{part}.lua").read_text("utf-8") for part in ("standing", name))
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class Link:
    """Runs scripts on the server at `url`, or on the one that its Sentinels call the master.

    At most `connections` requests use it at the same moment, so that a server that hangs cannot hold every
    thread of a worker; while it is away one request in a while tries, and all others hear so at once.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = 12,
        timeout: float = 0.8,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connects to nobody yet. `timeout`: seconds until a caller hears 503, waiting in line included.

        Raises `StorageRefused` for a URL that cannot be used.
        """
        try:
            self._pool = connections_to(url, connections, timeout)
        except (ValueError, OSError, RedisError) as error:
            # The text of the error could hold the password.
            raise StorageRefused(
                "the URL of the shared store cannot be used",
                "Write redis://host:6379/0, rediss://…, unix:///path?db=0 or redis+sentinel://host:26379,…/name/0",
            ) from error
        self._places = threading.BoundedSemaphore(connections)
        self._answering = _ANSWERING * timeout
        self._in_line = timeout - self._answering
        self._steady = steady
        self._mutex = threading.Lock()
        self._away = ""
        self._next_try = 0.0
        self._closed = False
        self._replicated = False

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Value]) -> list[Any]:
        """The answer of a script. Raises `StorageUnavailable`, also when no replica acknowledges."""
        self._enter()
        self._take_a_place()
        connection: Any = None
        try:
            connection = self._pool.get_connection()
            reply = self._ask(connection, script, keys, arguments)
        except ResponseError as error:
            raise StorageUnavailable(f"the Redis server refused: {_named(error)}") from error
        except (RedisError, OSError) as error:
            self._fell_silent(connection, error)
            raise StorageUnavailable(f"the Redis server is away: {type(error).__name__}") from error
        finally:
            if connection is not None:
                self._pool.release(connection)
            self._places.release()
        self._away = ""
        return reply

    def _ask(
        self, connection: Any, script: Script, keys: Sequence[str], arguments: Sequence[Value]
    ) -> list[Any]:
        waits = script.name == "spend" and self._replicated
        parameters = (len(keys), *keys, *arguments)
        commands: list[tuple[Value, ...]] = [("EVALSHA", script.sha, *parameters)]
        if waits:
            commands.append(("WAIT", 1, _ACKNOWLEDGING))
        try:
            reply, acknowledged = _send(connection, commands)
        except NoScriptError:
            commands[0] = ("EVAL", script.text, *parameters)
            reply, acknowledged = _send(connection, commands)
        self._replicated = reply[2] == b"1"
        if reply[0] == b"replica":
            # Sentinel knows by now who is not.
            connection.disconnect()
        if reply[0] == b"done" and self._replicated:
            if not waits:
                acknowledged, _ = _send(connection, [("WAIT", 1, _ACKNOWLEDGING)])
            if not acknowledged:
                raise StorageUnavailable("no replica of the Redis server acknowledged in time")
        answer: list[Any] = reply
        return answer

    def forget_connections(self) -> None:
        """Connect anew, to whoever is the master now."""
        self._pool.disconnect(inuse_connections=False)

    def close(self) -> None:
        """Let go of the connections."""
        self._closed = True
        self.forget_connections()

    def _enter(self) -> None:
        if self._closed:
            raise StorageUnavailable("the store is closed")
        if not self._away:
            return
        with self._mutex:
            if self._away and self._steady() < self._next_try:
                raise StorageUnavailable(f"the Redis server is away: {self._away}")
            self._next_try = self._steady() + self._answering

    def _take_a_place(self) -> None:
        if self._places.acquire(blocking=False):
            return
        if not self._places.acquire(timeout=self._in_line):
            raise StorageUnavailable("too many requests wait for the Redis server")
        try:
            # Those before us may have found it away.
            self._enter()
        except StorageUnavailable:
            self._places.release()
            raise

    def _fell_silent(self, connection: Any, error: Exception) -> None:
        if connection is not None:
            connection.disconnect()
        with self._mutex:
            self._away = type(error).__name__
            self._next_try = self._steady() + _PAUSE


def _named(error: Exception) -> str:
    """The word by which Redis names an error; what stands around it may quote keys."""
    found = _ERROR.search(str(error))
    return found[0] if found else type(error).__name__


def _send(connection: Any, commands: Sequence[tuple[Value, ...]]) -> tuple[Any, Any]:
    """The answers to one or two commands that go out together; raises the first that is an error."""
    connection.send_packed_command(connection.pack_commands(commands))
    answers: list[Any] = []
    for _ in commands:
        try:
            answers.append(connection.read_response())
        except ResponseError as error:
            answers.append(error)
    if isinstance(answers[0], ResponseError):
        raise answers[0]
    return answers[0], answers[1] if len(answers) > 1 else None


def connections_to(url: str, connections: int, timeout: float = 0.8) -> ConnectionPool:
    """Connections to the server at `url`, made when they are needed; `timeout` as in `Link`.

    Raises `StorageRefused`, `ValueError`, `OSError` or `RedisError` for a URL that cannot be used.
    """
    scheme = url.partition("://")[0]
    if "cluster" in scheme:
        raise StorageRefused(_NO_CLUSTER, "Use one server, or Sentinel")
    settings: dict[str, Any] = {
        "protocol": 2,
        "socket_connect_timeout": _CONNECTING * timeout,
        "socket_timeout": _ANSWERING * timeout,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
    }
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    if file := options.pop("password_file", None):
        settings["password"] = Path(file).read_text("utf-8").strip()
    if scheme in {"redis+sentinel", "rediss+sentinel"}:
        return _watched(parts, options, connections, settings)
    address = url.partition("?")[0]
    return ConnectionPool.from_url(f"{address}?{urlencode(options)}", max_connections=connections, **settings)


def _watched(
    parts: SplitResult, options: dict[str, str], connections: int, settings: dict[str, Any]
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
    sentinel = Sentinel(addresses, sentinel_kwargs={**common, **watchers})
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
