"""`tillit demo`: the whole main job in one command, with nothing left behind."""

import os
import re
import subprocess
from pathlib import Path

from support.service import TILLIT, clean_environment

SECONDS = 20


def running_in(session: int) -> list[int]:
    """The processes of a session that are still there, whoever started them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        # pid (name) state parent group session ...; the name may hold blanks
        if int(text.rpartition(")")[2].split()[3]) == session:
            found.append(int(process.name))
    return found


def test_the_demo_shows_the_main_job_and_leaves_nothing(tmp_path: Path):
    """It exits 0 with a token, documents and three refusals explained, in 20 s of work, and leaves nothing."""
    with (
        (tmp_path / "out").open("w+") as out,
        subprocess.Popen(
            [TILLIT, "demo"],
            stdout=out,
            stderr=out,
            start_new_session=True,
            env={**clean_environment(), "TMPDIR": str(tmp_path / "tmp"), "NO_COLOR": "1"},
        ) as process,
    ):
        (tmp_path / "tmp").mkdir()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        left = running_in(process.pid)
        out.seek(0)
        said = out.read()
    assert process.returncode == 0, said
    assert left == []
    assert list((tmp_path / "tmp").iterdir()) == []
    # What a busy machine makes of it is not the demo's business: its own work counts, all processes together.
    assert used.ru_utime + used.ru_stime < SECONDS
    assert re.findall(r"^(\d)\. ", said, re.MULTILINE) == ["1", "2", "3", "4", "5", "6"]
    for told in (
        "KLAR SKOGSTJERNE, Lege",
        "vouched for by:       legal_entity",
        "200 Epikrise",
        "ATT-58c at /toa: ATT-58: attestation_has_expired",
        "401 the DPoP proof was already used",
        '403 {"error": "access_denied"}',
        "names rule ATT-4",
        "Done. Everything was stopped and removed.",
    ):
        assert told in said
    assert "eyJ" not in said
    assert not re.search(r"(?<!\d)\d{11}(?!\d)", said)
