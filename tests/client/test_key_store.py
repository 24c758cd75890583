"""The file of an EHR's keys: complete at every moment, for nobody else to read."""

import json
import os
import stat
from pathlib import Path

import pytest

from tillit.client import FileKeyStore, KeyStoreError, StoredKeys
from tillit.protocol.jose import SigningKey, generate_key, private_jwk

OLD, NEW = generate_key("ES256", "old"), generate_key("EdDSA", "new")


@pytest.fixture
def store(tmp_path: Path) -> FileKeyStore:
    """A store with one key."""
    kept = FileKeyStore(tmp_path / "keys.json")
    kept.save(StoredKeys(OLD))
    return kept


def names(keys: StoredKeys) -> tuple[str, str | None]:
    """The kids of what is stored."""
    return keys.current.kid, keys.next and keys.next.kid


def test_what_was_saved_is_loaded(store: FileKeyStore):
    """Both keys come back with their names and algorithms, and each save replaces what was there."""
    assert names(store.load()) == ("old", None)
    store.save(StoredKeys(OLD, NEW))
    loaded = store.load()
    assert loaded.next is not None
    assert (loaded.current.public, loaded.next.public) == (OLD.public, NEW.public)
    store.save(StoredKeys(NEW))
    assert names(store.load()) == ("new", None)
    assert [path.name for path in store.path.parent.iterdir()] == ["keys.json"]


def test_a_private_key_alone_is_the_current_one(tmp_path: Path):
    """The file that a client began with is taken as it is."""
    path = tmp_path / "ehr.jwk"
    path.write_text(json.dumps(private_jwk(OLD)), encoding="utf-8")
    path.chmod(0o600)
    assert names(FileKeyStore(path).load()) == ("old", None)


def test_the_file_is_for_its_owner_alone(store: FileKeyStore):
    """Written with mode 0600 whatever the mask, and refused when others may read it."""
    mask = os.umask(0)
    try:
        store.save(StoredKeys(NEW))
    finally:
        os.umask(mask)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    store.path.chmod(0o640)
    with pytest.raises(KeyStoreError, match="others may read it"):
        store.load()


class Pulled(BaseException):
    """The plug."""


@pytest.mark.parametrize("call", ["open", "fsync", "fdopen"])
def test_a_save_that_is_cut_off_leaves_what_was_there(
    call: str, store: FileKeyStore, monkeypatch: pytest.MonkeyPatch
):
    """Wherever the system stops before the file is replaced, the old keys are there, whole."""

    def pulled(*_: object, **__: object) -> None:
        raise Pulled

    with monkeypatch.context() as patched:
        patched.setattr(os, call, pulled)
        with pytest.raises(Pulled):
            store.save(StoredKeys(NEW))
    assert names(store.load()) == ("old", None)


def test_a_disk_that_is_full_is_told_and_nothing_is_lost(
    store: FileKeyStore, monkeypatch: pytest.MonkeyPatch
):
    """An error of the system is a KeyStoreError with the path, and the old keys are there."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(KeyStoreError, match=r"keys\.json: cannot be written \(No space"):
            store.save(StoredKeys(NEW))
    assert names(store.load()) == ("old", None)


def without(key: SigningKey, *members: str) -> dict[str, str]:
    """A private JWK that lacks members."""
    return {name: value for name, value in private_jwk(key).items() if name not in members}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b'{"current":null,"next":null}',
        b'{"current":{},"next":null}',
        b'{"current":1,"current":2}',
        b"\xff\xfe",
        json.dumps(without(OLD, "d")).encode(),
        json.dumps({"current": private_jwk(OLD), "next": 7}).encode(),
        json.dumps({**private_jwk(OLD), "d": private_jwk(generate_key("ES256"))["d"]}).encode(),
        b"[" * 5000,
    ],
)
def test_a_file_that_holds_no_keys_is_refused(content: bytes, store: FileKeyStore):
    """Whatever is in the file, the answer is one KeyStoreError that names the path and no key material."""
    store.path.write_bytes(content)
    with pytest.raises(KeyStoreError, match=r"keys\.json: ") as caught:
        store.load()
    assert private_jwk(OLD)["d"] not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path):
    """No key is invented: the client's first key is registered by an operator."""
    with pytest.raises(KeyStoreError, match="cannot be read"):
        FileKeyStore(tmp_path / "nothing").load()
