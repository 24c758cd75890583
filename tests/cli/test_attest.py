"""`tillit attest`: every rule with its verdict before anybody else judges, and the table of rules."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from support.ehr import ATTESTATION, attestation
from support.service import run_cli
from support.shell import one_line

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
NOW = 1768465800
PAYLOAD = {"iss": "ehr", "sub": "ehr", "iat": NOW, "exp": NOW + 30, "assertion_details": ATTESTATION}
VERDICTS = {"accepted", "REFUSED", "kept by the system", "needs the login"}


def judged(path: Path, *more: str, exit_code: int) -> dict[str, Any]:
    """What ``attest check`` says of a file, as JSON."""
    done = run_cli("attest", "check", str(path), "--output", "json", *more, check=False)
    assert done.returncode == exit_code, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["accepted"] == (exit_code == 0)
    return report


def written(directory: Path, document: Any) -> Path:
    """The document in a file."""
    path = directory / "attestation.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def table() -> list[dict[str, Any]]:
    """The table of rules, as ``attest rules`` prints it for programs."""
    document = json.loads(run_cli("attest", "rules", "--output", "json").stdout)
    assert document["rule_pack_version"]
    rules: list[dict[str, Any]] = document["rules"]
    return rules


def test_the_table_has_sixty_rows_and_each_says_how_it_is_kept(table: list[dict[str, Any]]):
    """``attest rules`` prints all 60 rule blocks once, each with its kind and where to look."""
    assert len({rule["rule"] for rule in table}) == len(table) == 60
    assert {rule["kind"] for rule in table} == {"check", "register", "kept", "left"}
    assert all(rule["how"] and rule["title"] and rule["attribute"] for rule in table)
    lines = run_cli("attest", "rules").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == [rule["rule"] for rule in table]
    assert lines[-1].startswith("60 rules, rule pack ")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("attestation-*.json")), ids=lambda path: path.stem)
def test_the_examples_are_accepted_and_every_rule_is_answered_for(path: Path, table: list[dict[str, Any]]):
    """Each published example exits 0, with a verdict for each of the 60 rules and none of them a refusal."""
    report = judged(path, exit_code=0)
    assert [rule["rule"] for rule in report["rules"]] == [rule["rule"] for rule in table]
    verdicts = {rule["verdict"] for rule in report["rules"]}
    assert {verdict for verdict in verdicts if not verdict.startswith("left to")} <= VERDICTS - {"REFUSED"}
    assert report["findings"] == []


def test_a_refusal_names_every_rule_that_is_broken_and_no_person(tmp_path: Path):
    """The table for people marks each broken rule, the findings follow, and the exit code is 1."""
    broken = attestation(practitioner__authorization__code="XX", care_relationship__decision_ref__id="")
    broken["patients"][0]["identifier"]["id"] = "05825031017"
    done = run_cli("attest", "check", str(written(tmp_path, broken)), check=False)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    marked = {line.split()[0] for line in lines[1:61] if " REFUSED " in line}
    told = {line.removeprefix("refused: ").split(":")[0] for line in lines if line.startswith("refused: ")}
    assert marked >= {"ATT-4", "ATT-32"}
    assert {rule.rstrip("abc") for rule in marked} == told
    assert lines[-1] == "refused"
    assert "05825031017" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("document", "more", "refused"),
    [
        ([ATTESTATION], (), set()),
        (json.dumps(PAYLOAD), ("--at", str(NOW + 3599)), set()),
        (json.dumps(PAYLOAD), ("--at", str(NOW + 3600)), {"ATT-58c"}),
        (PAYLOAD | {"assertion_details": [ATTESTATION]}, ("--at", str(NOW)), set()),
        ({"authorization_details": ATTESTATION}, (), set()),
        (ATTESTATION | {"toa": NOW}, ("--at", str(NOW - 11)), {"ATT-58a"}),
        ([ATTESTATION, ATTESTATION], (), {"ATT-SHAPE"}),
        ({}, (), {"ATT-TYPE"}),
    ],
    ids=["array", "payload", "payload too old", "array in payload", "old name", "future", "twice", "empty"],
)
def test_every_form_that_is_sent_can_be_judged(
    document: Any, more: tuple[str, ...], refused: set[str], tmp_path: Path
):
    """An object, an array and a whole JWT payload are judged alike, at the instant that is given."""
    report = judged(written(tmp_path, document), *more, exit_code=1 if refused else 0)
    assert {finding["rule"] for finding in report["findings"]} == refused
    assert {rule["rule"] for rule in report["rules"] if rule["verdict"] == "REFUSED"} == refused & {
        "ATT-58a",
        "ATT-58c",
    }


def test_without_a_practitioner_it_is_judged_as_before_the_login(tmp_path: Path):
    """An attestation that waits for the login is accepted so far, and refused for a client without login."""
    waiting = copy.deepcopy(ATTESTATION)
    del waiting["practitioner"]["identifier"]
    path = written(tmp_path, waiting)
    report = judged(path, exit_code=0)
    assert {rule["rule"] for rule in report["rules"] if rule["verdict"] == "needs the login"} == {
        "ATT-9",
        "ATT-11",
        "ATT-29b",
        "ATT-32",
    }
    report = judged(path, "--without-login", exit_code=1)
    assert {finding["rule"] for finding in report["findings"]} == {"ATT-10"}


@pytest.mark.parametrize("content", ["", "7", '{"type":1,"type":2}', "[" * 40 + "]" * 40])
def test_what_cannot_be_read_exits_2_with_one_line(content: str, tmp_path: Path):
    """A file that holds no object and no array is unreadable, which is neither accepted nor refused."""
    done = run_cli("attest", "check", str(written(tmp_path, content)), check=False)
    assert done.returncode == 2
    assert one_line(done).startswith(str(tmp_path))


def test_a_missing_file_and_missing_registers_exit_2(tmp_path: Path):
    """What ``attest check`` needs and does not find is named in one line."""
    done = run_cli("attest", "check", str(tmp_path / "none.json"), check=False)
    assert (done.returncode, "cannot be read" in one_line(done)) == (2, True)
    path = written(tmp_path, ATTESTATION)
    done = run_cli("attest", "check", str(path), "--registers", str(tmp_path), check=False)
    assert (done.returncode, "registers/hpr.toml" in one_line(done)) == (2, True)
