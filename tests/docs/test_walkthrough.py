"""The commands on the pages do what the pages say."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.pages import DOCS, ROOT, blocks, read, section
from support.service import Service, clean_environment
from tillit.attestation.wire import ATTESTATION_TYPE
from tillit.protocol.gate import MAX_ASSERTION_BYTES, read_jws

CLIENT = "ehr-of-the-page"


def script(page: str, service: Service, *headings: str) -> str:
    """The shell blocks of a page, or of some sections, as one script, for a service at another place."""
    text = read(DOCS / page)
    shown = [
        block.code
        for part in ([section(text, heading) for heading in headings] or [text])
        for block in blocks(part, "sh")
        if "no-test" not in block.words and ("curl" not in block.words or shutil.which("curl"))
    ]
    text = "set -euo pipefail\n" + "\n".join(shown)
    for command in ("token", "explain"):
        text = text.replace(f"tillit {command} ", f"tillit {command} --issuer {service.issuer} ")
    return (
        text.replace("http://127.0.0.1:8080", service.issuer)
        .replace("--data .data", f"--data {service.data}")
        .replace("file:.data/", f"file:{service.data}/")
        .replace("ehr-nordfjell", CLIENT)
    )


def run(page: str, service: Service, place: Path, *headings: str) -> str:
    """Run the commands of a page, or of some of its sections, and give everything they printed."""
    environment = clean_environment()
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script(page, service, *headings)],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the commands of the EHR's page print, and then those of the security staff's pages."""
    place = tmp_path_factory.mktemp("page")
    (place / "docs").symlink_to(ROOT / "docs")
    pages = ("for-ehr-clients.md", "for-security-staff.md", "rotate-a-key.md", "a-key-is-stolen.md")
    with Service(place / "service") as service:  # of its own: its keys are changed
        return {page: run(page, service, place) for page in pages}


def test_the_page_for_ehr_clients_leads_to_a_token(walked: dict[str, str]):
    """From a key pair to a token, from a refusal to its reason."""
    printed = walked["for-ehr-clients.md"]

    assert f"{CLIENT}: registered (fapi2, 1 key(s))" in printed
    assert '"access_token": "ey' in printed
    assert "accepted_attestation  refused  ATT-13" in printed
    if shutil.which("curl"):
        assert printed.index('"error":"use_dpop_nonce"') < printed.index('{"access_token":"ey')


def members(value: Any) -> Any:
    """The names of the members of a JSON value, as deep as objects go, without the values."""
    if isinstance(value, dict):
        return {name: members(member) for name, member in value.items()}
    return [members(element) for element in value] if isinstance(value, list) else None


def test_the_token_in_the_readme_is_like_a_real_one(walked: dict[str, str]):
    """The decoded token has the claims, and the parts of the attestation, that a token has."""
    block = next(blocks(read(ROOT / "README.md"), "jsonc")).code
    without_comments = re.sub(r" +// .*$", "", block, flags=re.MULTILINE)
    shown = json.loads(without_comments.replace(", …}", "}").replace("{…}", "{}"))
    printed = json.loads(
        re.search(r'^{\n  "access_token".*?^}', walked["for-ehr-clients.md"], re.MULTILINE | re.DOTALL)[0]
    )
    token = read_jws(printed["access_token"], max_bytes=MAX_ASSERTION_BYTES).claims

    attested, real = shown.pop(ATTESTATION_TYPE), token.pop(ATTESTATION_TYPE)
    assert members(shown) == members(token)
    assert set(attested) == set(real)
    for part in ("practitioner", "care_relationship"):
        assert set(attested[part]) == set(real[part])
    assert set(attested["patients"][0]) == set(real["patients"][0])


def test_the_page_for_security_staff_shows_commands_that_work(walked: dict[str, str]):
    """The audit is whole, entries are listed, keys are shown, a client is disabled."""
    printed = walked["for-security-staff.md"]

    assert "intact: " in printed
    assert f"client_id={CLIENT}" in printed
    assert "announced" in printed
    assert f"{CLIENT}: disabled" in printed


def test_the_page_for_a_rotation_leads_to_one(walked: dict[str, str]):
    """Looked at, told, done, and seen in the plan."""
    printed = walked["rotate-a-key.md"]

    assert printed.index("Nothing was done.") < printed.index("done: rotated ES256")
    assert "BAD" not in printed


def test_the_page_for_a_stolen_key_ends_it(walked: dict[str, str]):
    """The key that signed is revoked, another one signs, its tokens are listed, and it stands in the archive."""
    printed = walked["a-key-is-stolen.md"]

    assert re.search(r"^done: revoked ES256 \S+ 20", printed, re.MULTILINE)
    revoked = re.search(r"^(\S{43})  ES256  \w+ +revoked ", printed, re.MULTILINE)
    assert revoked
    assert re.search(
        rf"^[1-9][0-9]* token\(s\) signed by {re.escape(revoked[1])} since", printed, re.MULTILINE
    )
    assert re.search(r"^\S{43}  ES256  \w+ +active ", printed[revoked.start() :], re.MULTILINE)
    assert '"archive": true' in printed


def test_the_page_for_a_restore_leads_through_it(tmp_path: Path):
    """A backup beside the running service, looked at; put back when it is stopped; and it starts again."""
    page = "backup-and-restore.md"
    with Service(tmp_path / "service", workers=1) as service:
        made = run(page, service, tmp_path, "## Make one", "## Look at one")
        service.add_client(CLIENT)
    put_back = run(page, service, tmp_path, "## Put it back")
    with service:
        assert CLIENT not in service.cli("clients", "list", "--data", str(service.data)).stdout

    assert "it opens: " in made
    assert "the audit is intact" in made
    for line in (
        "done: restored at",
        "LOST: whatever was written",
        "What was there is kept",
        f"added {CLIENT}",
    ):
        assert line in put_back
    assert re.search(r"^restored at 20.* from a backup of 20", put_back, re.MULTILINE)
