"""The page that leads to two hosts can be followed, as far as one machine can tell; the test bed follows it."""

from pathlib import Path

import pytest

from support.next_release import make_release, version
from support.pages import DOCS, read
from support.walk import MACHINES, seen, steps
from tillit import __version__
from tillit_server.config import load_settings


def test_every_block_says_where_it_belongs():
    """Commands and files name machines of the table, and the table names each machine by its address."""
    page = read(DOCS / "two-hosts.md")
    found = steps()
    assert {name for step in found for name in step.where} == set(MACHINES)
    for name, number in MACHINES.items():
        assert f"| `{name}` | 10.77.0.{number} |" in page
    assert sum(not step.where for step in found) > 10


def test_the_settings_on_the_page_are_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The settings file is one that the service reads without a fault."""
    (text,) = [step.text for step in steps() if step.file == "/etc/tillit/tillit.toml"]
    for place in ("/var/lib/tillit-keys", "/var/lib/tillit", "/etc/tillit"):
        text = text.replace(place, str(tmp_path))
    (tmp_path / "config").mkdir()
    file = tmp_path / "tillit.toml"
    file.write_text(text, encoding="utf-8")
    assert load_settings(file=file).trusted_proxies == ("10.77.0.41",)


def test_the_releases_on_the_page_are_this_one_and_the_next(tmp_path: Path):
    """The page installs this release and upgrades to the one that the test bed makes of it."""
    page = read(DOCS / "two-hosts.md")
    assert f"tillit[server]=={__version__}" in page
    assert f"tillit[server]=={version(2)}" in page
    assert (make_release(3, tmp_path / "next") / "tillit_server").is_dir()


def test_what_should_be_seen_is_looked_for_in_order():
    """Lines in their order, with gaps; a line that does not come is missed."""
    assert seen("a\nb 1 c\nd", "a\nb … c\n…\nd")
    assert not seen("d\na", "a\nd")
    assert not seen("a", "b")
