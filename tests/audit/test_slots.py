"""Writer slots: one living writer for each chain."""

from pathlib import Path
from typing import Any

import pytest

from support.stores import PROCESSES
from tillit_server.audit.slots import SlotLease
from tillit_server.storage.ports import StorageUnavailable


def hold_a_slot(directory: Path, told: Any) -> None:
    lease = SlotLease(directory)
    told.send(lease.slot)
    told.recv()


def test_every_writer_gets_its_own_slot(tmp_path: Path) -> None:
    """The lowest that is free; one that was given back is taken first."""
    leases = [SlotLease(tmp_path / "slots") for _ in range(3)]
    assert [lease.slot for lease in leases] == [1, 2, 3]
    leases[1].release()
    with SlotLease(tmp_path / "slots") as again:
        assert again.slot == 2
    for lease in (leases[0], leases[2]):
        lease.release()


def test_the_slot_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    """The kernel gives the lock back; the next process goes on with the chain."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=hold_a_slot, args=(tmp_path, theirs))
    process.start()
    assert ours.recv() == 1
    with SlotLease(tmp_path) as mine:
        assert mine.slot == 2
    process.kill()
    process.join()
    with SlotLease(tmp_path) as mine:
        assert mine.slot == 1


def test_a_place_without_room_for_slots(tmp_path: Path) -> None:
    """Is a store that is away, not a traceback."""
    (tmp_path / "slots").write_text("")
    with pytest.raises(StorageUnavailable):
        SlotLease(tmp_path / "slots")
