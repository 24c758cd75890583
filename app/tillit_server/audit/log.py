"""Writing and reading the audit: events become entries, personal members ciphertext, persons labels."""

import hmac
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag

from tillit_server.audit.event import render
from tillit_server.audit.events import EVENTS, Event, MonthDestroyed
from tillit_server.audit.months import MonthKeys, month_of
from tillit_server.storage.keyed_hash import KeyedHash
from tillit_server.storage.ports import Entry, JournalEntry, Settlement, Store

_NONCE_BYTES = 12
_LABEL_BYTES = 16
_DAY = 86_400


class RetentionRefused(Exception):
    """A month that is not over cannot be destroyed."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An entry as staff see it. `personal` is None when the month's key has been destroyed."""

    slot: int
    seq: int
    at: float
    event: str
    public: Mapping[str, Any]
    personal: Mapping[str, Any] | None


class AuditLog:
    """The audit of one process, whose chain is `slot`.

    `pseudonym_secret` keys the labels by which persons are found.
    """

    def __init__(
        self, store: Store, *, clock: Callable[[], float], pseudonym_secret: bytes, slot: int
    ) -> None:
        self.slot = slot
        self._store = store
        self._clock = clock
        self._label_hash = KeyedHash(hmac.digest(pseudonym_secret, b"tillit audit label v1", "sha256"))
        self._months = MonthKeys(store.records)

    def entry(self, event: Event) -> Entry:
        """Render an event for a settlement. Raises `TypeError` (not in the list), `StorageUnavailable`."""
        if EVENTS.get(getattr(event, "name", "")) is not type(event):
            raise TypeError("only events of the closed list can be recorded")
        now = self._clock()
        rendered = render(event)
        members: dict[str, Any] = {"at": round(now, 3), **rendered.public}
        if not rendered.personal:
            return Entry(orjson.dumps(members))
        month = month_of(now)
        identifier, key = self._months.for_writing(month)
        members["sealed_with"] = identifier
        public = orjson.dumps(members)
        nonce = os.urandom(_NONCE_BYTES)
        # The members in clear are the additional data: ciphertext cannot be moved to another entry.
        sealed = nonce + key.encrypt(nonce, orjson.dumps(rendered.personal), public)
        labels = tuple(self._label(month, person) for person in rendered.persons)
        return Entry(public, sealed, month, labels)

    def record(self, event: Event, *, durable: bool = True) -> None:
        """Write a single event. Raises as `entry`, and `StorageUnavailable` when it is not on disk."""
        self._store.settle(Settlement(entries=(self.entry(event),)), durable=durable)

    def read(self, slot: int, *, after: int = 0, limit: int = 1000) -> Sequence[AuditEntry]:
        """Entries of a slot that follow number `after`, opened. Raises `StorageUnavailable`."""
        return self._open(self._store.journal.read(slot, after=after, limit=limit))

    def find_person(self, person: str, *, limit: int = 1000) -> Sequence[AuditEntry]:
        """Entries that name a person, newest month first. The caller records who asked, and why.

        Raises `StorageUnavailable`.
        """
        found: list[AuditEntry] = []
        for month in sorted(self._months.months(), reverse=True):
            if len(found) < limit:
                label = self._label(month, person)
                found += self._open(self._store.journal.find(month, label, limit=limit - len(found)))
        return found

    def destroy_month(self, month: str, *, operator: str, reason: str) -> int:
        """End the retention of a month: destroy its keys, forget its labels, write that down.

        Afterwards nobody can read the personal members of its entries; the chain stays intact. Copies in
        older backups live as long as those do. Returns the number of keys. Raises `RetentionRefused` for a
        month that has not been over for a day, `StorageUnavailable`.
        """
        if month >= month_of(self._clock() - _DAY):
            raise RetentionRefused(f"{month} has not been over for a day")
        self.record(MonthDestroyed(month=month, operator=operator, reason=reason))
        destroyed = self._months.destroy(month)
        self._store.journal.forget(month)
        return destroyed

    def _label(self, month: str, person: str) -> bytes:
        named = f"{month} {person}".encode("utf-8", "surrogatepass")
        return self._label_hash(named)[:_LABEL_BYTES]

    def _open(self, entries: Iterable[JournalEntry]) -> list[AuditEntry]:
        opened = []
        for entry in entries:
            public = orjson.loads(entry.public)
            at, event = public.pop("at"), public.pop("event")
            personal = self._personal(entry, public.pop("sealed_with", None))
            opened.append(AuditEntry(entry.slot, entry.seq, at, event, public, personal))
        return opened

    def _personal(self, entry: JournalEntry, identifier: str | None) -> Mapping[str, Any] | None:
        if identifier is None:
            return {}
        key = self._months.for_reading(identifier)
        if key is None:
            return None
        nonce, rest = entry.sealed[:_NONCE_BYTES], entry.sealed[_NONCE_BYTES:]
        try:
            members: Mapping[str, Any] = orjson.loads(key.decrypt(nonce, rest, entry.public))
        except InvalidTag:
            # Not what was written; `chain.verify` names it.
            return None
        return members
