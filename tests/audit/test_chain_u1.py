"""Threats U1 and U2: what was written stays as it was written, or the verifier names the first bad entry."""

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from support import audit_verifier
from support.stores import AUDIT_SECRET, Hands, note, open_store
from tillit_server.audit.chain import ChainLinker, Report, chain_secret, verify
from tillit_server.audit.checkpoints import (
    Checkpoint,
    checkpoint_secret,
    known_heads,
    read_checkpoint,
    write_checkpoint,
)
from tillit_server.storage.ports import Entry, Head, Journal, JournalEntry, Settlement

SECRET = chain_secret(AUDIT_SECRET)
CHAINS, LENGTH = 10, 100


class Shelf:
    """A journal in memory, whose entries the tests tamper with; only what `verify` reads."""

    def __init__(self, entries: Sequence[JournalEntry]) -> None:
        self.entries = entries

    def heads(self) -> Sequence[Head]:
        """The last entry of each slot."""
        return [*{entry.slot: Head(entry.slot, entry.seq, entry.link) for entry in self.entries}.values()]

    def read(self, slot: int, *, after: int = 0, limit: int = 1000) -> Sequence[JournalEntry]:
        """In the order of the numbers, as a table with a primary key gives them."""
        del limit
        return [entry for entry in self.entries if entry.slot == slot and entry.seq > after]


def chain(length: int, slot: int = 1, text: str = "entry") -> list[JournalEntry]:
    linker, link = ChainLinker(SECRET, slot), b""
    made = []
    for seq in range(1, length + 1):
        entry = Entry(f'{{"{text}":{slot}{seq}}}'.encode(), os.urandom(12))
        link = linker.link(link, seq, linker.digest(entry))
        made.append(JournalEntry(slot, seq, entry.public, entry.sealed, link))
    return made


THOUSAND = [chain(LENGTH, slot) for slot in range(1, CHAINS + 1)]
CHAIN = THOUSAND[0]


def checkpoint_of(*chains: Sequence[JournalEntry]) -> str:
    heads = tuple(Head(entries[-1].slot, entries[-1].seq, entries[-1].link) for entries in chains)
    return write_checkpoint(Checkpoint(1, heads), checkpoint_secret(AUDIT_SECRET))


LINES = {entries[0].slot: checkpoint_of(entries) for entries in THOUSAND}


def judge(entries: Sequence[JournalEntry], line: str | None, secret: bytes = SECRET) -> Report:
    """Our verdict; the independent verifier must agree."""
    known = known_heads([read_checkpoint(line, checkpoint_secret(AUDIT_SECRET))]) if line else None
    journal: Journal = Shelf(entries)
    report = verify(journal, secret, known=known)
    if secret == SECRET and random.random() < 0.1:
        rows = [(e.slot, e.seq, e.public, e.sealed, e.link) for e in entries]
        theirs = audit_verifier.find_flaw(rows, AUDIT_SECRET, [line] if line else [])
        ours = (report.flaw.slot, report.flaw.seq) if report.flaw else None
        assert (theirs and theirs[:2]) == ours
    return report


def first_bad(entries: Sequence[JournalEntry]) -> int:
    """The number of the entry that the verifier names, in a chain whose end a checkpoint knows."""
    slot = entries[0].slot
    flaw = judge(entries, LINES[slot]).flaw
    assert flaw is not None
    assert flaw.slot == slot
    return flaw.seq


def renumbered(entries: Sequence[JournalEntry]) -> list[JournalEntry]:
    return [JournalEntry(e.slot, n, e.public, e.sealed, e.link) for n, e in enumerate(entries, 1)]


def test_an_untouched_audit_is_intact() -> None:
    """No false alarm, with and without a checkpoint."""
    everything = [entry for entries in THOUSAND for entry in entries]

    assert judge(everything, checkpoint_of(*THOUSAND)).entries == 1_000
    assert judge(everything, checkpoint_of(*THOUSAND)).intact
    assert judge(CHAIN, None) == Report(LENGTH, (Head(1, LENGTH, CHAIN[-1].link),), None)


def test_u1_every_deletion_is_found() -> None:
    """Each of a thousand entries, with the hole left open and with the rest moved up."""
    for entries in THOUSAND:
        for n in range(LENGTH):
            left = entries[:n] + entries[n + 1 :]
            assert first_bad(left) == n + 1
            assert first_bad(renumbered(left)) == n + 1


def test_u1_every_swap_is_found() -> None:
    """Each pair of neighbours."""
    for entries in THOUSAND:
        for n in range(LENGTH - 1):
            swapped = [*entries[:n], entries[n + 1], entries[n], *entries[n + 2 :]]
            assert first_bad(renumbered(swapped)) == n + 1


def test_u1_every_duplicate_is_found() -> None:
    """An entry that stands there twice."""
    for entries in THOUSAND:
        for n in range(LENGTH):
            assert first_bad(renumbered([*entries[: n + 1], entries[n], *entries[n + 1 :]])) == n + 2


def test_u1_every_insertion_is_found() -> None:
    """A forged entry at each place, with the link of its neighbour or of nobody."""
    for entries in THOUSAND:
        for n in range(LENGTH):
            forged = JournalEntry(entries[0].slot, 0, b"{}", b"", entries[n].link if n % 2 else bytes(32))
            assert first_bad(renumbered([*entries[:n], forged, *entries[n:]])) == n + 1


def test_u1_every_byte_counts() -> None:
    """A bit in each byte of each member of some entries, and of one byte of each member of all others."""
    for entries in THOUSAND:
        for n, entry in enumerate(entries):
            for member in ("public", "sealed", "link"):
                content = getattr(entry, member)
                for place in range(len(content)) if n == LENGTH // 2 else [random.randrange(len(content))]:
                    edited = bytearray(content)
                    edited[place] ^= 1 << random.randrange(8)
                    forged = replace(entry, **{member: bytes(edited)})
                    assert first_bad([*entries[:n], forged, *entries[n + 1 :]]) == n + 1


def test_u1_bytes_cannot_move_between_the_members() -> None:
    """The border between clear text and ciphertext is part of what is linked."""
    entry = CHAIN[0]
    moved = JournalEntry(1, 1, entry.public + entry.sealed[:1], entry.sealed[1:], entry.link)

    assert first_bad([moved, *CHAIN[1:]]) == 1


def test_u1_a_chain_cannot_become_another_slots() -> None:
    """The slot is part of every link."""
    stolen = [JournalEntry(2, e.seq, e.public, e.sealed, e.link) for e in CHAIN[:5]]

    assert not judge(stolen, None).intact


def test_u2_every_cut_tail_is_found_against_a_checkpoint() -> None:
    """Any number of entries, all of them included; without a checkpoint nobody could know."""
    for n in range(LENGTH):
        flaw = judge(CHAIN[:n], LINES[1]).flaw
        assert flaw is not None
        assert (flaw.slot, flaw.seq) == (1, n + 1)
    assert judge(CHAIN[:-1], None).intact


def test_u2_a_chain_that_is_not_there_at_all() -> None:
    """A slot that a checkpoint knows must exist, whatever the others look like."""
    other = chain(3, slot=2)
    line = checkpoint_of(CHAIN, other)

    assert judge([*CHAIN, *other], line).intact
    flaw = judge(CHAIN, line).flaw
    assert flaw is not None
    assert (flaw.slot, flaw.seq) == (2, 1)


def test_u2_a_diverging_copy_is_found() -> None:
    """A history that is whole in itself, but not the one the checkpoint saw."""
    other = chain(LENGTH, text="other")

    assert judge(other, None).intact
    flaw = judge(other, LINES[1]).flaw
    assert flaw is not None
    assert flaw.seq == LENGTH
    assert "checkpoint" in flaw.reason


def test_u2_another_audit_secret_is_found() -> None:
    """Neither the entries nor the checkpoint pass under a secret that they were not made with."""
    flaw = judge(CHAIN, None, chain_secret(b"another" * 5)).flaw

    assert flaw is not None
    assert flaw.seq == 1


def test_u2_an_older_file_is_found(tmp_path: Path) -> None:
    """Yesterday's copy of the whole database, put back, is missing what the checkpoint saw."""
    store = open_store(tmp_path / "store.sqlite")
    store.settle(Settlement(entries=[note(str(n)) for n in range(10)]))
    store.close()
    yesterday = (tmp_path / "store.sqlite").read_bytes()
    store = open_store(tmp_path / "store.sqlite")
    store.settle(Settlement(entries=[note(str(n)) for n in range(5)]))
    checkpoint = Checkpoint(1, tuple(store.journal.heads()))
    store.close()
    (tmp_path / "store.sqlite").write_bytes(yesterday)
    store = open_store(tmp_path / "store.sqlite")
    report = verify(store.journal, SECRET, known=known_heads([checkpoint]))
    store.close()

    assert report.flaw is not None
    assert (report.flaw.slot, report.flaw.seq) == (1, 11)


def test_the_independent_verifier_reads_the_file_itself(tmp_path: Path, clock: Hands) -> None:
    """As a program of its own it agrees on a real database, before and after somebody edits it with SQL."""
    path, lines = tmp_path / "store.sqlite", tmp_path / "checkpoint"
    for slot in (1, 2):
        store = open_store(path, clock=clock, slot=slot)
        store.settle(Settlement(entries=[note(f"{slot} {n}") for n in range(20)]))
        lines.write_text(
            write_checkpoint(Checkpoint(1, tuple(store.journal.heads())), checkpoint_secret(AUDIT_SECRET))
        )
        store.close()
    command = [sys.executable, "-I", audit_verifier.__file__, path, AUDIT_SECRET.hex(), lines]

    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "intact\n"
    connection = sqlite3.connect(path)
    connection.execute("UPDATE journal SET public = replace(public, '7', '8') WHERE id = (2 << 40) + 8")
    connection.commit()
    connection.close()
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.stdout == "slot 2 entry 8: changed\n"
    store = open_store(path, clock=clock)
    report = verify(store.journal, SECRET)
    store.close()
    assert report.flaw is not None
    assert (report.flaw.slot, report.flaw.seq) == (2, 8)


def test_the_independent_verifier_shares_no_code() -> None:
    """It imports the standard library alone."""
    source = Path(audit_verifier.__file__).read_text(encoding="utf-8")
    imported = {
        line.split()[1].partition(".")[0]
        for line in source.splitlines()
        if line.startswith(("import", "from"))
    }

    assert imported <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("length", [0, 1, 499, 500, 501, 1000])
def test_pages_of_the_journal_do_not_matter(tmp_path: Path, length: int) -> None:
    """A chain is walked to its end whatever its length."""
    store = open_store(tmp_path / "store.sqlite")
    store.settle(Settlement(entries=[note(str(n)) for n in range(length)]))

    assert verify(store.journal, SECRET).entries == length
    store.close()
