"""What happened after a backup, as the audit of the lost store tells: so that nothing that ended revives."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tillit_server.audit.chain import verify
from tillit_server.audit.events import (
    ClientAdded,
    ClientDisabled,
    ClientEnabled,
    ClientKeyAdded,
    ClientKeyRemoved,
    ClientReplaced,
    KeyRevoked,
    MonthDestroyed,
)
from tillit_server.recovery.manifest import Manifest
from tillit_server.storage.ports import JournalEntry, StorageUnavailable
from tillit_server.storage.sealed_file import SealedFile

AGAIN = (ClientAdded.name, ClientReplaced.name, ClientEnabled.name, ClientKeyAdded.name)
"""Events whose effect is lost and harmless to lose: an operator does it again, or not."""


@dataclass(slots=True)
class Trail:
    """What the entries after a backup say. ``fault``: why they may not be all, or empty.

    ``disabled`` clients, ``removed`` keys of clients (client, kid), ``revoked`` signing keys, ``destroyed``
    months of the audit: so at the end of the trail. ``replaced`` clients had been registered anew.
    ``again``: events whose effect is lost, as lines.
    """

    entries: int = 0
    last_at: float = 0.0
    fault: str = ""
    disabled: dict[str, bool] = field(default_factory=dict)
    replaced: set[str] = field(default_factory=set)
    removed: dict[tuple[str, str], bool] = field(default_factory=dict)
    revoked: list[str] = field(default_factory=list)
    destroyed: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)

    def hear(self, entry: JournalEntry) -> None:
        """Take in an entry that is as it was written."""
        public = orjson.loads(entry.public)
        self.entries += 1
        self.last_at = max(self.last_at, public["at"])
        self._take(public["event"], public)

    def _take(self, event: str, public: Mapping[str, Any]) -> None:
        if event in {ClientDisabled.name, ClientEnabled.name}:
            self.disabled[public["client_id"]] = event == ClientDisabled.name
        elif event == ClientReplaced.name:
            self.replaced.add(public["client_id"])
        elif event in {ClientKeyAdded.name, ClientKeyRemoved.name}:
            self.removed[public["client_id"], public["kid"]] = event == ClientKeyRemoved.name
            self.removed |= {(public["client_id"], kid): True for kid in public.get("dropped", ())}
        elif event == KeyRevoked.name:
            self.revoked.append(public["kid"])
        elif event == MonthDestroyed.name:
            self.destroyed.append(public["month"])
        if event in AGAIN:
            self.again.append(f"{event} {public['client_id']} {public.get('kid', '')}".rstrip())


def read_trail(path: Path, backup: Manifest, secret: bytes) -> Trail:
    """The trail in the database of a lost store, or in a later backup; ``secret`` is the chain's.

    Every entry is verified, from the backup's heads on. What can be read is read.
    """
    trail = Trail()
    try:
        with closing(SealedFile(path, left_as_it_lay=True)) as file:
            flaw = verify(file.journal, secret, since=backup.heads, each=trail.hear).flaw
    except StorageUnavailable as error:
        trail.fault = str(error)
    else:
        if flaw is not None:
            trail.fault = f"slot {flaw.slot}, entry {flaw.seq}: {flaw.reason}"
    return trail
