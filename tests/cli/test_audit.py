"""`tillit audit`: whoever changes the record is found, whoever reads it is written down."""

import calendar
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.backstage import eventually
from support.commands import TILLIT, run
from support.ehr import Ehr
from support.service import Service, clean_environment, run_cli
from support.shell import one_line
from tillit_server.audit.chain import chain_secret, verify
from tillit_server.audit.events import AuditRead
from tillit_server.config import load_settings
from tillit_server.storage.sqlite_commit import SLOT_SHIFT
from tillit_server.storage.sqlite_file import DATABASE
from tillit_server.wiring import CHECKPOINT, build

PATIENT, PRACTITIONER, SOUGHT = "05825031016", "14857527039", "00000000000"
JANUARY = calendar.timegm((2026, 1, 15, 12, 0, 0))


@pytest.fixture(scope="module")
def recorded(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the shared installation, taken while it runs, once it holds a token and a refusal."""
    ehr = Ehr(service, "cli-audit", service.add_client("cli-audit"))
    assert ehr.token().status == 200
    assert ehr.token(scope="openid").status == 400
    eventually((service.data / CHECKPOINT).exists)
    copied = tmp_path_factory.mktemp("audit") / "recorded"
    shutil.copytree(service.data / "keys", copied / "keys")
    shutil.copy(service.data / CHECKPOINT, copied)
    with (
        closing(sqlite3.connect(service.data / DATABASE)) as source,
        closing(sqlite3.connect(copied / DATABASE)) as copy,
    ):
        source.backup(copy)
    return copied


@pytest.fixture
def copy(recorded: Path, tmp_path: Path) -> Path:
    """A copy of that copy, to be tampered with."""
    return shutil.copytree(recorded, tmp_path / "copy")


def verified(data: Path, *more: str, exit_code: int) -> dict[str, Any]:
    """What ``audit verify`` says, as JSON."""
    done = run_cli("audit", "verify", "--data", str(data), "--output", "json", *more, check=False)
    assert done.returncode == exit_code, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["intact"] == (exit_code == 0)
    return report


def tamper(data: Path, statement: str, *values: Any) -> None:
    """Change the database as somebody with the file and no keys can."""
    with closing(sqlite3.connect(data / DATABASE)) as database:
        changed = database.execute(statement, values).rowcount
        database.commit()
    assert changed == 1


def last_entry(data: Path) -> tuple[int, int, int]:
    """Row, slot and number of the newest entry of the longest chain."""
    with closing(sqlite3.connect(data / DATABASE)) as database:
        (row,) = database.execute(
            "SELECT max(id) FROM journal GROUP BY id >> ? ORDER BY count(*) DESC", (SLOT_SHIFT,)
        ).fetchone()
    return row, row >> SLOT_SHIFT, row & ((1 << SLOT_SHIFT) - 1)


def test_a_record_that_nobody_has_touched_is_intact(service: Service):
    """Every chain is walked to its end, beside running workers that go on writing."""
    assert run_cli("audit", "verify", "--data", str(service.data)).stdout.startswith("intact: ")


def test_a_changed_byte_is_found_and_the_entry_named(copy: Path):
    """One byte changed in the database makes ``audit verify`` exit 1 and name slot and entry."""
    row, slot, seq = last_entry(copy)
    tamper(copy, "UPDATE journal SET public = replace(public, ?, ?) WHERE id = ?", b'"at":1', b'"at":2', row)
    done = run_cli("audit", "verify", "--data", str(copy), check=False)
    assert done.returncode == 1
    assert done.stdout == f"NOT INTACT: slot {slot}, entry {seq}: changed, or linked with another secret\n"


def test_a_cut_tail_is_found_by_a_checkpoint_kept_elsewhere(copy: Path, tmp_path: Path):
    """Whoever cuts the end off and takes the checkpoint away is found by the copy that was kept elsewhere."""
    kept = tmp_path / "kept"
    (copy / CHECKPOINT).rename(kept)
    heads = json.loads(kept.read_text(encoding="utf-8"))["heads"]
    slot, (seq, _) = max(heads.items(), key=lambda item: item[1][0])
    with closing(sqlite3.connect(copy / DATABASE)) as database:
        database.execute(
            "DELETE FROM journal WHERE id >> ? = ? AND id >= ?",
            (SLOT_SHIFT, int(slot), (int(slot) << SLOT_SHIFT) + seq),
        )
        database.commit()
    report = verified(copy, exit_code=0)
    assert report["entries"] == sum(report["slots"].values()) > 1
    assert report["flaw"] is None
    flaw = verified(copy, "--checkpoint", str(kept), exit_code=1)["flaw"]
    assert (flaw["slot"], flaw["seq"]) == (int(slot), seq)
    assert "missing" in flaw["reason"]


def test_a_checkpoint_that_is_none_exits_2(recorded: Path, tmp_path: Path):
    """A file that is no checkpoint of this installation is told in one line, and nothing is called intact."""
    path = tmp_path / "checkpoint"
    path.write_bytes(b"\xff\xfe")
    done = run_cli("audit", "verify", "--data", str(recorded), "--checkpoint", str(path), check=False)
    assert done.returncode == 2
    assert one_line(done).startswith("checkpoint: ")


def test_entries_are_listed_without_persons_and_the_reading_recorded(copy: Path):
    """``audit list`` gives the newest entries of a kind, from however far back, and writes down who read."""
    listed = ("audit", "list", "--data", str(copy))
    who = ("--operator", "kari", "--reason", "inspection")
    lines = run_cli(*listed, "--event", "issuer.token.issued", "--limit", "1", *who).stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["issuer.token.issued"]
    text = run_cli(*listed, "--limit", "10000", "--output", "json").stdout
    assert PATIENT not in text
    assert PRACTITIONER not in text
    entries = json.loads(text)
    assert not any("personal" in entry for entry in entries)
    assert [entry["at"] for entry in entries] == sorted(entry["at"] for entry in entries)
    (read,) = (
        entry for entry in entries if entry["event"] == "audit.journal.read" and entry["operator"] == "kari"
    )
    assert (read["reason"], read["query"], read["entries"]) == ("inspection", "list", 1)


def test_a_person_is_found_and_the_search_itself_is_recorded(copy: Path):
    """``audit find`` opens what concerns one person, asks for a reason, and the next search finds the search."""
    find = ("audit", "find", "--data", str(copy), "--output", "json")
    done = run_cli(*find, "--person", PATIENT, check=False)
    assert (done.returncode, one_line(done)) == (2, "audit find: --reason is needed")
    done = run(
        [TILLIT, *find, "--operator", "kari", "--reason", "her own request"],
        input=PATIENT + "\n",
        capture_output=True,
        text=True,
        check=True,
        env=clean_environment(),
        start_new_session=True,
    )
    entries = json.loads(done.stdout[done.stdout.index("[") :])
    assert any(
        entry["event"] == "issuer.token.issued" and PATIENT in entry["personal"]["patients"]
        for entry in entries
    )
    again = json.loads(run_cli(*find, "--person", PATIENT, "--reason", "again").stdout)
    searches = [entry for entry in again if entry["event"] == "audit.journal.read"]
    assert [(entry["operator"], entry["reason"]) for entry in searches] == [("kari", "her own request")]


def test_a_month_whose_retention_ends_becomes_unreadable_and_stays_whole(copy: Path):
    """After ``destroy-month`` nobody finds or reads its persons, the chain is intact, and the act is recorded."""
    installation = build(load_settings(flags={"dev": True, "data": copy}))
    audit, journal = installation.services.audit, installation.services.store.journal
    now, audit._clock = audit._clock, lambda: JANUARY
    audit.record(AuditRead(operator="ola", reason="old", query="person", entries=0, sought=SOUGHT))
    audit._clock = now
    assert len(audit.find_person(SOUGHT)) == 1
    destroy = ("audit", "destroy-month", "--data", str(copy), "--month", "2026-01", "--reason", "retention")
    assert run_cli(*destroy).stdout == "2026-01: 1 key(s) destroyed\n"
    assert audit.find_person(SOUGHT) == []
    entries = [
        entry
        for head in journal.heads()
        for after in range(0, head.seq, 1000)  # a page
        for entry in audit.read(head.slot, after=after)
    ]
    assert [entry.public["month"] for entry in entries if entry.event == "audit.month.destroyed"] == [
        "2026-01"
    ]
    assert [entry.personal for entry in entries if entry.public.get("operator") == "ola"] == [None]
    assert verify(journal, chain_secret(installation.audit_secret)).intact
    installation.close()


@pytest.mark.parametrize(("month", "exit_code"), [("this month", 2), ("2026-13", 2), ("9999-12", 1)])
def test_no_month_is_destroyed_that_is_not_over(month: str, exit_code: int, recorded: Path):
    """A month that is none, or not over, is refused in one line."""
    done = run_cli("audit", "destroy-month", "--data", str(recorded), "--month", month, check=False)
    assert done.returncode == exit_code
    assert one_line(done).startswith("audit: ")
