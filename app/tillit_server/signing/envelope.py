"""The document in which a ring is stored: signed off by the custodian, counted, and tied to one master key.

The epoch counts the changes; the MAC covers everything. A ring that was edited in the store, exchanged for
the other ring, brought from another installation or rolled back is told apart, each with a line of its own.
"""

import hmac
from dataclasses import dataclass

import orjson

from tillit_server.signing.custody import Custody
from tillit_server.signing.files import CustodyError
from tillit_server.signing.master_key import NEXT_FILE
from tillit_server.storage.ports import Json, Record, Records

KIND = "ring"
"""The kind of these records. Their secrets are sealed by the custodian; the store keeps them as given."""
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Opened:
    """A document that is ours: which change it is, its MAC, and the ring's JSON."""

    epoch: int
    mac: str
    body: Json


class Envelope:
    """Wraps and unwraps one ring's documents."""

    def __init__(self, ring: str, custody: Custody) -> None:
        """``ring`` is its name, in the MAC and in every message."""
        self._ring = ring
        self._custody = custody

    def wrap(self, body: Json, *, epoch: int, now: float) -> dict[str, Json]:
        """The document for change number ``epoch``, made at ``now``."""
        document = {
            "v": _VERSION,
            "master": self._custody.master_id,
            "epoch": epoch,
            "written_at": int(now),
            "body": body,
        }
        return {**document, "mac": self._mac(document)}

    def unwrap(self, value: Json) -> Opened:
        """Open a document. Raises ``CustodyError`` with one line."""
        damaged = CustodyError(f"the {self._ring} ring in the store is damaged")
        try:
            document = dict(value)
            mac, version, master = document.pop("mac"), document["v"], document["master"]
            if version != _VERSION:
                raise CustodyError(
                    f"the {self._ring} ring was written by another release (version {version!r:.9})"
                )
            if not self._custody.has(master):
                raise CustodyError(
                    f"the {self._ring} ring was sealed with master key {master!r:.12}, this host has "
                    f"{self._custody.master_id!r}: copy the master key of a host that starts to "
                    f"{NEXT_FILE} in the keys directory"
                )
            if not hmac.compare_digest(mac, self._mac(document)):
                raise damaged
            self._custody.follow(master)
            return Opened(document["epoch"], mac, document["body"])
        except (ValueError, TypeError, KeyError):
            raise damaged from None

    def fetch(self, records: Records) -> tuple[Record, Opened] | None:
        """Read the ring and compare it with the rollback guard; None if it was never made.

        Raises ``CustodyError`` with one line, ``RolledBack``, ``StorageUnavailable``.
        """
        # The mark comes before the record: another process may be writing both at this moment.
        mark = self._custody.guard.mark(self._ring)
        record = records.get(KIND, self._ring)
        if record is None:
            mark.require(0, "")
            return None
        opened = self.unwrap(record.value)
        mark.require(opened.epoch, opened.mac)
        return record, opened

    def _mac(self, document: Json) -> str:
        text = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
        return self._custody.authenticate(f"ring {self._ring} ".encode() + text, document["master"])
