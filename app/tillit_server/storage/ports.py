"""What a backend promises. `tests/storage/` is the same contract in executable form."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from tillit.quick import quick

if TYPE_CHECKING:
    from tillit_server.storage.spending import Guard

Json: TypeAlias = Any
"""A value that JSON can hold: mappings with text keys, sequences, text, numbers, booleans, null."""

ConflictReason: TypeAlias = Literal["spent", "forgotten", "unknown", "expired", "exists", "version"]


class StorageUnavailable(Exception):
    """The store cannot settle or read just now; nothing was acknowledged. HTTP 503 with `Retry-After`."""

    def __init__(self, reason: str, *, retry_after: int = 1) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class StorageRefused(Exception):
    """The store must not be opened as it stands; `hint` says what an operator can do about it."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(f"{reason}. {hint}")
        self.reason = reason
        self.hint = hint


class StorageCorrupt(StorageRefused):
    """The file is damaged."""


class StorageTooNew(StorageRefused):
    """The file was written by a later release."""


class Conflict(Exception):
    """Somebody else was first, or there was nothing to redeem: the settlement changed nothing at all.

    `space` is the space of the claim, redemption or issue, or the kind of the put, that failed first in the
    fixed order claims, redemptions, issues, puts (each in the order given). `reason`: `spent` (claimed or
    redeemed before), `forgotten` (so old that nobody can tell any more), `unknown` and `expired` (no such
    ticket, or past its time), `exists` (a ticket of that key is there), `version` (the record has moved on).
    `ids_spent`: a store of two servers has spent the claims all the same, so that they must not come again,
    and has done so `under` a guard that whoever settles again must name (`Settlement.under`).
    """

    under: "Guard | None" = None

    def __init__(self, space: str, reason: ConflictReason = "spent", *, ids_spent: bool = False) -> None:
        super().__init__(f"{space}: {reason}")
        self.space = space
        self.reason = reason
        self.ids_spent = ids_spent


@quick
@dataclass(frozen=True, slots=True)
class Claim:
    """Spend a single-use id. `until` is the last instant (Unix seconds) at which the id could be accepted.

    `made` is when its maker says that it was made (`iat`). A store that has lost something refuses whatever
    was made before; where None stands, it takes the id for as old as one can be.
    """

    space: str
    key: str
    until: float
    made: float | None = None


@dataclass(frozen=True, slots=True)
class Redemption:
    """Redeem a ticket; nobody can redeem it again.

    With `keep_until` a tombstone stays in its place, holding `tombstone` (a refresh family, say), so that a
    second redemption is told apart from an unknown ticket until then.
    """

    space: str
    key: str
    tombstone: Json = None
    keep_until: float | None = None


@dataclass(frozen=True, slots=True)
class Issue:
    """Leave a ticket that one caller can redeem, up to and including the instant `until` (Unix seconds)."""

    space: str
    key: str
    value: Json
    until: float


@dataclass(frozen=True, slots=True)
class Put:
    """Write a record under compare-and-swap; `value` None removes it.

    `expect` None writes whatever is there, 0 demands that there is no such record, any other number that it
    still has this version. `until` is the last instant (Unix seconds) at which there is such a record: after
    it nobody finds it, and then it is forgotten. None keeps it until it is removed.
    """

    kind: str
    key: str
    value: Json
    expect: int | None = None
    until: float | None = None


@quick
@dataclass(frozen=True, slots=True)
class Entry:
    """One audit entry, rendered by `audit.AuditLog.entry`: the journal does not look inside.

    `public` is JSON text, `sealed` the ciphertext of the personal members. `labels` are keyed hashes by which
    staff find the entry again; they are filed under `period` (`2026-11`) and forgotten with it.
    """

    public: bytes
    sealed: bytes = b""
    period: str = ""
    labels: tuple[bytes, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class Settlement:
    """Everything one request changes, settled in one act, or nothing; `under` as `Conflict` says."""

    claims: Sequence[Claim] = ()
    redemptions: Sequence[Redemption] = ()
    issues: Sequence[Issue] = ()
    puts: Sequence[Put] = ()
    entries: Sequence[Entry] = ()
    under: "Guard | None" = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as found. When `redeemed`, `value` is the tombstone's."""

    value: Json
    until: float
    redeemed: bool


@dataclass(frozen=True, slots=True)
class Record:
    """A record and its version, the number a later `put(expect=)` names."""

    value: Json
    version: int


@dataclass(frozen=True, slots=True)
class Head:
    """The end of one slot's chain: the number of its last entry and that entry's link."""

    slot: int
    seq: int
    link: bytes


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """An entry as it lies in the journal. Entries of a slot are numbered from 1 without gaps."""

    slot: int
    seq: int
    public: bytes
    sealed: bytes
    link: bytes


class Linker(Protocol):
    """How entries are chained: `audit.chain` knows how, but only the store's commit knows the order.

    `link` is a pure function: the store remembers the head, and moves it on only when the commit is on disk.
    """

    @property
    def slot(self) -> int:
        """The chain this process writes to; no other living process has the same."""

    def digest(self, entry: Entry) -> bytes:
        """What the link covers of an entry; called outside the commit."""

    def link(self, previous: bytes, seq: int, digest: bytes) -> bytes:
        """The link of entry `seq`, whose predecessor has the link `previous` (empty for the first entry)."""


class Once(Protocol):
    """Single-use ids."""

    def claim(self, space: str, key: str, until: float) -> bool:
        """True for exactly one caller. Durable when it returns. Raises `StorageUnavailable`."""


class Tickets(Protocol):
    """Codes, pushed requests, login steps, sessions: exactly one redeemer, and not after `until`."""

    def issue(self, space: str, key: str, value: Json, until: float) -> None:
        """Leave a ticket. Raises `Conflict` when the key is taken, `StorageUnavailable`."""

    def peek(self, space: str, key: str) -> Ticket | None:
        """Look without redeeming; None when unknown or expired. Raises `StorageUnavailable`."""

    def redeem(self, space: str, key: str) -> Json:
        """The value, to exactly one caller. Raises `Conflict` for all others, `StorageUnavailable`."""


class Records(Protocol):
    """Clients, key ring, refresh families, accounts: written under compare-and-swap."""

    def get(self, kind: str, key: str) -> Record | None:
        """The record, or None, also after its `until`. Raises `StorageUnavailable`."""

    def put(
        self, kind: str, key: str, value: Json, *, expect: int | None = None, until: float | None = None
    ) -> int:
        """Write, and return the new version; `Put` explains `expect` and `until`. Raises `Conflict` too."""

    def remove(self, kind: str, key: str, *, expect: int | None = None) -> None:
        """Remove; a record that is not there is no error unless `expect` says so. Raises as `put`."""

    def each(self, kind: str) -> Iterator[tuple[str, Record]]:
        """Every record of a kind with its key, in the order of the keys. Raises `StorageUnavailable`."""


class Journal(Protocol):
    """The audit: in order, without gaps, never changed, durable when it returns."""

    def append(self, entry: Entry) -> None:
        """Write one entry. Raises `StorageUnavailable`."""

    def read(self, slot: int, *, after: int = 0, limit: int = 1000) -> Sequence[JournalEntry]:
        """Entries of a slot that follow number `after`. Raises `StorageUnavailable`."""

    def heads(self) -> Sequence[Head]:
        """The end of every slot's chain, by slot, all read at one moment. Raises `StorageUnavailable`."""

    def find(self, period: str, label: bytes, *, limit: int = 1000) -> Sequence[JournalEntry]:
        """Entries filed under a label, newest of each slot first. Raises `StorageUnavailable`."""

    def forget(self, period: str) -> int:
        """Drop all labels of a period (the entries stay) and return how many. Raises `StorageUnavailable`."""


class Store(Protocol):
    """The four shapes over one backend, and the one act that spends, redeems, issues, puts and records."""

    @property
    def once(self) -> Once:
        """Single-use ids."""

    @property
    def tickets(self) -> Tickets:
        """One redeemer each."""

    @property
    def records(self) -> Records:
        """Compare-and-swap."""

    @property
    def journal(self) -> Journal:
        """The audit."""

    def settle(self, settlement: Settlement, *, durable: bool = True) -> None:
        """Do all of it, on disk when this returns, or none of it.

        With `durable=False` a settlement of entries alone may return before it is on disk (refusals, which
        promise nothing to anybody); one with any other part is always waited for. Raises `Conflict` (nothing
        was changed) or `StorageUnavailable` (nothing was acknowledged).
        """

    def seen(self, space: str, key: str) -> bool:
        """A look, not a judgement: True when the id is already spent. Raises `StorageUnavailable`."""

    def first_seen(self, claims: Sequence[Claim]) -> Claim | None:
        """One look for several ids, all at one moment: the first of them that is already spent, or None.

        As `seen`, it spends nothing and takes no notice of `until`; it is for the ids of one request, a
        handful. It spares the work of a replay, which `settle` refuses anyway, so a store where a look costs
        more than that may say None until it has refused one. Raises `StorageUnavailable`.
        """

    def ping(self) -> None:
        """Read something. Raises `StorageUnavailable`."""

    def close(self) -> None:
        """Write what was accepted without waiting, and let go of the files."""
