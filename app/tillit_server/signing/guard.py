"""The rollback guard: a small file in ``keys/`` that remembers the newest ring this host has seen.

Records can be restored from an older backup, or lost; then a revoked key would sign again, or new keys
would be made beside the ones that verifiers know. The file lies outside the store, so both are noticed
(threats K4, S9).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tillit_server.signing.files import CustodyError, locked, read_secret, replace_secret, sweep

GUARD_FILE = "ring.guard"


class RolledBack(CustodyError):
    """The store holds an older, another or no ring, though this host has seen a newer one.

    ``expected`` and ``found`` are epochs.
    """

    def __init__(self, line: str, *, expected: int, found: int) -> None:
        super().__init__(line)
        self.expected = expected
        self.found = found


@dataclass(frozen=True, slots=True)
class Mark:
    """The newest epoch of a ring that this host has seen, and its MAC; epoch 0 is none."""

    ring: str
    epoch: int
    digest: str
    path: Path

    def require(self, epoch: int, digest: str) -> None:
        """Raise ``RolledBack`` if ``epoch`` is older than seen, or the same with other content.

        Epoch 0 stands for: there is no ring.
        """
        if epoch > self.epoch or (epoch, digest) == (self.epoch, self.digest) or self.epoch == 0:
            return
        found = f"is at epoch {epoch}" if epoch else "is gone from the store"
        if epoch == self.epoch:
            found = f"differs from the one of the same epoch {epoch}"
        raise RolledBack(
            f"the {self.ring} ring {found}, but this host has seen epoch {self.epoch}: "
            f"was a backup restored? If that is meant, remove {self.path}",
            expected=self.epoch,
            found=epoch,
        )


class Guard:
    """Compares a ring's epoch (a counter, one higher with each change) with the newest one seen."""

    def __init__(
        self,
        directory: Path,
        authenticate: Callable[[bytes], str],
        authentic: Callable[[bytes, str], bool],
    ) -> None:
        """``authenticate`` is the custodian's MAC: nobody without the master key can move the guard."""
        self._directory = directory
        self._path = directory / GUARD_FILE
        self._authenticate = authenticate
        self._authentic = authentic

    def mark(self, ring: str) -> Mark:
        """The newest ring seen; read it before the record that it judges. Raises ``CustodyError``."""
        return Mark(ring, *self._read().get(ring, (0, "")), self._path)

    def raise_to(self, ring: str, epoch: int, digest: str) -> None:
        """Remember ``epoch`` unless a newer one is remembered.

        Raises ``OSError`` if the file cannot be written.
        """
        with locked(self._directory):
            rings = self._read()
            if rings.get(ring, (0, ""))[0] >= epoch:
                return
            self._write({**rings, ring: (epoch, digest)})

    def renew(self) -> None:
        """Authenticate what is remembered with the master key that seals now. Raises ``OSError``."""
        with locked(self._directory):
            self._write(self._read())

    def _write(self, rings: dict[str, tuple[int, str]]) -> None:
        body = orjson.dumps(rings, option=orjson.OPT_SORT_KEYS)
        sweep(self._path)
        replace_secret(
            self._path, orjson.dumps({"rings": rings, "mac": self._authenticate(b"guard " + body)})
        )

    def _read(self) -> dict[str, tuple[int, str]]:
        data = read_secret(self._path)
        if data is None:
            return {}
        damaged = CustodyError(
            f"{self._path}: the rollback guard is damaged or was made with another master key"
        )
        try:
            document = orjson.loads(data)
            rings: dict[str, Any] = document["rings"]
            body = orjson.dumps(rings, option=orjson.OPT_SORT_KEYS)
            if not self._authentic(b"guard " + body, document["mac"]):
                raise damaged
            return {ring: (int(epoch), str(digest)) for ring, (epoch, digest) in rings.items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise damaged from None
