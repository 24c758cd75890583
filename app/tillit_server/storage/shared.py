"""One store of two servers: what is short-lived on one, what lasts on the other.

What is single-use is spent first, and for good. If what lasts cannot be written then, no token leaves, and
the ids and tickets stay spent: the safe side.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from tillit_server.storage.ports import (
    Claim,
    Journal,
    Once,
    Records,
    Settlement,
    Tickets,
)


class ShortLived(Protocol):
    """Single-use ids and tickets; every `Store` is one too. `ports.Store` has the promises."""

    @property
    def once(self) -> Once:
        """Single-use ids."""

    @property
    def tickets(self) -> Tickets:
        """One redeemer each."""

    def settle(self, settlement: Settlement) -> None:
        """Spend, redeem and issue all of it or nothing. Raises `Conflict`, `StorageUnavailable`."""

    def seen(self, space: str, key: str) -> bool:
        """Whether an id is spent, as far as a look can tell. Raises `StorageUnavailable`."""

    def first_seen(self, claims: Sequence[Claim]) -> Claim | None:
        """The first of several ids that is spent. Raises `StorageUnavailable`."""

    def ping(self) -> None:
        """Read something. Raises `StorageUnavailable`."""

    def close(self) -> None:
        """Let go."""


class Lasting(Protocol):
    """Records and the journal."""

    @property
    def records(self) -> Records:
        """Compare-and-swap."""

    @property
    def journal(self) -> Journal:
        """The audit."""

    def prepare(self, settlement: Settlement, *, durable: bool = True) -> Callable[[], None]:
        """Make its puts and entries ready; what is returned writes them all, or raises as `Store.settle`.

        Raises `TypeError` or `ValueError` for what can never be written.
        """

    def ping(self) -> None:
        """Read something. Raises `StorageUnavailable`."""

    def close(self) -> None:
        """Write what was accepted without waiting, and let go."""


class SharedStore:
    """A `ports.Store` of two parts. Unlike in one of one part, a conflict of a put leaves ids spent."""

    def __init__(self, short_lived: ShortLived, lasting: Lasting) -> None:
        self._short_lived = short_lived
        self._lasting = lasting
        self.once: Once = short_lived.once
        self.tickets: Tickets = short_lived.tickets
        self.records: Records = lasting.records
        self.journal: Journal = lasting.journal

    def settle(self, settlement: Settlement, *, durable: bool = True) -> None:
        """Spend, then write; `ports.Store` has the promise, and the class says what is different."""
        spending = Settlement(settlement.claims, settlement.redemptions, settlement.issues)
        alone = not (spending.claims or spending.redemptions or spending.issues)
        write = self._lasting.prepare(settlement, durable=durable or not alone)
        if not alone:
            self._short_lived.settle(spending)
        if settlement.puts or settlement.entries:
            write()

    def seen(self, space: str, key: str) -> bool:
        """A look, not a judgement: True when the id is already spent."""
        return self._short_lived.seen(space, key)

    def first_seen(self, claims: Sequence[Claim]) -> Claim | None:
        """One look for several ids: the first of them that is already spent."""
        return self._short_lived.first_seen(claims)

    def ping(self) -> None:
        """Read something on both. Raises `StorageUnavailable`."""
        self._short_lived.ping()
        self._lasting.ping()

    def close(self) -> None:
        """Let go of both."""
        try:
            self._lasting.close()
        finally:
            self._short_lived.close()
