"""What restores have cost the audit: the entries between a backup and its restore are gone, and known to be.

Each restore leaves a record, and an entry as the first that follows the backup. A checkpoint of before, kept
elsewhere, has seen further than the backup; what it has seen beyond is lost, and not a flaw.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import methodcaller
from typing import Any, Final

from tillit_server.audit.checkpoints import Checkpoint
from tillit_server.storage.ports import Head, Put, Records

KIND: Final = "restored"


@dataclass(frozen=True, slots=True)
class Restore:
    """When it was restored (``at``), and when the backup was made, with which heads. Whole Unix seconds."""

    at: int
    made_at: int
    heads: tuple[Head, ...]

    @property
    def key(self) -> str:
        """Of its record."""
        return str(self.at)

    def put(self) -> Put:
        """The writing of its record, which must not be there yet."""
        heads = {str(head.slot): [head.seq, head.link.hex()] for head in self.heads}
        return Put(KIND, self.key, {"at": self.at, "made_at": self.made_at, "heads": heads}, expect=0)

    def seen(self, slot: int) -> int:
        """The last entry of a slot that the backup held."""
        return next((head.seq for head in self.heads if head.slot == slot), 0)


@dataclass(frozen=True, slots=True)
class Gap:
    """The entries ``first`` to ``last`` of a slot, which a checkpoint has seen, are lost by ``restore``."""

    slot: int
    first: int
    last: int
    restore: Restore


def restores_of(records: Records) -> tuple[Restore, ...]:
    """Every restore there was. Raises ``StorageUnavailable``."""
    return tuple(_restore(record.value) for _, record in records.each(KIND))


def dated_after(restores: Iterable[Restore]) -> int:
    """The first second (Unix) that a checkpoint made from now on may be dated to."""
    return max((restore.at + 1 for restore in restores), default=0)


def _restore(value: Mapping[str, Any]) -> Restore:
    heads = (Head(int(slot), seq, bytes.fromhex(link)) for slot, (seq, link) in value["heads"].items())
    return Restore(value["at"], value["made_at"], tuple(heads))


def judged(
    checkpoints: Iterable[Checkpoint], restores: Iterable[Restore]
) -> tuple[list[Checkpoint], list[Gap]]:
    """What the checkpoints have seen that must still be there, and what was lost by restores after them."""
    known = tuple(restores)
    kept: list[Checkpoint] = []
    gaps: set[Gap] = set()
    for checkpoint in checkpoints:
        # In whole seconds; no checkpoint of afterwards has the date of the restore (`dated_after`).
        later = [restore for restore in known if restore.at >= checkpoint.at]
        heads: list[Head] = []
        for head in checkpoint.heads:
            losses = [restore for restore in later if restore.seen(head.slot) < head.seq]
            if losses:
                most = min(losses, key=methodcaller("seen", head.slot))
                gaps.add(Gap(head.slot, most.seen(head.slot) + 1, head.seq, most))
            else:
                heads.append(head)
        kept.append(Checkpoint(checkpoint.at, tuple(heads)))
    return kept, sorted(gaps, key=lambda gap: (gap.slot, gap.first, gap.last))
