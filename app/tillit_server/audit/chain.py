"""The chain: every entry of a slot is linked to the one before, so that nothing can be taken out or changed.

The link of an entry is `HMAC-SHA-256(chain secret, slot · seq · link before · digest)`; the digest covers the
members in clear and the ciphertext of the personal ones, never their plain text, so that destroying a month's
key leaves the chain intact. Numbers are big-endian, eight bytes each; the first entry follows the empty link.

A chain alone cannot show that its end is missing. That is what checkpoints are for (`checkpoints`).
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from tillit_server.storage.keyed_hash import KeyedHash
from tillit_server.storage.ports import Entry, Head, Journal, JournalEntry

_PAGE = 500


def chain_secret(audit_secret: bytes) -> bytes:
    """The secret of the links, derived from the permanent audit-hash secret."""
    return hmac.digest(audit_secret, b"tillit audit chain v1", "sha256")


def entry_digest(public: bytes, sealed: bytes) -> bytes:
    """What a link covers of an entry."""
    return hashlib.sha256(len(public).to_bytes(8, "big") + public + sealed).digest()


def link(chain: KeyedHash, slot: int, seq: int, previous: bytes, digest: bytes) -> bytes:
    """The link of entry `seq` of `slot`; `chain` is the MAC under the chain secret."""
    return chain(slot.to_bytes(8, "big") + seq.to_bytes(8, "big") + previous + digest)


class ChainLinker:
    """A `storage.ports.Linker` for one slot; `secret` is the chain secret."""

    def __init__(self, secret: bytes, slot: int) -> None:
        self.slot = slot
        self._chain = KeyedHash(secret)

    def digest(self, entry: Entry) -> bytes:
        """What the link covers of an entry."""
        return entry_digest(entry.public, entry.sealed)

    def link(self, previous: bytes, seq: int, digest: bytes) -> bytes:
        """The link of entry `seq`."""
        return link(self._chain, self.slot, seq, previous, digest)


@dataclass(frozen=True, slots=True)
class Flaw:
    """The first entry that is not as it was written; `seq` 0 when it is not about an entry."""

    slot: int
    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification found: entries seen, the ends of the intact chains, and the first flaw."""

    entries: int
    heads: tuple[Head, ...]
    flaw: Flaw | None

    @property
    def intact(self) -> bool:
        """Whether everything is there and unchanged."""
        return self.flaw is None


def verify(
    journal: Journal,
    secret: bytes,
    *,
    known: Mapping[int, tuple[Head, ...]] | None = None,
    since: Iterable[Head] = (),
    each: Callable[[JournalEntry], object] = lambda _entry: None,
) -> Report:
    """Walk every chain from its first entry, or from those of `since` on; stop at the first flaw.

    `secret` is the chain secret. `known` are heads by slot that were seen earlier
    (`checkpoints.known_heads`): a chain must still pass through each of them. `each` hears every entry that
    is as it was written. Raises `StorageUnavailable`.
    """
    earlier = known or {}
    starts = {head.slot: head for head in since}
    slots = sorted({head.slot for head in journal.heads()} | set(earlier))
    chain = KeyedHash(secret)
    total = 0
    heads: list[Head] = []
    for slot in slots:
        marks = {head.seq: head.link for head in earlier.get(slot, ())}
        start = starts.get(slot, Head(slot, 0, b""))
        seq, last = start.seq, start.link
        for entry in _entries(journal, slot, seq):
            flaw = _flaw(entry, seq, last, chain, marks)
            if flaw is not None:
                return Report(total, tuple(heads), flaw)
            seq, last = entry.seq, entry.link
            total += 1
            each(entry)
        if marks and max(marks) > seq:
            reason = f"missing: the chain ends here, a checkpoint saw {max(marks)} entries"
            return Report(total, tuple(heads), Flaw(slot, seq + 1, reason))
        heads.append(Head(slot, seq, last))
    return Report(total, tuple(heads), None)


def _flaw(
    entry: JournalEntry, before: int, last: bytes, chain: KeyedHash, marks: Mapping[int, bytes]
) -> Flaw | None:
    expected = before + 1
    if entry.seq != expected:
        return Flaw(entry.slot, expected, f"missing: the next entry is number {entry.seq}")
    made = link(chain, entry.slot, expected, last, entry_digest(entry.public, entry.sealed))
    if not hmac.compare_digest(made, entry.link):
        return Flaw(entry.slot, expected, "changed, or linked with another secret")
    if not hmac.compare_digest(marks.get(expected, entry.link), entry.link):
        return Flaw(entry.slot, expected, "not the entry that a checkpoint saw")
    return None


def _entries(journal: Journal, slot: int, after: int) -> Iterator[JournalEntry]:
    while page := journal.read(slot, after=after, limit=_PAGE):
        yield from page
        after = page[-1].seq
