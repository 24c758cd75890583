"""What ``tillit doctor`` finds about the PostgreSQL server."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import psycopg

from tillit_server.cli.doctor_servers import compare_clocks
from tillit_server.settings_values import is_loopback
from tillit_server.signing.doctor import Finding
from tillit_server.storage.sql_schema import SCHEMA, UP

if TYPE_CHECKING:
    from tillit_server.config import Settings

_OLDEST: Final = 14
_CONNECT_SECONDS: Final = 3
_SPARE: Final = 5

_SWITCHES: Final = {
    "fsync": "what it acknowledges may be gone after a power cut",
    "full_page_writes": "a power cut may leave pages half written",
    "synchronous_commit": "this service waits for its commits all the same, whatever else writes does not",
}
_RIGHTS: Final = {
    "record": "SELECT INSERT UPDATE DELETE",
    "removed": "SELECT INSERT UPDATE",
    "settled": "SELECT INSERT UPDATE",
    "journal": "SELECT INSERT",
    "label": "SELECT INSERT DELETE",
    "tillit_schema": "SELECT",
    "tillit_migration": "SELECT",
}
"""What the service does with each table (docs/operating.md)."""
TOO_MUCH: Final = "UPDATE DELETE TRUNCATE"
"""What nobody may do with the journal but its owner."""


def examine_database(settings: "Settings", url: str) -> Iterator[Finding]:
    """The findings; of a server that cannot be reached, that."""
    try:
        connection = psycopg.connect(url, connect_timeout=_CONNECT_SECONDS, autocommit=True)
    except psycopg.Error as error:
        text = f"cannot be reached ({type(error).__name__})"
        remedy = "look at storage_url, the server, its pg_hba.conf and the certificates"
        yield Finding("BAD", "database", f"{text}: {remedy}")
        return
    with closing(connection):
        version = connection.info.server_version // 10_000
        standby = _value(connection, "SELECT pg_is_in_recovery()")
        if version < _OLDEST:
            yield Finding("BAD", "database", f"PostgreSQL {version}: use {_OLDEST} or later")
        elif standby:
            text = "is a standby: name the primary, or all and target_session_attrs=read-write"
            yield Finding("BAD", "database", text)
        else:
            yield Finding("ok", "database", f"PostgreSQL {version}, the primary")
        yield _encryption_of_database(connection)
        yield _session(connection)
        yield from _durability(connection)
        yield _standbys(connection)
        yield from _schema_and_role(connection)
        yield _connections(connection, settings)
        begun = time.time()
        now = float(_value(connection, "SELECT extract(epoch FROM clock_timestamp())"))
        yield compare_clocks("database clock", now - (begun + time.time()) / 2)


def _value(connection: Any, query: str, values: Sequence[Any] = ()) -> Any:
    return connection.execute(query, values).fetchone()[0]


def _encryption_of_database(connection: Any) -> Finding:
    asked = connection.info.get_parameters().get("sslmode", "prefer")
    host = connection.info.host
    if connection.pgconn.ssl_in_use and asked == "verify-full":
        return Finding("ok", "database TLS", "encrypted, and the server proved its name")
    if host.startswith("/") or is_loopback(host):
        return Finding("ok", "database TLS", "not needed: the server is on this host")
    if connection.pgconn.ssl_in_use:
        text = f"encrypted, and anybody may be the server (sslmode={asked}): sslmode=verify-full"
        return Finding("BAD", "database TLS", text)
    return Finding("BAD", "database TLS", "in clear over the network: sslmode=verify-full&sslrootcert=FILE")


def _session(connection: Any) -> Finding:
    # A pooler tells a process id of its own making, and statements of one session may go to several.
    if connection.info.backend_pid == _value(connection, "SELECT pg_backend_pid()"):
        return Finding("ok", "database session", "this one is a session of the server's, which locks need")
    text = "through a pooler: each worker's locks need a session of its own, so let it pool sessions"
    return Finding("look", "database session", f"{text}, not transactions, or name the server itself")


def _durability(connection: Any) -> Iterator[Finding]:
    off = [name for name in _SWITCHES if _value(connection, "SELECT current_setting(%s)", [name]) == "off"]
    for name in off:
        yield Finding("BAD", "database durability", f"{name} is off, {_SWITCHES[name]}: {name} = on")
    if not off:
        yield Finding("ok", "database durability", "a commit is on disk when it is acknowledged")


def _standbys(connection: Any) -> Finding:
    count = _value(connection, "SELECT count(*) FROM pg_stat_replication")
    waited_for = _value(connection, "SELECT current_setting('synchronous_standby_names')")
    if count and not waited_for:
        text = (
            f"{count} connected, and no commit waits for any: one that takes over may not know of revocations"
        )
        return Finding("look", "database standbys", f"{text}: set synchronous_standby_names, or promote none")
    if waited_for and not count:
        text = "none is connected, and commits wait for one: start it, or empty synchronous_standby_names"
        return Finding("BAD", "database standbys", text)
    return Finding("ok", "database standbys", "commits wait for them" if count else "none is connected")


def _schema_and_role(connection: Any) -> Iterator[Finding]:
    if _value(connection, "SELECT to_regclass('tillit_migration')") is None:
        yield Finding("BAD", "database schema", f"has no tables of ours that this role sees. {UP}")
        return
    missing = [
        f"{right} ON {table}"
        for table, rights in _RIGHTS.items()
        for right in rights.split()
        if not _value(connection, "SELECT has_table_privilege(%s, %s)", [table, right])
    ]
    if missing:
        text = f"this role lacks {', '.join(missing)}: GRANT them, see docs/operating.md"
        yield Finding("BAD", "database role", text)
        return
    schema = int(_value(connection, "SELECT version_num FROM tillit_migration"))
    floor = int(_value(connection, "SELECT floor FROM tillit_schema"))
    if schema >= SCHEMA >= floor:
        yield Finding("ok", "database schema", f"{schema}, for releases from schema {floor}")
    else:
        remedy = UP if schema < SCHEMA else "Start the newer release"
        yield Finding("BAD", "database schema", f"{schema}, this release knows {SCHEMA}. {remedy}")
    could = [
        right
        for right in TOO_MUCH.split()
        if _value(connection, "SELECT has_table_privilege('journal', %s)", [right])
    ]
    if could:
        text = f"may {', '.join(could)} the audit's table: let the service log in as a role with less"
        yield Finding("look", "database role", f"{text}, see docs/operating.md")
    else:
        yield Finding("ok", "database role", "may add to the audit and change nothing in it")


def _connections(connection: Any, settings: "Settings") -> Finding:
    reserved = "SELECT current_setting('superuser_reserved_connections')"
    most = int(_value(connection, "SELECT current_setting('max_connections')"))
    room = most - int(_value(connection, reserved)) - _SPARE
    needed = settings.workers * (settings.storage_connections + 1)
    hosts = room // needed
    sums = f"max_connections {most}; a host needs {needed} ({settings.workers} workers)"
    if hosts < 1:
        text = f"{sums}: raise max_connections, or lower storage_connections"
        return Finding("BAD", "database connections", text)
    many = f"{sums}: enough for {hosts} hosts"
    return Finding("ok" if hosts > 1 else "look", "database connections", many)
