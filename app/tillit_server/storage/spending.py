"""The short-lived half of a store that two servers share, and the guard that ties it to the other half."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tillit_server.storage.ports import Claim, Issue, Once, Put, Redemption, StorageUnavailable, Tickets

AHEAD = 11
"""Seconds after a fence in which nobody can tell what is new: clocks of clients may be 10 s ahead, and a
server that is being replaced may accept until the record is written, for which there is one second."""

OLDEST = 3_720.0
"""Seconds between the making and the end of the longest-lived id (a request object), tolerances included."""

TOLERANCE = 12.0
"""Seconds that the clock of a host may differ from that of the server: ten, and some for the way. Beyond them
nothing is settled."""


@dataclass(frozen=True, slots=True)
class Guard:
    """A record that must have this version, 0 for none, when the rest of a settlement is written."""

    kind: str
    key: str
    version: int


class GuardMoved(StorageUnavailable):
    """The guard did not hold: nothing was written, and what was spent under it counts for nothing."""


@dataclass(frozen=True, slots=True)
class FenceRaised:
    """From now on ids and tickets made up to `fence` (Unix seconds) are refused. An alarm."""

    number: int
    fence: float
    reason: str


WriteFence = Callable[[Put, FenceRaised], None]
"""Writes the record of a fence, and an entry that tells of it. Raises as `Records.put`."""


@dataclass(frozen=True, slots=True)
class Count:
    """So many requests more by ``who`` at what ``name`` names, in a window of so many seconds."""

    name: str
    who: str
    more: int
    seconds: float


CountTogether = Callable[[Sequence[Count]], Sequence[tuple[int, float]]]
"""Adds counts of all hosts: for each the total in its window, and the seconds until that ends.

Raises `StorageUnavailable`. Windows begin with their first count. No promise rests on it.
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a server says of itself: its clock (Unix seconds), and what only one of the two kinds knows.

    ``replicas``: of Redis, those that were heard of lately. ``fence``: nothing that was made before this
    instant is taken.
    """

    time: float
    replicas: int | None = None
    fence: float | None = None


class Spending(Protocol):
    """The short-lived half of a store that is made of two servers: `Once`, `Tickets`, and both in one act.

    The other half keeps `Records` and `Journal`. A settlement spends here first, then writes there, in one
    transaction, provided that the guard still holds.
    """

    @property
    def once(self) -> Once:
        """Single-use ids."""

    @property
    def tickets(self) -> Tickets:
        """One redeemer each."""

    @property
    def count(self) -> CountTogether | None:
        """Counts what several hosts count; None where there is one host alone."""

    def spend(
        self,
        claims: Sequence[Claim] = (),
        redemptions: Sequence[Redemption] = (),
        issues: Sequence[Issue] = (),
    ) -> Guard | None:
        """Do all of it or nothing; nothing to do is no guard. Raises `Conflict`, `StorageUnavailable`.

        What was spent counts only if the guard's record has its version in the transaction that follows.
        Otherwise another server has taken over in between: no answer leaves, and `moved` is called.
        """

    def report_to(self, write: WriteFence) -> None:
        """Have the records of fences written by `write`."""

    def moved(self) -> None:
        """The guard did not hold: find out anew who keeps the short-lived things."""

    def seen(self, space: str, key: str) -> bool:
        """As `Store.seen`."""

    def first_seen(self, claims: Sequence[Claim]) -> Claim | None:
        """As `Store.first_seen`."""

    def ping(self) -> None:
        """Read something. Raises `StorageUnavailable`."""

    def standing(self) -> Standing | None:
        """What the server says of itself; None where there is none. Raises `StorageUnavailable`."""

    def close(self) -> None:
        """Let go of the connections."""
