"""`tillit keys rotate`, `announce`, `revoke`, `signed`: told before it is done, done once, written down."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from support.commands import TILLIT, Command
from support.service import clean_environment
from support.starting import Setup, copied
from tillit_server.cli.commands import tillit
from tillit_server.cli.keys_signed import NamesKey, instant
from tillit_server.config import load_settings
from tillit_server.wiring import Installation, build

DAY = 86_400
LATER = "+2592000"


class Desk:
    """An installation with nobody but its operator."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.file = setup.home / "tillit.toml"
        self.file.write_text(
            f'config = "{self.setup.config}"\nclock = "{self.setup.clock}"\n', encoding="utf-8"
        )

    def command(self, *arguments: str) -> list[str]:
        """A command about the installation."""
        return ["keys", *arguments, "--data", str(self.setup.data), "--config", str(self.file)]

    def run(self, *arguments: str, exit_code: int = 0) -> Result:
        """Run a command in this process; nobody answers its questions."""
        done = CliRunner(env={"TILLIT_DEV": "true"}).invoke(tillit, self.command(*arguments))
        assert done.exit_code == exit_code, f"{arguments}: {done.output}"
        return done

    def told(self, *arguments: str) -> Any:
        """What a command says to a program."""
        return json.loads(self.run(*arguments, "--output", "json").stdout)

    def opened(self) -> Installation:
        """The installation itself."""
        flags = {"dev": True, "data": self.setup.data, "config": self.setup.config}
        return build(load_settings(flags={**flags, "clock": self.setup.clock}))

    def states(self, alg: str = "ES256") -> list[str]:
        """The states of the keys of an algorithm, in the order of the ring."""
        return [row["state"] for row in self.told("list") if row["alg"] == alg]

    def events(self) -> list[tuple[str, str, str]]:
        """Event, operator and reason of what operators did to keys."""
        command = ["audit", "list", "--output", "json", "--data", str(self.setup.data)]
        done = CliRunner().invoke(tillit, command)
        return [
            (entry["event"].removeprefix("signing.key."), entry["operator"], entry["reason"])
            for entry in json.loads(done.stdout)
            if entry["event"].startswith("signing.key.") and entry["operator"] != "service"
        ]


@pytest.fixture
def desk(made: Setup, tmp_path: Path) -> Desk:
    return Desk(copied(made, tmp_path))


WHO = ("--operator", "kari", "--reason", "case 4711")


def test_a_rotation_is_told_and_then_done(desk: Desk):
    """A dry run says every instant and changes nothing; with ``--yes`` it is done, and stands in the audit."""
    desk.setup.clock.write_text(f"{time.time() + 30 * DAY:.0f}", encoding="ascii")
    preview = desk.run("rotate", "--dry-run").stdout
    assert "What will happen:" in preview
    assert "signs instead of" in preview
    assert preview.endswith("Nothing was done.\n")
    assert desk.events() == []
    assert "done: rotated ES256" in desk.run("rotate", "--yes", *WHO).stdout
    assert desk.events() == [("rotated", "kari", "case 4711"), ("announced", "kari", "case 4711")]
    assert desk.states() == ["active", "announced", "announced"]
    desk.setup.clock.write_text(f"{float(desk.setup.clock.read_text()) + 10:.0f}", encoding="ascii")
    assert desk.states() == ["retiring", "active", "announced"]


def test_nothing_is_done_without_a_yes_and_a_reason(desk: Desk):
    """Whoever does not answer changes nothing; a reason is demanded; a program must have said yes before."""
    desk.run("rotate", *WHO, exit_code=1)
    assert "--reason is needed" in desk.run("rotate", "--yes", exit_code=2).stderr
    assert "needs --yes" in desk.run("rotate", *WHO, "--output", "json", exit_code=2).stderr
    assert desk.events() == []


def test_an_illegal_move_says_what_to_do_instead(desk: Desk):
    """Too early, announced already, unknown: one line, exit code 1, nothing changed."""
    early = desk.run("rotate", "--yes", *WHO, "--at", "2020-01-01T12:00:00Z", exit_code=1)
    assert "keys revoke --now" in early.stderr
    twice = desk.run("announce", "--alg", "ES256", "--yes", *WHO, exit_code=1)
    assert "announced key already" in twice.stderr
    assert "see keys list" in desk.run("revoke", "nonsense", "--yes", *WHO, exit_code=2).stderr
    assert "one of ES256" in desk.run("announce", "--alg", "HS256", "--yes", *WHO, exit_code=2).stderr
    assert desk.events() == []


def test_operators_who_rotate_at_once_rotate_once(desk: Desk):
    """Four processes in the same second: one key is brought forward, one is made, the others are told."""
    desk.setup.clock.write_text(LATER, encoding="ascii")
    command = [TILLIT, *desk.command("rotate", "--yes", *WHO)]
    environment = {**clean_environment(), "TILLIT_DEV": "true"}
    pipe = subprocess.PIPE
    processes = [Command(command, env=environment, stdout=pipe, stderr=pipe, text=True) for _ in range(4)]
    said = [(process.communicate(timeout=120)[1], process.returncode) for process in processes]
    assert sorted(code for _, code in said) == [0, 1, 1, 1]
    assert all("nothing was done" in line for line, code in said if code)
    assert [event for event, *_ in desk.events()] == ["rotated", "announced"]
    assert len(desk.states()) == 3


def test_a_source_that_has_not_seen_the_standby_is_named(desk: Desk):
    """It fetched the key set before the standby was there: the preview warns, for a person and for a program."""
    desk.setup.clock.write_text(LATER, encoding="ascii")
    installation = desk.opened()
    sources, now = installation.services.key_sources, installation.services.clock()
    active, standby = (e.kid for e in installation.services.signer.ring().entries if e.alg == "ES256")
    sources.saw("nhn:phr", [active, standby], now - DAY)
    sources.saw("nhn:selvbetjening", [active], now - DAY)
    installation.close()
    (warning,) = desk.told("rotate", "--dry-run")["warnings"]
    assert warning.startswith("WARNING: nhn:selvbetjening last fetched the key set at 20")
    for command in (("rotate",), ("revoke", active, "--now"), ("revoke", active)):
        assert desk.run(*command, "--dry-run").stdout.count("WARNING: nhn:selvbetjening") == 1
    assert "WARNING" not in desk.run("revoke", standby, "--dry-run").stdout
    assert "nhn:phr" in desk.run("list").stdout
    assert desk.told("rotate", "--yes", *WHO)["done"]


def test_another_algorithm_is_announced(desk: Desk):
    """It is in the key set at once, and signs a day later."""
    done = desk.told("announce", "--alg", "PS256", "--yes", *WHO)
    assert [step["event"] for step in done["steps"]] == ["signing.key.announced"] * 2
    assert desk.states("PS256") == ["announced", "announced"]
    published = json.loads(desk.run("export-public").stdout)
    assert {key["alg"] for key in published["keys"]} == {"ES256", "RS256", "PS256"}


def test_a_revoked_key_is_gone_and_its_successor_signs(desk: Desk):
    """Named by its first characters; out of the key set, in the archive, and written down as an alarm."""
    kid = desk.told("list")[0]["kid"]
    done = desk.run("revoke", kid[:12], "--now", "--yes", *WHO)
    assert "A document source goes on accepting them" in done.stdout
    assert "Signed by it since" in done.stdout
    assert desk.states() == ["revoked", "active", "announced"]
    assert [event for event, *_ in desk.events()] == ["revoked", "destroyed", "rotated", "announced"]
    assert kid not in {key["kid"] for key in json.loads(desk.run("export-public").stdout)["keys"]}
    (archived,) = json.loads(desk.run("export-public", "--archive").stdout)["keys"]
    assert archived["kid"] == kid
    assert archived["revoked"]
    again = desk.run("revoke", kid, "--now", "--yes", *WHO, exit_code=1)
    assert "revoked already" in again.stderr


def test_the_schedule_says_what_comes_and_draws_it(desk: Desk, tmp_path: Path):
    """In order of time, for people and for programs; the drawing is one SVG document without scripts."""
    rows = desk.told("schedule")
    assert [row["when"] for row in rows] == sorted(row["when"] for row in rows)
    assert {row["event"] for row in rows} == {"signs", "leaves", "destroyed", "announced"}
    drawing = tmp_path / "keys.svg"
    table = desk.run("schedule", "--svg", str(drawing)).stdout
    assert table.splitlines()[0].split() == ["when", "in", "alg", "kid", "what"]
    assert drawing.read_text(encoding="utf-8").startswith("<svg ")


@pytest.mark.parametrize("text", ["noon", "2026-11-23T12:00:00", "2026-13-01"])
def test_an_instant_without_its_offset_is_refused(text: str):
    """Nobody knows whose noon is meant."""
    with pytest.raises(Exception, match=r"needed|offset"):
        instant(text)


def test_instants_are_read_with_their_offset():
    """A day is its first moment in UTC."""
    assert instant("2026-11-23") == 1_795_392_000
    assert instant("2026-11-23T01:00:00+01:00") == 1_795_392_000


@pytest.mark.parametrize("kid", ["-hG_9a", "--" + "a" * 41, "-" + "Z" * 42])
def test_a_kid_may_begin_with_a_hyphen(kid: str):
    """It is base64url, and never taken for options."""
    command = NamesKey("x", params=[])
    context = command.make_context("x", [], resilient_parsing=True)
    context.allow_extra_args = True
    command.parse_args(context, [kid])
    assert context.args == ["kid:" + kid]
