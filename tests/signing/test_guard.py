"""The rollback guard."""

from pathlib import Path

import pytest

from tillit_server.signing.files import CustodyError
from tillit_server.signing.guard import Guard, RolledBack


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    tmp_path.chmod(0o700)

    def mac(document: bytes) -> str:
        return str(len(document))

    return Guard(tmp_path, mac, lambda document, found: found == mac(document))


def test_a_host_that_has_seen_nothing_accepts_everything(guard: Guard) -> None:
    """A new host trusts what it finds."""
    guard.mark("signing").require(0, "")
    guard.mark("signing").require(7, "x")


def test_only_newer_or_the_same_is_accepted(guard: Guard) -> None:
    """Older, gone, or the same number with other content is a rollback; both epochs are told."""
    guard.raise_to("signing", 5, "x")
    guard.mark("signing").require(5, "x")
    guard.mark("signing").require(6, "y")
    for epoch, digest in ((5, "y"), (4, "x"), (0, "")):
        with pytest.raises(RolledBack) as refused:
            guard.mark("signing").require(epoch, digest)
        assert (refused.value.expected, refused.value.found) == (5, epoch)


def test_the_guard_never_goes_down(guard: Guard) -> None:
    """A slow process that saw an older ring does not take back what a faster one noted."""
    guard.raise_to("signing", 5, "x")
    guard.raise_to("signing", 4, "w")
    with pytest.raises(RolledBack):
        guard.mark("signing").require(4, "w")


def test_the_rings_are_guarded_apart(guard: Guard) -> None:
    """The epoch of one ring says nothing about the other."""
    guard.raise_to("signing", 5, "x")
    guard.raise_to("secrets", 2, "y")
    guard.mark("secrets").require(2, "y")
    guard.mark("signing").require(5, "x")


def test_a_guard_moved_by_hand_is_refused(guard: Guard, tmp_path: Path) -> None:
    """Without the master key nobody can set the guard back."""
    guard.raise_to("signing", 15, "x")
    path = tmp_path / "ring.guard"
    path.write_bytes(path.read_bytes().replace(b"15", b"5"))
    with pytest.raises(CustodyError, match="damaged"):
        guard.mark("signing").require(5, "x")
