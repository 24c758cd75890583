"""A store whose ids and records lie on two servers, in one process."""

from dataclasses import replace
from typing import Any

from tillit_server.storage.ports import Conflict, Settlement


class TwoParts:
    """Ids stay spent when the record they came with has moved on; the first ``races`` for a record are lost."""

    def __init__(self, store: Any, races: int = 0) -> None:
        self._store = store
        self.races = races

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def settle(self, settlement: Settlement) -> None:
        """As a store of two servers does: spend, then write."""
        if settlement.claims:
            self._store.settle(Settlement(claims=settlement.claims))
        try:
            self._write(replace(settlement, claims=()))
        except Conflict as conflict:
            raise Conflict(conflict.space, conflict.reason, ids_spent=bool(settlement.claims)) from conflict

    def _write(self, settlement: Settlement) -> None:
        if settlement.puts and self.races:
            self.races -= 1
            raise Conflict(settlement.puts[0].kind, "version")
        self._store.settle(settlement)
