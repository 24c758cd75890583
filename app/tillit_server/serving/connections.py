"""Connections whose request never ends are closed, so that they do not hold a thread for ever (threat X4).

The server itself limits how long headers may take and how long a connection may lie idle; for a body it knows
no limit, and does not tell us which connection a request came by. The kernel knows: on a connection with
neither headers to wait for nor an answer to give, an answer went out lately. One that has been sent nothing
for longer than all those limits together is one whose body does not come, or comes a byte at a time.
"""

import contextlib
import socket
import struct
from collections.abc import Callable
from pathlib import Path

STUCK_SECONDS = 8.0
"""More than headers (5 s) or an idle connection (5 s) are given, and than any answer takes."""

_DESCRIPTORS = Path("/proc/self/fd")
_TCP_INFO = getattr(socket, "TCP_INFO", None)
_INFO_BYTES = 104
_ESTABLISHED = 1
_LAST_DATA_SENT = 44  # struct tcp_info of Linux: eight bytes, then the tenth number; milliseconds


def close_stuck(port: int, *, after: float = STUCK_SECONDS) -> int:
    """Close this process's connections to ``port`` that have been sent nothing for ``after`` seconds.

    Returns how many. Only on Linux; elsewhere nothing is done.
    """

    def shut(connection: socket.socket) -> bool:
        stuck = _silent_ms(connection) > after * 1000
        if stuck:
            connection.shutdown(socket.SHUT_RDWR)
        return stuck

    return _count(port, shut)


def count_open(port: int) -> int:
    """How many connections to ``port`` this process holds; 0 where nobody can tell."""
    return _count(port, lambda connection: _silent_ms(connection) >= 0)


def _count(port: int, what: Callable[[socket.socket], bool]) -> int:
    """Of how many of this process's connections to ``port`` ``what`` is true."""
    if _TCP_INFO is None or not _DESCRIPTORS.is_dir():
        return 0
    return sum(_holds(entry, port, what) for entry in tuple(_DESCRIPTORS.iterdir()))


def _holds(entry: Path, port: int, what: Callable[[socket.socket], bool]) -> bool:
    with contextlib.suppress(OSError):
        # Never a file: a copy of SQLite's descriptor, closed again, would drop its locks.
        if str(entry.readlink()).startswith("socket:"):
            connection = socket.socket(fileno=int(entry.name))
            try:
                inet = connection.family in {socket.AF_INET, socket.AF_INET6}
                return inet and connection.getsockname()[1] == port and what(connection)
            finally:
                connection.detach()
    return False


def _silent_ms(connection: socket.socket) -> int:
    """For how many milliseconds it has been sent nothing; -1 when it is not an established connection."""
    info = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO or 0, _INFO_BYTES)
    (silent_ms,) = struct.unpack_from("=I", info, _LAST_DATA_SENT)
    return int(silent_ms) if info[0] == _ESTABLISHED else -1
