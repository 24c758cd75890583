"""What a backup says of itself: one line of JSON behind the database, authenticated with the master key."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson

from tillit_server.signing.custody import Custody
from tillit_server.storage.ports import Head

VERSION: Final = 1
MAX_BYTES: Final = 1_048_576
_TABLES: Final = frozenset({"record", "removed", "journal", "label"})
_LARGEST: Final = 2**53


class BackupDamaged(Exception):
    """The file is no backup, is not whole, or was changed; nothing of it was used. The text is one line."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """``made_at``: Unix seconds. ``rows``: of each table. ``heads``: the end of every audit chain.

    ``size`` and ``sha256`` are of the database in the file, ``master`` is the id of the master key.
    """

    issuer: str
    release: str
    schema: int
    made_at: int
    rows: Mapping[str, int]
    heads: tuple[Head, ...]
    size: int
    sha256: str
    master: str

    def to_line(self, custody: Custody) -> bytes:
        """The line, with the custodian's MAC over all of it."""
        body = self.body()
        return _canonical({**body, "mac": custody.authenticate(_named(body), self.master)})

    def body(self) -> dict[str, Any]:
        """The members, without the MAC."""
        return {
            "tillit": "backup",
            "v": VERSION,
            "issuer": self.issuer,
            "release": self.release,
            "schema": self.schema,
            "made_at": self.made_at,
            "rows": dict(self.rows),
            "heads": {str(head.slot): [head.seq, head.link.hex()] for head in self.heads},
            "database": {"bytes": self.size, "sha256": self.sha256},
            "master": self.master,
        }

    @classmethod
    def read(cls, unverified_line: bytes, custody: Custody) -> Self:
        """What ``to_line`` gave, byte for byte. Raises ``BackupDamaged``, ``CustodyError``."""
        manifest, mac = cls.parse(unverified_line)
        if not custody.has(manifest.master):
            raise BackupDamaged(
                f"made with master key {manifest.master}, this host has {custody.master_id}: "
                "put the master.key that was kept beside the backup into the keys directory"
            )
        if not custody.authentic(_named(manifest.body()), mac):
            raise BackupDamaged("the manifest was changed, or made by another installation")
        return manifest

    @classmethod
    def parse(cls, unverified_line: bytes) -> tuple[Self, str]:
        """The manifest and its MAC, which nobody has verified yet. Raises ``BackupDamaged``."""
        if len(unverified_line) > MAX_BYTES:
            raise BackupDamaged("the manifest is too large")
        try:
            found = orjson.loads(unverified_line)
            if not isinstance(found, dict) or found.get("tillit") != "backup":
                raise BackupDamaged("not a backup of this service")
            if found.get("v") != VERSION:
                raise BackupDamaged(
                    f"a backup of version {str(found.get('v'))[:9]}, this release reads {VERSION}"
                )
            manifest = cls(
                issuer=_text(found["issuer"]),
                release=_text(found["release"]),
                schema=_number(found["schema"]),
                made_at=_number(found["made_at"]),
                rows={name: _number(found["rows"][name]) for name in sorted(_TABLES)},
                heads=tuple(
                    sorted(
                        (
                            Head(int(slot), _number(seq), bytes.fromhex(_text(link)))
                            for slot, (seq, link) in found["heads"].items()
                        ),
                        key=lambda head: head.slot,
                    )
                ),
                size=_number(found["database"]["bytes"]),
                sha256=_text(found["database"]["sha256"]),
                master=_text(found["master"]),
            )
            mac = _text(found["mac"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BackupDamaged("the manifest cannot be read") from error
        # One spelling only, so that there is no byte that could be changed unseen.
        if _canonical({**manifest.body(), "mac": mac}) != unverified_line:
            raise BackupDamaged("the manifest was changed")
        return manifest, mac


def _named(body: Mapping[str, Any]) -> bytes:
    return b"backup " + _canonical(body)


def _canonical(body: Mapping[str, Any]) -> bytes:
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text needed")
    return value


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise TypeError("a whole number needed")
    return value
