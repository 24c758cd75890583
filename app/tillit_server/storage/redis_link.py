"""The way to the Redis server: few connections, short waits, and nobody waits in line for a dead server."""

import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha1
from importlib.resources import files
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError, RedisError, ResponseError

from tillit_server.storage.ports import StorageRefused, StorageUnavailable
from tillit_server.storage.redis_url import connections_to

Value = str | bytes | int | float

_IN_LINE = 0.4
_CONNECTING = 0.3
_LOOKING = 0.6
_SLOW = 0.2
_ACKNOWLEDGING = 0.55
_SLOW_ANSWERS = 4
_PAUSE = 0.1
_ERROR = re.compile(r"\b(OOM|READONLY|MISCONF|NOREPLICAS|NOPERM|CROSSSLOT|MASTERDOWN|BUSY|NOSCRIPT)\b")


class Script:
    """A script of this package, with the common beginning before it."""

    def __init__(self, name: str) -> None:
        lua = files("tillit_server.storage") / "lua"
        self.name = name
        self.text = "\n".join((lua / f"{part}.lua").read_text("utf-8") for part in ("standing", name))
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class Reply(NamedTuple):
    """What a script has answered. `time` and `lead` are the server's, `values` what a look has found."""

    status: str
    time: float
    replicated: bool
    lead: float
    words: tuple[str, ...]
    values: Sequence[bytes | None]

    @classmethod
    def read(cls, found: bytes | list[bytes | None]) -> "Reply":
        """From the answer as it came: a text, or a list that begins with it."""
        head, *values = found if isinstance(found, list) else [found]
        status, time, replicated, lead, *words = (head or b"").decode("ascii").split("|")
        return cls(status, float(time), replicated == "1", float(lead), tuple(words), values)


class Link:
    """Asks the server at `url`, or the one that its Sentinels call the master.

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

        Whoever has used up too much of it before asking does not ask: an answer that comes too late costs the
        connection, and the ids that are spent with it.
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
        # A place is the right to one connection. The library's pool makes them, and knows whether they still
        # lead to the master; if it handed them out too, that would be a quarter of what a settlement costs.
        # The last one back is the next one out: it is the one that is surely connected.
        self._idle: list[Any] = []
        self._places: SimpleQueue[None] = SimpleQueue()
        for _ in range(connections):
            self._give_back(self._pool.make_connection())
        self._timeout = timeout
        self._acknowledging = int(_ACKNOWLEDGING * timeout * 1000)
        self._steady = steady
        self._mutex = threading.Lock()
        self._away = ""
        self._next_try = 0.0
        self._closed = False
        self._replicated = False
        self._slow_answers = 0

    @property
    def slow(self) -> bool:
        """Whether a request has no time to ask twice: the last few answers all took a fifth of it or more."""
        return self._slow_answers >= _SLOW_ANSWERS

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Value]) -> Reply:
        """The answer of a script. Raises `StorageUnavailable`, also when no replica acknowledges."""
        reply: Reply = self._with_connection(
            lambda connection, deadline: self._ask(connection, deadline, script, keys, arguments),
            self._timeout,
        )
        return reply

    def values(self, keys: Sequence[str]) -> list[bytes | None]:
        """What lies there, whoever this server is. Raises `StorageUnavailable`."""
        values: list[bytes | None] = self._with_connection(
            lambda connection, deadline: self._send(connection, deadline, [("MGET", *keys)])[0],
            _LOOKING * self._timeout,
        )
        return values

    def forget_connections(self) -> None:
        """Connect anew, to whoever is the master now."""
        idle: list[Any] = []
        with suppress(Empty):
            while True:
                self._places.get_nowait()
                idle.append(self._idle.pop())
        for connection in idle:
            connection.disconnect()
            self._give_back(connection)

    def close(self) -> None:
        """Let go of the connections."""
        self._closed = True
        self.forget_connections()

    def _with_connection(self, use: Callable[[Any, float], Any], seconds: float) -> Any:
        begun = self._steady()
        self._enter()
        try:
            self._places.get_nowait()
        except Empty:
            self._wait_in_line()
        connection = self._idle.pop()
        try:
            self._connect(connection, begun)
            asked = self._steady()
            answer = use(connection, begun + seconds)
        except ResponseError as error:
            raise StorageUnavailable(f"the Redis server refused: {_named(error)}") from error
        except (RedisError, OSError) as error:
            connection.disconnect()
            self._fell_silent(error)
            raise StorageUnavailable(f"the Redis server is away: {type(error).__name__}") from error
        except StorageUnavailable:
            raise
        except BaseException:
            connection.disconnect()
            raise
        finally:
            self._give_back(connection)
        self._away = ""
        took = self._steady() - asked
        self._slow_answers = 0 if took < _SLOW * self._timeout else self._slow_answers + 1
        return answer

    def _connect(self, connection: Any, begun: float) -> None:
        if connection.pid != os.getpid():
            # Of our parent, who goes on with it.
            connection.disconnect()
            connection.pid = self._pool.pid = os.getpid()
        if connection.is_connected and (not self._pool.owns_connection(connection) or _stale(connection)):
            connection.disconnect()
        if connection.is_connected:
            return
        # Sending alone would connect too, but without asking the Sentinels where.
        connection.connect()
        if self._steady() - begun > _CONNECTING * self._timeout:
            self._next_try = 0.0
            raise StorageUnavailable("the Redis server is slow: connected, for the next who asks")

    def _give_back(self, connection: Any) -> None:
        self._idle.append(connection)
        self._places.put(None)

    def _wait_in_line(self) -> None:
        try:
            self._places.get(timeout=(_SLOW if self.slow else _IN_LINE) * self._timeout)
        except Empty:
            raise StorageUnavailable("too many requests wait for the Redis server") from None
        try:
            # Those before us may have found it away.
            self._enter()
        except StorageUnavailable:
            self._places.put(None)
            raise

    def _ask(
        self,
        connection: Any,
        deadline: float,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[Value],
    ) -> Reply:
        waits = script.name == "spend" and self._replicated
        parameters = (len(keys), *keys, *arguments)
        commands: list[tuple[Value, ...]] = [("EVALSHA", script.sha, *parameters)]
        if waits:
            commands.append(("WAIT", 1, self._acknowledging))
        try:
            found, acknowledged = self._send(connection, deadline, commands)
        except NoScriptError:
            commands[0] = ("EVAL", script.text, *parameters)
            found, acknowledged = self._send(connection, deadline, commands)
        reply = Reply.read(found)
        self._replicated = reply.replicated
        if reply.status == "replica":
            # Sentinel knows by now who is not.
            connection.disconnect()
        if reply.status == "done" and self._replicated:
            if not waits:
                acknowledged, _ = self._send(connection, deadline, [("WAIT", 1, self._acknowledging)])
            if not acknowledged:
                # This may be the wrong side of a split; Sentinel knows.
                connection.disconnect()
                raise StorageUnavailable("no replica of the Redis server acknowledged in time")
        return reply

    def _send(
        self, connection: Any, deadline: float, commands: Sequence[tuple[Value, ...]]
    ) -> tuple[Any, Any]:
        """The answers to one or two commands that go out together; raises the first that is an error."""
        connection.send_packed_command(connection.pack_commands(commands))
        answers: list[Any] = []
        for _ in commands:
            try:
                answers.append(connection.read_response(timeout=max(0.0, deadline - self._steady())))
            except ResponseError as error:
                answers.append(error)
        if isinstance(answers[0], ResponseError):
            raise answers[0]
        return answers[0], answers[1] if len(answers) > 1 else None

    def _enter(self) -> None:
        if self._closed:
            raise StorageUnavailable("the store is closed")
        if not self._away:
            return
        with self._mutex:
            if self._away and self._steady() < self._next_try:
                raise StorageUnavailable(f"the Redis server is away: {self._away}")
            self._next_try = self._steady() + self._timeout

    def _fell_silent(self, error: Exception) -> None:
        with self._mutex:
            self._away = type(error).__name__
            self._next_try = self._steady() + _PAUSE


def _stale(connection: Any) -> bool:
    """Whether something came unasked: the word, or the sign, that the server is gone."""
    try:
        return bool(connection.can_read())
    except (RedisError, OSError):
        return True


def _named(error: Exception) -> str:
    """The word by which Redis names an error; what stands around it may quote keys."""
    found = _ERROR.search(str(error))
    return found[0] if found else type(error).__name__
