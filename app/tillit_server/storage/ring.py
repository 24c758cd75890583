"""The door that opens before there are secrets: records of kind `ring`, which their owner has sealed."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from tillit_server.storage.ports import Entry, Json, Records
from tillit_server.storage.sealing import Sealer
from tillit_server.storage.sqlite import SqliteStore


class RingStore:
    """The records of a store whose secrets are not known yet; any kind but `ring` raises `LookupError`.

    For the start alone: read or make the ring, close this, open the `SqliteStore` with the secrets in it.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float], timeout: float = 0.8) -> None:
        """Open the file. Raises as `SqliteStore`."""
        self._store = SqliteStore(
            path,
            clock=clock,
            sealer=_NoSealer(),
            linker=_NoLinker(),
            key_hash_secret=b"",
            timeout=timeout,
        )
        self.records: Records = self._store.records

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _NoSealer(Sealer):
    def __init__(self) -> None:
        super().__init__(_refuse)

    def seal(self, kind: str, key: str, value: Json) -> bytes:  # noqa: ARG002
        _refuse()

    def open(self, kind: str, key: str, sealed: bytes) -> Json:  # noqa: ARG002
        _refuse()


class _NoLinker:
    slot = 0

    def digest(self, entry: Entry) -> bytes:  # noqa: ARG002
        _refuse()

    def link(self, previous: bytes, seq: int, digest: bytes) -> bytes:  # noqa: ARG002
        _refuse()


def _refuse() -> NoReturn:
    raise LookupError("there are no secrets yet: only records of kind ring can be used")
