"""`tillit keys doctor` and `rewrap`: what is wrong is named with its remedy; a new passphrase opens the same key."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.starting import Setup, copied
from tillit_server.cli.commands import tillit


class Ward:
    """An installation to be looked at."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.file = setup.home / "tillit.toml"
        self.settings()

    def settings(self, more: str = "") -> None:
        """Write the settings file."""
        text = f'config = "{self.setup.config}"\nclock = "{self.setup.clock}"\n{more}\n'
        self.file.write_text(text, encoding="utf-8")

    def run(self, *arguments: str) -> Result:
        """Run a command about the installation."""
        command = ["keys", *arguments, "--data", str(self.setup.data), "--config", str(self.file)]
        return CliRunner(env={"TILLIT_DEV": "true"}).invoke(tillit, command)

    def findings(self, exit_code: int) -> dict[str, tuple[str, str]]:
        """What the doctor says, by what was looked at; the exit code must be as given."""
        done = self.run("doctor", "--output", "json")
        assert done.exit_code == exit_code, done.output
        return {f["what"]: (f["verdict"], f["text"]) for f in json.loads(done.stdout)}


@pytest.fixture
def ward(made: Setup, tmp_path: Path) -> Ward:
    return Ward(copied(made, tmp_path))


def test_a_sound_installation_is_in_order(ward: Ward):
    """Everything is looked at; a standby that was published just now is worth a look, and no fault."""
    young = ward.findings(0)
    assert {verdict for verdict, _ in young.values()} == {"ok", "look"}
    assert young["ES256 standby"][0] == "look"
    ward.setup.clock.write_text("+700", encoding="ascii")
    old = ward.findings(0)
    assert {verdict for verdict, _ in old.values()} == {"ok"}
    assert {"master key", "ring of keys", "ring of secrets", "clock", "RS256 key"} <= set(old)
    assert ward.run("doctor").stdout.startswith("verdict")


def test_a_clock_that_is_behind_is_found(ward: Ward):
    """A minute and a second behind whoever wrote the ring: bad, with what to do."""
    ward.setup.clock.write_text("-120", encoding="ascii")
    verdict, text = ward.findings(1)["clock"]
    assert verdict == "BAD"
    assert "set the clocks" in text


def test_a_missing_standby_is_found(ward: Ward):
    """Nobody came by for a hundred days: the remedy is named."""
    ward.setup.clock.write_text(f"+{100 * 86_400}", encoding="ascii")
    assert ward.findings(1)["ES256 standby"] == (
        "BAD",
        "none: start the service, or keys announce --alg ES256",
    )


def test_what_keeps_a_service_from_starting_is_found(ward: Ward):
    """An open master key, a missing passphrase, a lost database: one line each, exit code 1."""
    ward.setup.master.chmod(0o644)
    assert "chmod 600" in ward.findings(1)["master key"][1]
    ward.setup.master.chmod(0o600)
    for path in ward.setup.data.glob("tillit.sqlite*"):
        path.write_bytes(b"\0rubbish" * 4000)
    assert ward.findings(1)["database"][0] == "BAD"
    for path in ward.setup.data.glob("tillit.sqlite*"):
        path.unlink()
    assert ward.findings(0)["database"][0] == "look"
    passphrase = ward.setup.passphrase.read_bytes()
    ward.setup.passphrase.unlink()
    assert "no passphrase file" in ward.findings(1)["master key"][1]
    assert passphrase


def test_an_older_ring_is_found(ward: Ward):
    """The database of yesterday: the doctor says what the start would say."""
    old = ward.setup.database.read_bytes()
    ward.setup.clock.write_text(f"+{200 * 86_400}", encoding="ascii")
    ward.setup.build()
    ward.setup.database.write_bytes(old)
    assert "was a backup restored?" in ward.findings(1)["signing ring"][1]


def test_a_new_passphrase_opens_the_same_master_key(ward: Ward, tmp_path: Path):
    """Made where missing, closed to others; the old one opens nothing any more, and the rings need no change."""
    new = tmp_path / "new-passphrase"
    before = ward.findings(0)["master key"][1]
    done = ward.run("rewrap", "--new-passphrase-file", str(new))
    assert done.exit_code == 0, done.output
    assert new.stat().st_mode & 0o777 == 0o600
    assert "wrong passphrase" in ward.findings(1)["master key"][1]
    ward.settings(f'passphrase_file = "{new}"')
    assert ward.findings(0)["master key"][1] == before
