"""The memory that makes a DPoP proof good for one request only (RFC 9449 §11.1)."""

import hashlib
import threading
from typing import Protocol

SLOT_SECONDS = 10


class ReplayUnavailable(Exception):
    """The memory cannot say whether the proof is new: the verifier answers 503 and never fails open."""


class Replay(Protocol):
    """What a verifier asks of its replay memory.

    Plug a shared store in where several processes serve one API. One call is the whole act: looking first and
    saving later would let two requests pass at once.
    """

    def claim(self, jkt: str, jti: str, *, until: float, now: float) -> bool:
        """Give True to exactly one caller for each (jkt, jti), False to all others until `until` has passed.

        `until` and `now` are Unix seconds by the verifier's clock. Raises `ReplayUnavailable` when the answer
        is not known.
        """
        ...


class ReplayMemory:
    """A `Replay` inside one process: threads share it, processes do not, and a restart forgets it.

    Where that is not enough, give the verifier a shared store, or start with `floor` = now + the longest life
    of a proof (70 s), so that no proof from before the start is taken.

    Ids lie in slots of ten seconds by the time they expire, so that forgetting costs nothing. What has been
    forgotten cannot come back: once a slot is gone, everything that expires in it is refused, also after the
    clock was set back. At most `capacity` ids are held; a further one raises `ReplayUnavailable` instead of
    pushing out an old one.
    """

    def __init__(self, *, capacity: int = 250_000, floor: float = 0.0) -> None:
        self._capacity = capacity
        self._floor = floor
        self._slots: dict[int, set[bytes]] = {}
        self._held = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._held

    def claim(self, jkt: str, jti: str, *, until: float, now: float) -> bool:
        """See `Replay.claim`."""
        # A digest, so that memory does not depend on what strangers choose as an id.
        key = hashlib.sha256(f"{jkt}\0{jti}".encode("utf-8", "surrogatepass")).digest()[:16]
        slot = int(until // SLOT_SECONDS)
        with self._lock:
            self._forget(now)
            if until < self._floor:
                return False
            ids = self._slots.setdefault(slot, set())
            if key in ids:
                return False
            if self._held >= self._capacity:
                raise ReplayUnavailable(f"{self._held} proofs are held")
            ids.add(key)
            self._held += 1
            return True

    def _forget(self, now: float) -> None:
        past = int(now // SLOT_SECONDS)
        if past * SLOT_SECONDS <= self._floor:
            return
        self._floor = past * SLOT_SECONDS
        for slot in [slot for slot in self._slots if slot < past]:
            self._held -= len(self._slots.pop(slot))
