"""Ids and tickets on a Redis server, one at a time: each is a settlement of a single part."""

from typing import TYPE_CHECKING

from tillit_server.storage.ports import Claim, Conflict, Issue, Json, Redemption, Ticket

if TYPE_CHECKING:
    from tillit_server.storage.redis import RedisSpending


class RedisOnce:
    """`ports.Once`."""

    def __init__(self, spending: "RedisSpending") -> None:
        self._spending = spending

    def claim(self, space: str, key: str, until: float) -> bool:
        """True for exactly one caller."""
        try:
            self._spending.spend(claims=(Claim(space, key, until),))
        except Conflict:
            return False
        return True


class RedisTickets:
    """`ports.Tickets`."""

    def __init__(self, spending: "RedisSpending") -> None:
        self._spending = spending

    def issue(self, space: str, key: str, value: Json, until: float) -> None:
        """Leave a ticket."""
        self._spending.spend(issues=(Issue(space, key, value, until),))

    def peek(self, space: str, key: str) -> Ticket | None:
        """Look without redeeming."""
        return self._spending.find_ticket(space, key)

    def redeem(self, space: str, key: str) -> Json:
        """The value, to exactly one caller."""
        # Looking first is safe: a ticket's value never changes, and the settlement decides who gets it.
        ticket = self.peek(space, key)
        self._spending.spend(redemptions=(Redemption(space, key),))
        if ticket is None or ticket.redeemed:
            # Issued between our look and our settlement: spent unseen, which is the safe side.
            raise Conflict(space, "unknown")
        return ticket.value
