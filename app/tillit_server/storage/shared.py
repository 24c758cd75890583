"""One store of two servers: what is short-lived on one, what lasts on the other.

What is single-use is spent first, and for good. If what lasts cannot be written then, no token leaves, and
the ids and tickets stay spent: the safe side.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from tillit_server.storage.ports import (
    Claim,
    Conflict,
    Issue,
    Journal,
    Once,
    Records,
    Redemption,
    Settlement,
    Store,
    Tickets,
)
from tillit_server.storage.spending import Guard, GuardMoved, Spending, Standing, WriteFence
from tillit_server.tracing import part


class Lasting(Protocol):
    """Records and the journal."""

    @property
    def records(self) -> Records:
        """Compare-and-swap."""

    @property
    def journal(self) -> Journal:
        """The audit."""

    def prepare(self, settlement: Settlement, *, durable: bool = True) -> Callable[[Guard | None], None]:
        """Make its puts and entries ready; what is returned writes them all in one transaction.

        That raises as `Store.settle`, and `GuardMoved` if the guard does not hold in it. Raises `TypeError`
        or `ValueError` for what can never be written.
        """

    def ping(self) -> None:
        """Read something. Raises `StorageUnavailable`."""

    def standing(self) -> Standing:
        """What the server says of itself. Raises `StorageUnavailable`, also if it is a standby."""

    def close(self) -> None:
        """Write what was accepted without waiting, and let go."""


class SharedStore:
    """A `ports.Store` of two parts. Unlike in one of one part, a conflict of a put leaves ids spent."""

    def __init__(self, spending: Spending, lasting: Lasting) -> None:
        self.spending, self.lasting = spending, lasting
        self.once: Once = spending.once
        self.tickets: Tickets = spending.tickets
        self.records: Records = lasting.records
        self.journal: Journal = lasting.journal

    def settle(self, settlement: Settlement, *, durable: bool = True) -> None:
        """Spend, then write; `ports.Store` has the promise, and the class says what is different."""
        spends = bool(settlement.claims or settlement.redemptions or settlement.issues)
        write = self.lasting.prepare(settlement, durable=durable or spends)
        guard = settlement.under
        if spends:
            found = self.spending.spend(settlement.claims, settlement.redemptions, settlement.issues)
            if guard is not None and found != guard:
                raise GuardMoved("another server has taken over since the ids were spent")
            guard = found
        if guard is None and not (settlement.puts or settlement.entries):
            return
        try:
            with part("write"):
                write(guard)
        except GuardMoved:
            self.spending.moved()
            raise
        except Conflict as conflict:
            told = Conflict(conflict.space, conflict.reason, ids_spent=spends)
            told.under = guard
            raise told from conflict

    def seen(self, space: str, key: str) -> bool:
        """A look, not a judgement: True when the id is already spent."""
        return self.spending.seen(space, key)

    def first_seen(self, claims: Sequence[Claim]) -> Claim | None:
        """One look for several ids: the first of them that is already spent."""
        return self.spending.first_seen(claims)

    def ping(self) -> None:
        """Read something on both. Raises `StorageUnavailable`."""
        self.spending.ping()
        self.lasting.ping()

    def close(self) -> None:
        """Let go of both."""
        try:
            self.lasting.close()
        finally:
            self.spending.close()


class EmbeddedSpending:
    """`spending.Spending` by the embedded store of one host, which nobody can take over."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.count: None = None
        self.once: Once = store.once
        self.tickets: Tickets = store.tickets
        self.seen, self.first_seen = store.seen, store.first_seen
        self.ping, self.close = store.ping, store.close

    def spend(
        self,
        claims: Sequence[Claim] = (),
        redemptions: Sequence[Redemption] = (),
        issues: Sequence[Issue] = (),
    ) -> None:
        """Do all of it or nothing. Raises `Conflict`, `StorageUnavailable`."""
        self._store.settle(Settlement(claims, redemptions, issues))

    def report_to(self, write: WriteFence) -> None:
        """There is nothing to report."""

    def standing(self) -> None:
        """There is no server."""

    def moved(self) -> None:
        """Never: there is no other."""
