"""The door that opens before there are secrets: records of kind `ring`, which their owner has sealed."""

from types import TracebackType
from typing import NoReturn, Protocol, Self

from tillit_server.storage.ports import Entry, Json, Linker, Records
from tillit_server.storage.sealing import Sealer


class HasRecords(Protocol):
    """As much of a store as a ring needs."""

    @property
    def records(self) -> Records:
        """Compare-and-swap."""

    def close(self) -> None:
        """Let go."""


class OpenRecords(Protocol):
    """Opens a store with its secrets. Raises `StorageRefused`, `StorageUnavailable`."""

    def __call__(self, *, sealer: Sealer, linker: Linker, key_hash_secret: bytes) -> HasRecords:
        """What has the records; its caller closes it."""


class RingStore:
    """The records of a store whose secrets are not known yet; any kind but `ring` raises `LookupError`.

    For the start alone: read or make the ring, close this, open the store with the secrets in it.
    """

    def __init__(self, open_records: OpenRecords) -> None:
        """Open the store. Raises as `open_records`."""
        self._store = open_records(sealer=NoSealer(), linker=_NoLinker(), key_hash_secret=b"")
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


class NoSealer(Sealer):
    """Seals and opens nothing: raises ``LookupError``."""

    def __init__(self) -> None:
        super().__init__(_refuse)

    def seal(self, kind: str, key: str, value: Json) -> bytes:  # noqa: ARG002 (the signature of those that can)
        """There is no secret yet."""
        _refuse()

    def open(self, kind: str, key: str, sealed: bytes) -> Json:  # noqa: ARG002 (the signature of those that can)
        """There is no secret yet."""
        _refuse()


class _NoLinker:
    slot = 0

    def digest(self, entry: Entry) -> bytes:  # noqa: ARG002 (the signature of those that can)
        _refuse()

    def link(self, previous: bytes, seq: int, digest: bytes) -> bytes:  # noqa: ARG002 (the signature of those that can)
        _refuse()


def _refuse() -> NoReturn:
    raise LookupError("there are no secrets yet: only records of kind ring can be used")
