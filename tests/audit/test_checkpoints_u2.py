"""Checkpoints: when they are written, what they prove, and that nobody else can make one."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from support.stores import AUDIT_SECRET, Hands, note, open_store, secret
from tillit_server.audit.checkpoints import (
    Checkpoint,
    CheckpointInvalid,
    CheckpointKeeper,
    checkpoint_secret,
    read_checkpoint,
    write_checkpoint,
)
from tillit_server.storage.ports import Head, Settlement

SECRET = checkpoint_secret(AUDIT_SECRET)
CHECKPOINT = Checkpoint(1_790_000_000, (Head(1, 7, b"l" * 32), Head(12, 3, b"m" * 32)))


class Kept:
    """A keeper beside a store, and the lines it has told."""

    def __init__(self, directory: Path, store: Any, clock: Hands) -> None:
        self.told: list[str] = []
        self.path = directory / "checkpoint"
        self.keeper = CheckpointKeeper(
            self.path, store.journal, audit_secret=AUDIT_SECRET, clock=clock, told=self.told.append
        )


@pytest.fixture
def kept(tmp_path: Path, store: Any, clock: Hands) -> Kept:
    return Kept(tmp_path, store, clock)


def write(store: Any, count: int) -> None:
    store.settle(Settlement(entries=[note(str(n)) for n in range(count)]))


def test_a_checkpoint_comes_back_as_it_was() -> None:
    """One line of JSON."""
    line = write_checkpoint(CHECKPOINT, SECRET)

    assert "\n" not in line
    assert read_checkpoint(line, SECRET) == CHECKPOINT


def test_u2_every_edit_of_a_checkpoint_is_found() -> None:
    """Any changed character, another secret, rubbish."""
    line = write_checkpoint(CHECKPOINT, SECRET)
    for place in range(len(line)):
        edited = line[:place] + ("1" if line[place] == "0" else "0") + line[place + 1 :]
        with pytest.raises(CheckpointInvalid):
            read_checkpoint(edited, SECRET)
    for rubbish in ("", "{}", "[]", "null", '{"mac":1}', '{"mac":"","at":1,"heads":{"1":[]}}'):
        with pytest.raises(CheckpointInvalid):
            read_checkpoint(rubbish, SECRET)
    with pytest.raises(CheckpointInvalid):
        read_checkpoint(line, secret("other"))


def test_u2_a_checkpoint_after_a_hundred_entries_or_a_minute(kept: Kept, store: Any, clock: Hands) -> None:
    """Not before, not without entries, and the file always holds the newest."""
    kept.keeper.tick()
    assert kept.told == []
    write(store, 1)
    kept.keeper.tick()
    assert len(kept.told) == 1
    write(store, 99)
    clock.now += 59
    kept.keeper.tick()
    assert len(kept.told) == 1
    write(store, 1)
    kept.keeper.tick()
    assert len(kept.told) == 2
    write(store, 1)
    clock.now += 60
    kept.keeper.tick()
    clock.now += 6000
    kept.keeper.tick()

    assert len(kept.told) == 3
    last = kept.keeper.last()
    assert last is not None
    assert last.entries == 102
    assert kept.path.read_text(encoding="utf-8").strip() == kept.told[-1]


def test_a_clock_set_back_does_not_stop_the_checkpoints(kept: Kept, store: Any, clock: Hands) -> None:
    """An hour back, and the next entry is covered at once."""
    write(store, 1)
    kept.keeper.tick()
    clock.now -= 3600
    write(store, 1)
    kept.keeper.tick()

    assert len(kept.told) == 2


def test_u2_a_store_that_lost_entries_keeps_the_evidence(
    kept: Kept, store: Any, tmp_path: Path, clock: Hands
) -> None:
    """The file is not overwritten by a checkpoint of less."""
    write(store, 150)
    kept.keeper.tick()
    before = kept.path.read_bytes()
    restored = open_store(tmp_path / "restored.sqlite", clock=clock)
    write(restored, 120)
    keeper = CheckpointKeeper(kept.path, restored.journal, audit_secret=AUDIT_SECRET, clock=clock)
    with pytest.raises(CheckpointInvalid, match="slot 1"):
        keeper.tick()

    assert kept.path.read_bytes() == before
    restored.close()


def test_workers_share_one_file(store: Any, tmp_path: Path, clock: Hands) -> None:
    """Four workers that tick at once never leave an older or a torn line."""
    keepers = [Kept(tmp_path, store, clock) for _ in range(4)]

    def run(kept: Kept) -> None:
        for _ in range(5):
            write(store, 100)
            kept.keeper.tick()

    threads = [threading.Thread(target=run, args=(kept,)) for kept in keepers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = sorted(json.loads(line)["heads"]["1"][0] for kept in keepers for line in kept.told)
    last = keepers[0].keeper.last()

    assert last is not None
    assert last.entries == told[-1]
    assert told[-1] <= 2000
