"""A settlement made ready for the commit, outside the turn: keys hashed, values sealed, entries digested."""

import math
from collections.abc import Callable, Collection
from functools import lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple

import orjson

from tillit_server.storage.group_commit import Work
from tillit_server.storage.keyed_hash import KeyedHash
from tillit_server.storage.ports import Entry, Json, Settlement
from tillit_server.storage.sealing import Sealer

if TYPE_CHECKING:
    from tillit_server.storage.spending import Guard

_DIGEST_BYTES = 16
_LOOKED_AT = 128


class ClaimRow(NamedTuple):
    """A single-use id to spend."""

    space: str
    digest: bytes
    until: float


class RedemptionRow(NamedTuple):
    """A ticket to redeem; `tombstone` is sealed."""

    space: str
    digest: bytes
    tombstone: bytes
    keep_until: float


class IssueRow(NamedTuple):
    """A ticket to leave; `value` is sealed."""

    space: str
    digest: bytes
    value: bytes
    until: float


class PutRow(NamedTuple):
    """A record to write (sealed), or to remove (None)."""

    kind: str
    key: str
    value: bytes | None
    expect: int | None
    until: float | None


class EntryRow(NamedTuple):
    """A journal entry to link."""

    public: bytes
    sealed: bytes
    digest: bytes
    period: str
    labels: tuple[bytes, ...]


class Prepared(Work):
    """The rows of one settlement, in the order in which conflicts are reported."""

    __slots__ = (
        "claims",
        "entries",
        "forget",
        "forgotten",
        "guard",
        "issues",
        "puts",
        "redemptions",
        "versions",
    )

    def __init__(self) -> None:
        super().__init__()
        self.claims: list[ClaimRow] = []
        self.redemptions: list[RedemptionRow] = []
        self.issues: list[IssueRow] = []
        self.puts: list[PutRow] = []
        self.entries: list[EntryRow] = []
        self.versions: list[int] = []
        self.forget: str | None = None
        self.forgotten = 0
        self.guard: Guard | None = None


class Preparer:
    """Knows the secrets of the store: how keys are hashed and values sealed."""

    def __init__(
        self,
        sealer: Sealer,
        digest_entry: Callable[[Entry], bytes],
        secret: bytes,
        unsealed_kinds: Collection[str],
    ) -> None:
        """``digest_entry``: what a journal's chain links of an entry."""
        self._sealer = sealer
        self._digest_entry = digest_entry
        self._hash = KeyedHash(secret)
        self._unsealed = frozenset(unsealed_kinds)
        # Whoever claims an id has looked at it a moment before. Such ids are no secrets, as tickets are.
        self.claim_digest = lru_cache(_LOOKED_AT)(partial(self.digest, "once"))

    def prepare(self, settlement: Settlement) -> Prepared:
        """Do everything that needs no lock, so that a bad value fails here and not its whole batch.

        Raises `TypeError` or `ValueError`: a value that is not JSON, an instant that is not finite, a name
        that is not Unicode.
        """
        work = Prepared()
        for claim in settlement.claims:
            digest = self.claim_digest(claim.space, claim.key)
            work.claims.append(ClaimRow(claim.space, digest, _instant(claim.until)))
        for redemption in settlement.redemptions:
            digest = self.digest("ticket", redemption.space, redemption.key)
            tombstone = self.seal_ticket(redemption.space, digest, redemption.tombstone)
            work.redemptions.append(
                RedemptionRow(redemption.space, digest, tombstone, _instant(redemption.keep_until or 0))
            )
        for issue in settlement.issues:
            digest = self.digest("ticket", issue.space, issue.key)
            value = self.seal_ticket(issue.space, digest, issue.value)
            work.issues.append(IssueRow(issue.space, digest, value, _instant(issue.until)))
        for put in settlement.puts:
            _ = put.kind.encode(), put.key.encode()
            sealed = None if put.value is None else self.seal_record(put.kind, put.key, put.value)
            until = None if put.until is None else _instant(put.until)
            work.puts.append(PutRow(put.kind, put.key, sealed, put.expect, until))
        for entry in settlement.entries:
            work.entries.append(
                EntryRow(entry.public, entry.sealed, self._digest_entry(entry), entry.period, entry.labels)
            )
        return work

    def digest(self, shape: str, space: str, key: str) -> bytes:
        """The hash under which an id or ticket lies; the key itself is never on disk."""
        # The length keeps ("ab", "c") and ("a", "bc") apart.
        named = f"{shape}:{len(space)}:{space}{key}".encode("utf-8", "surrogatepass")
        return self._hash(named)[:_DIGEST_BYTES]

    def seal_ticket(self, space: str, digest: bytes, value: Json) -> bytes:
        """Seal a ticket's value."""
        return self._sealer.seal(f"ticket:{space}", digest.hex(), value)

    def open_ticket(self, space: str, digest: bytes, sealed: bytes) -> Json:
        """Open a ticket's value. Raises `Unsealable`."""
        return self._sealer.open(f"ticket:{space}", digest.hex(), sealed)

    def seal_record(self, kind: str, key: str, value: Json) -> bytes:
        """Seal a record's value, unless its kind is stored as given."""
        if kind in self._unsealed:
            return orjson.dumps(value)
        return self._sealer.seal(f"record:{kind}", key, value)

    def open_record(self, kind: str, key: str, stored: bytes) -> Json:
        """Open a record's value. Raises `Unsealable`."""
        if kind in self._unsealed:
            return orjson.loads(stored)
        return self._sealer.open(f"record:{kind}", key, stored)


def _instant(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("an instant must be a finite number")
    return float(value)
