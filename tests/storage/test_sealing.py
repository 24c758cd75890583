"""Values at rest: opened only where they were sealed."""

from functools import partial
from typing import Any

import pytest

from support.stores import START, open_store, secret
from tillit_server.storage.keyed_hash import KeyedHash
from tillit_server.storage.ring import RingStore
from tillit_server.storage.sealing import Sealer, SealingKeys, Unsealable
from tillit_server.storage.sqlite import SqliteStore

OLD = SealingKeys("a", {"a": secret("a")})
ROTATED = SealingKeys("b", {"a": secret("a"), "b": secret("b")})


def sealer(keys: SealingKeys) -> Sealer:
    return Sealer(lambda: keys)


def test_a_sealed_value_opens_under_its_names() -> None:
    """Round trip, with version and key id in front for who comes after us."""
    sealed = sealer(OLD).seal("client", "ehr", {"å": [1, None]})

    assert sealed[:3] == b"\x01\x01a"
    assert sealer(OLD).open("client", "ehr", sealed) == {"å": [1, None]}


def test_values_sealed_with_an_older_key_still_open() -> None:
    """A rotation leaves everything readable, and new values name the new key."""
    assert sealer(ROTATED).open("k", "n", sealer(OLD).seal("k", "n", 1)) == 1
    assert sealer(ROTATED).seal("k", "n", 1)[:3] == b"\x01\x01b"


@pytest.mark.parametrize(
    ("kind", "key"), [("client", "other"), ("account", "ehr"), ("clien", "tehr"), ("", "")]
)
def test_a_value_cannot_be_moved_to_another_record(kind: str, key: str) -> None:
    """The names are part of what is authenticated."""
    sealed = sealer(OLD).seal("client", "ehr", 1)
    with pytest.raises(Unsealable):
        sealer(OLD).open(kind, key, sealed)


def test_every_changed_byte_is_found() -> None:
    """In the header as well as in the ciphertext."""
    sealed = sealer(ROTATED).seal("client", "ehr", {"v": 1})
    for position in range(len(sealed)):
        broken = bytearray(sealed)
        broken[position] ^= 1
        with pytest.raises(Unsealable):
            sealer(ROTATED).open("client", "ehr", bytes(broken))


@pytest.mark.parametrize(
    "sealed", [b"", b"\x01", b"\x01\x05a", b"\x02\x01a" + bytes(40), b"\x01\x01\xff" + bytes(40)]
)
def test_rubbish_is_not_opened(sealed: bytes) -> None:
    """Whatever it is, it raises the one error."""
    with pytest.raises(Unsealable):
        sealer(OLD).open("client", "ehr", sealed)


def test_equal_values_do_not_look_equal() -> None:
    """Sealing twice gives two ciphertexts."""
    assert sealer(OLD).seal("k", "n", 1) != sealer(OLD).seal("k", "n", 1)


def test_the_ring_does_not_show_its_secrets() -> None:
    """Not in a log line, not in a traceback."""
    assert secret("a").hex() not in repr(OLD)
    assert str(secret("a")) not in repr(OLD)


def test_a_sealed_store_holds_no_plain_text(tmp_path: Any) -> None:
    """Neither values nor the keys that are secrets can be found in the files."""
    store = open_store(tmp_path / "store.sqlite")
    canary = "canary-9d1f"
    store.once.claim("assertion", canary, START + 1)
    store.tickets.issue("code", canary, {"secret": canary}, START + 1)
    store.tickets.issue("code", canary + "2", {"secret": canary}, START + 1)
    store.tickets.redeem("code", canary)
    store.records.put("client", "ehr", {"secret": canary})
    found = [p.name for p in tmp_path.iterdir() if canary.encode() in p.read_bytes()]

    assert found == []
    store.close()


def test_a_value_moved_within_the_file_does_not_open(tmp_path: Any) -> None:
    """Who can write the database still cannot give one client another's registration."""
    store = open_store(tmp_path / "store.sqlite")
    store.records.put("client", "poor", {"scope": []})
    store.records.put("client", "rich", {"scope": ["everything"]})
    store._connection.execute(
        "UPDATE record SET value = (SELECT value FROM record WHERE key = 'rich') WHERE key = 'poor'"
    )
    with pytest.raises(Unsealable):
        store.records.get("client", "poor")
    store.close()


def test_the_ring_can_be_kept_before_there_are_secrets(tmp_path: Any) -> None:
    """Records of kind `ring` are stored as given; everything else is refused until the secrets are known."""
    path = tmp_path / "store.sqlite"
    with RingStore(partial(SqliteStore, path, clock=lambda: START)) as ring:
        assert ring.records.put("ring", "secrets", {"blob": "sealed by its owner"}, expect=0) == 1
        with pytest.raises(LookupError):
            ring.records.put("client", "ehr", {})
    store = open_store(path)

    assert store.records.get("ring", "secrets").value == {"blob": "sealed by its owner"}
    store.close()


def test_the_keyed_hash_is_hmac() -> None:
    """Byte for byte, for keys of any length (RFC 2104)."""
    import hmac

    for key in (b"", b"k" * 32, b"k" * 64, b"k" * 65, b"k" * 200):
        for message in (b"", b"m", b"m" * 5000):
            assert KeyedHash(key)(message) == hmac.digest(key, message, "sha256")
