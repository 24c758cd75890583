"""The table of settings says what the settings are."""

import dataclasses
import tomllib

from support.pages import DOCS, blocks, code_words, read, section, tables
from tillit_server.config import _RANGES, SHIPPED_CONFIG, Settings

NEEDED = {"issuer", "data", "keys", "passphrase_file"}


def documented() -> dict[str, list[str]]:
    """The rows of the table by setting."""
    rows = list(tables(section(read(DOCS / "operating.md"), "## Settings")))
    return {code_words(cells[0])[0]: cells[1:] for cells in rows if code_words(cells[0])}


def test_every_setting_has_its_row():
    """No setting is missing on the page, and none is invented."""
    assert list(documented()) == [member.name for member in dataclasses.fields(Settings)]


def test_defaults_are_as_documented():
    """A default on the page is the default in the code."""
    for member in dataclasses.fields(Settings):
        kind, default, *_ = documented()[member.name]
        if member.name in NEEDED:
            assert default.startswith("needed")
        elif member.default == SHIPPED_CONFIG:
            assert default == "the shipped one"
        elif member.default in {None, ()}:
            assert default == "none"
        else:
            value = member.default
            text = " ".join(value) if isinstance(value, tuple) else str(value)
            assert code_words(default) == [text.lower() if isinstance(value, bool) else text]
        assert (kind == "yes or no") == (member.type is bool)


def test_ranges_are_as_documented():
    """A range on the page is the range that the settings are held to."""
    shown = {name: cells[2] for name, cells in documented().items() if cells[2]}

    assert shown == {name: f"{low:,} to {high:,}" for name, (low, high) in _RANGES.items()}


def test_the_settings_file_on_the_page_can_be_used():
    """The example of a production file names settings that exist, and all that production needs."""
    shown = tomllib.loads(next(blocks(read(DOCS / "operating.md"), "toml")).code)

    assert set(shown) <= set(documented())
    assert set(shown) >= NEEDED
