"""Files that hold secrets: who may have touched them, and what a crash leaves."""

import os
import stat
from pathlib import Path

import pytest

from tillit_server.signing import files
from tillit_server.signing.files import (
    MAX_BYTES,
    CustodyError,
    create_secret,
    locked,
    private_directory,
    read_secret,
    replace_secret,
    sweep,
)


def secret(path: Path, mode: int = 0o600, data: bytes = b"secret") -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_a_missing_file_is_no_fault(tmp_path: Path) -> None:
    """Whether it must be there is for the caller to say."""
    assert read_secret(tmp_path / "none") is None


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_file_is_read(tmp_path: Path, mode: int) -> None:
    """Closed to group and others is what counts."""
    assert read_secret(secret(tmp_path / "s", mode)) == b"secret"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o610, 0o777])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """Any bit for group or others is too many, and the line says what to run."""
    with pytest.raises(CustodyError, match=r"chmod 600"):
        read_secret(secret(tmp_path / "s", mode))


def test_a_device_is_refused_without_reading_it(tmp_path: Path) -> None:
    """An endless device cannot fill the memory."""
    (tmp_path / "zero").symlink_to("/dev/zero")
    with pytest.raises(CustodyError, match="symbolic link"):
        read_secret(tmp_path / "zero")
    with pytest.raises(CustodyError, match="not a regular file"):
        read_secret(Path("/dev/zero"))


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    """Key files are small; anything else is a mistake."""
    with pytest.raises(CustodyError, match="larger than"):
        read_secret(secret(tmp_path / "s", data=bytes(MAX_BYTES + 1)))


def test_creating_has_one_winner_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """The second creator is told, and the first one's content stays."""
    path = tmp_path / "s"
    assert create_secret(path, b"first")
    assert not create_secret(path, b"second")
    assert path.read_bytes() == b"first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [left.name for left in tmp_path.iterdir()] == ["s"]


def test_creating_ignores_a_generous_umask(tmp_path: Path) -> None:
    """The mode is ours, whatever the shell says."""
    before = os.umask(0)
    try:
        create_secret(tmp_path / "s", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk or a failed fsync changes nothing and leaves no half file."""
    path = secret(tmp_path / "s", data=b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_secret(path, b"new")
    assert path.read_bytes() == b"old"
    assert [left.name for left in tmp_path.iterdir()] == ["s"]


def test_replacing_is_whole(tmp_path: Path) -> None:
    """The new content stands in the place of the old, with the same mode."""
    path = secret(tmp_path / "s", data=b"old")
    replace_secret(path, b"new")
    assert read_secret(path) == b"new"


def test_the_left_overs_of_a_killed_process_are_swept(tmp_path: Path) -> None:
    """A kill between writing and linking leaves a temporary file, which the next start removes."""
    left = secret(tmp_path / ".new-master.key-1-abcd")
    kept = secret(tmp_path / "master.key")
    with locked(tmp_path):
        sweep(kept)
    assert not left.exists()
    assert kept.exists()


def test_a_directory_open_to_others_is_refused(tmp_path: Path) -> None:
    """Who can write into the directory can exchange the files in it."""
    tmp_path.chmod(0o770)
    with pytest.raises(CustodyError, match="chmod 700"):
        private_directory(tmp_path, make=False)


def test_the_directory_is_made_closed(tmp_path: Path) -> None:
    """A directory we make is ours alone."""
    private_directory(tmp_path / "a" / "keys", make=True)
    assert stat.S_IMODE((tmp_path / "a" / "keys").stat().st_mode) == 0o700
