"""A wire between two network interfaces on which every frame takes a while. Usage: slow_wire.py ONE OTHER SECONDS."""

import select
import socket
import sys
import time
from collections import deque

_SOL_PACKET, _IGNORE_OUTGOING, _OFFLOADS = 263, 23, 15
_EVERYTHING = 3
_LONGEST = 80_000


def opened(interface: str) -> socket.socket:
    """Gives and takes frames as they are, with what the kernel has left to do for them (checksums, segments)."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    end.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    end.setsockopt(_SOL_PACKET, _OFFLOADS, 1)
    end.bind((interface, _EVERYTHING))
    return end


def carry(one: socket.socket, other: socket.socket, seconds: float) -> None:
    """Carry frames both ways, for ever."""
    opposite = {one: other, other: one}
    under_way: deque[tuple[float, socket.socket, bytes]] = deque()
    while True:
        wait = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        for end in select.select([one, other], [], [], wait)[0]:
            under_way.append((time.monotonic() + seconds, opposite[end], end.recv(_LONGEST)))
        while under_way and under_way[0][0] <= time.monotonic():
            _, end, frame = under_way.popleft()
            end.send(frame)


if __name__ == "__main__":
    ends = opened(sys.argv[1]), opened(sys.argv[2])
    print("carrying", flush=True)
    carry(*ends, float(sys.argv[3]))
