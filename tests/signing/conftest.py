"""What the tests of the signing room work with: a store in memory, and two clocks that stand still."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from support.softhsm import SoftHsm, fresh_label, make_softhsm
from tillit_server.signing.custody import Custody, open_custody
from tillit_server.signing.key_store import KeyStore
from tillit_server.signing.key_stores import open_key_stores
from tillit_server.signing.signer import Signer
from tillit_server.storage.ports import Conflict, Record, StorageUnavailable

START = 1_795_000_000.25


@dataclass
class MemoryRecords:
    """Records in memory, with compare-and-swap, a fault switch, and hooks around the next put and get."""

    rows: dict[tuple[str, str], Record] = field(default_factory=dict)
    down: bool = False
    gets: int = 0
    before_put: Callable[[], None] | None = None
    after_get: Callable[[], None] | None = None

    def get(self, kind: str, key: str) -> Record | None:
        """What was put last."""
        self.gets += 1
        if self.down:
            raise StorageUnavailable("the store is down")
        row = self.rows.get((kind, key))
        if self.after_get:
            hook, self.after_get = self.after_get, None
            hook()
        return None if row is None else Record(orjson.loads(orjson.dumps(row.value)), row.version)

    def put(self, kind: str, key: str, value: Any, *, expect: int | None = None) -> int:
        """Put under compare-and-swap."""
        if self.before_put:
            hook, self.before_put = self.before_put, None
            hook()
        if self.down:
            raise StorageUnavailable("the store is down")
        version = self.rows[kind, key].version if (kind, key) in self.rows else 0
        if expect is not None and expect != version:
            raise Conflict(kind, "version")
        self.rows[kind, key] = Record(orjson.loads(orjson.dumps(value)), version + 1)
        return version + 1


@dataclass
class Hand:
    """A clock that moves when it is told to."""

    now: float = START

    def __call__(self) -> float:
        """What it shows."""
        return self.now

    def pass_(self, seconds: float) -> None:
        """Move on."""
        self.now += seconds


@pytest.fixture
def records() -> MemoryRecords:
    return MemoryRecords()


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def ticks() -> Hand:
    return Hand(1000.0)


@pytest.fixture
def custody(tmp_path: Path) -> Custody:
    return open_custody(tmp_path / "keys", make=True)


@pytest.fixture
def start_signer(records, custody, clock, ticks):
    def start(*algorithms: str, **more) -> Signer:
        return Signer(
            records, custody, clock, more.pop("policy", None), algorithms or ("ES256",), ticks=ticks, **more
        )

    return start


@pytest.fixture(scope="session")
def token_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftHsm]:
    """SoftHSM2 with a directory of tokens for this process; skipped, and counted, where there is none."""
    hsm = make_softhsm(tmp_path_factory.mktemp("softhsm"))
    with hsm.configured():
        yield hsm


@pytest.fixture
def hsm(token_directory: SoftHsm) -> SoftHsm:
    """A token of the test's own."""
    return token_directory.add_token(fresh_label())


@pytest.fixture
def open_stores(custody) -> Iterator[Callable[..., tuple[KeyStore, ...]]]:
    """Opens stores as an installation does; with a token, keys are made there."""
    opened: list[KeyStore] = []

    def open_them(token: SoftHsm | None, **named: Any) -> tuple[KeyStore, ...]:
        stores = open_key_stores(custody, "pkcs11" if token else "software", token and token.place(**named))
        opened.extend(stores)
        return stores

    yield open_them
    for store in opened:
        store.close()
