"""``tillit backup`` and ``restore``: one line for whatever stands in the way, and exit codes that programs can trust."""

from pathlib import Path

from support.service import run_cli
from support.shell import one_line


def test_what_stands_in_the_way_is_said_in_one_line(tmp_path: Path):
    """No reason, no backup, a file that is none, a store that is there: exit code 2, and nothing is done."""
    where = ("--data", str(tmp_path / "data"))
    run_cli("clients", "list", *where)
    file, why = str(tmp_path / "backup"), ("--reason", "drill")
    for arguments, said in (
        (("restore", file), "--reason is needed"),
        (("restore", file, *why), "No such file"),
        (("restore", __file__, "--check"), "not a backup"),
        (("backup", str(tmp_path / "nowhere" / "backup")), "No such file"),
        (("backup", __file__), "is there already"),
    ):
        done = run_cli(*arguments, *where, check=False)
        assert done.returncode == 2
        assert said in one_line(done)
    assert "4 records" in run_cli("backup", file, *where).stdout
    assert "the audit is intact" in run_cli("restore", file, "--check", *where).stdout
    done = run_cli("restore", file, *why, *where, check=False)
    assert done.returncode == 2
    assert "--replace" in one_line(done)
