"""A store whose short-lived half is on Redis, for tests; what lasts is in an embedded file."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from support.stores import KEYS, START, Halves, PlainSealer, open_store, secret
from tillit_server.storage.ports import Settlement, StorageUnavailable
from tillit_server.storage.redis import RedisSpending
from tillit_server.storage.sealing import Sealer

ISSUER = "https://sts.example.test"


def open_spending(place: Halves, records: Any, *, sealed: bool = True, **options: Any) -> RedisSpending:
    """The short-lived half. Nothing was ever spent before, unless a test says otherwise."""
    given: dict[str, Any] = {"clock": lambda: START, "checked_clock": False, "fresh": True, "issuer": ISSUER}
    return RedisSpending(
        place.url,
        sealer=Sealer(lambda: KEYS) if sealed else PlainSealer(),
        key_hash_secret=secret("key hash"),
        records=records,
        **(given | options),
    )


class HalvedStore:
    """Both halves as one `Store`."""

    def __init__(self, place: Halves, *, clock: Callable[[], float] = lambda: START, **options: Any) -> None:
        sealed = options.pop("sealed", True)
        names = {"fresh", "checked_clock", "issuer", "connections"} & options.keys()
        of_redis = {name: options.pop(name) for name in names}
        self.lasting = open_store(place.lasting, clock=clock, sealed=sealed, **options)
        try:
            self.spending = open_spending(place, self.lasting.records, sealed=sealed, clock=clock, **of_redis)
        except BaseException:
            self.lasting.close()
            raise
        self.once, self.tickets = self.spending.once, self.spending.tickets
        self.records, self.journal = self.lasting.records, self.lasting.journal
        self.seen, self.first_seen = self.spending.seen, self.spending.first_seen

    def settle(self, settlement: Settlement, *, durable: bool = True) -> None:
        """Spend, look whether the guard holds, write."""
        guard = self.spending.spend(settlement.claims, settlement.redemptions, settlement.issues)
        if guard is not None:
            found = self.records.get(guard.kind, guard.key)
            if (found.version if found else 0) != guard.version:
                self.spending.moved()
                raise StorageUnavailable("the fence has moved")
        if settlement.puts or settlement.entries:
            self.lasting.settle(Settlement(puts=settlement.puts, entries=settlement.entries), durable=durable)

    def ping(self) -> None:
        """Both."""
        self.spending.ping()
        self.lasting.ping()

    def close(self) -> None:
        """Both."""
        with suppress(StorageUnavailable):
            self.lasting.close()
        self.spending.close()
