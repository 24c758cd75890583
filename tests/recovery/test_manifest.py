"""The manifest: one spelling, one master key, and an answer to whatever else stands in its place."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.json_values import values
from tillit_server.recovery.manifest import MAX_BYTES, BackupDamaged, Manifest
from tillit_server.signing.custody import Custody, open_custody
from tillit_server.storage.ports import Head

FEW = settings(max_examples=60, deadline=None)
NUMBERS = st.integers(0, 2**53 - 1)
MANIFESTS = st.builds(
    Manifest,
    issuer=st.text(),
    release=st.text(),
    schema=NUMBERS,
    made_at=NUMBERS,
    rows=st.fixed_dictionaries(dict.fromkeys(("record", "removed", "journal", "label"), NUMBERS)),
    heads=st.lists(
        st.builds(Head, st.integers(1, 1024), NUMBERS, st.binary(min_size=32, max_size=32)),
        unique_by=lambda head: head.slot,
    ).map(lambda heads: tuple(sorted(heads, key=lambda head: head.slot))),
    size=NUMBERS,
    sha256=st.text(),
    master=st.text(),
)


def example(custody: Custody, **members: Any) -> Manifest:
    """One of a small backup."""
    given = {
        "issuer": "https://sts.example.test",
        "release": "1",
        "schema": 2,
        "made_at": 1_795_000_000,
        "rows": {"record": 3, "removed": 0, "journal": 7, "label": 1},
        "heads": (Head(1, 5, b"\1" * 32), Head(2, 2, b"\2" * 32)),
        "size": 4096,
        "sha256": "ab" * 32,
        "master": custody.master_id,
    }
    return Manifest(**{**given, **members})


@FEW
@given(manifest=MANIFESTS, mac=st.text())
def test_what_is_written_is_read(manifest: Manifest, mac: str):
    """Any manifest comes back as it was, with its MAC."""
    line = orjson.dumps({**manifest.body(), "mac": mac}, option=orjson.OPT_SORT_KEYS)

    assert Manifest.parse(line) == (manifest, mac)


@FEW
@given(unverified=st.one_of(st.binary(), values.map(lambda value: json.dumps(value).encode())))
def test_whatever_stands_there_is_refused(unverified: bytes):
    """Octets and JSON of any shape are refused in one line, and in no other way."""
    with pytest.raises(BackupDamaged):
        Manifest.parse(unverified)


@FEW
@given(data=st.data(), value=values)
def test_a_member_of_another_shape_is_refused(data: st.DataObject, value: Any, custody: Custody):
    """Each member, at each depth, may be anything else: it is refused or it is the same."""
    found = orjson.loads(example(custody).to_line(custody))
    node, name = found, data.draw(st.sampled_from(sorted(found)))
    while isinstance(node[name], dict) and data.draw(st.booleans()):
        node = node[name]
        name = data.draw(st.sampled_from(sorted(node)))
    was, node[name] = node[name], value
    if value == was and type(value) is type(was):
        return
    with pytest.raises(BackupDamaged):
        Manifest.read(json.dumps(found, sort_keys=True, separators=(",", ":")).encode(), custody)


def test_every_bit_counts(custody: Custody):
    """A manifest with any one bit turned is refused."""
    line = example(custody).to_line(custody)
    for place in range(len(line) * 8):
        turned = bytearray(line)
        turned[place // 8] ^= 1 << place % 8
        with pytest.raises(BackupDamaged):
            Manifest.read(bytes(turned), custody)


def test_another_master_key_says_so(custody: Custody, tmp_path: Path):
    """The line names both keys and says what to do; an id that lies is no help."""
    other = open_custody(tmp_path / "keys", make=True, scrypt_cost=1024)

    with pytest.raises(BackupDamaged, match=f"{custody.master_id}.*{other.master_id}.*master.key"):
        Manifest.read(example(custody).to_line(custody), other)
    forged = example(custody, master=other.master_id)
    with pytest.raises(BackupDamaged, match="changed"):
        Manifest.read(forged.to_line(other).replace(b'"made_at":1795', b'"made_at":1796'), other)


def test_a_manifest_without_end_is_not_read():
    """What is larger than any manifest is refused by its size."""
    with pytest.raises(BackupDamaged, match="too large"):
        Manifest.parse(b" " * (MAX_BYTES + 1))
