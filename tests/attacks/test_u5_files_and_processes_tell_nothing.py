"""U5: no key, token or person stands in a file, an argument or a variable of a running service."""

import json
import stat
from pathlib import Path
from urllib.parse import quote

import pytest

from support.backstage import Backstage, eventually
from support.ehr import attestation
from support.processes import processes_of
from tillit.protocol.gate import read_jws
from tillit.protocol.jose import private_jwk

PERSONS = ("14857527039", "05825031016", "KLAR SKOGSTJERNE")


@pytest.fixture(scope="module")
def canaries(backstage: Backstage) -> dict[str, bytes]:
    """Everything secret or personal in a token, a refusal and a fault at the store, made just now."""
    ehr = backstage.client()
    assertion, proof = ehr.assertion(details=attestation()), ehr.proof()
    issued = ehr.send(ehr.form(assertion), proof)
    assert issued.status == 200
    assert ehr.token(attestation(patients__0__identifier__id="05825031017")).status == 400
    found = {f"person {number}": person for number, person in enumerate(PERSONS)}
    found |= {"assertion": assertion, "proof": proof, "token": issued.json["access_token"]}
    found |= {"client's key": private_jwk(ehr.key)["d"], "proof's key": private_jwk(ehr.dpop_key)["d"]}
    found |= {f"{name}'s payload": found[name].split(".")[1] for name in ("assertion", "proof", "token")}
    found |= {f"{name}'s signature": found[name].split(".")[2] for name in ("assertion", "proof", "token")}
    keys = backstage.service.data / "keys"
    found["passphrase"] = (keys / "passphrase").read_text(encoding="ascii").strip()
    found["master key"] = json.loads((keys / "master.key").read_bytes())["sealed"]
    return {name: text.encode() for name, text in found.items()}


def held(octets: bytes, canaries: dict[str, bytes]) -> set[str]:
    """Which canaries are in there, as they are or escaped for a form or for JSON."""
    return {
        name
        for name, text in canaries.items()
        if text in octets or quote(text).encode() in octets or text.hex().encode() in octets
    }


def test_u5_no_file_holds_a_canary(backstage: Backstage, canaries: dict[str, bytes]):
    """Database, its log and index, checkpoint, slots, guard and log: none of them holds anything personal or secret."""
    data = backstage.service.data
    assert eventually((data / "audit.checkpoint").exists)
    found = {}
    for path in data.rglob("*"):
        # What the tests themselves and a person at the terminal have put there, and the secrets' own files.
        if (
            path.is_file()
            and path.name not in {"passphrase", "master.key"}
            and path.suffix not in {".jwk", ".json"}
        ):
            found[path.name] = held(path.read_bytes(), canaries)
    assert {
        "tillit.sqlite",
        "tillit.sqlite-wal",
        "audit.checkpoint",
        "ring.guard",
        "service.log",
    } <= found.keys()
    assert not any(found.values()), found
    # The search does find what may be there: the number of the token, which names nobody.
    number = {"jti": str(read_jws(canaries["token"].decode()).claims["jti"]).encode()}
    assert any(held(path.read_bytes(), number) for path in data.glob("tillit.sqlite*"))


def test_u5_no_process_shows_a_canary(backstage: Backstage, canaries: dict[str, bytes]):
    """Arguments and environment, which others can read, hold none either."""
    for pid in processes_of(backstage.service):
        for name in ("cmdline", "environ"):
            assert not held(Path(f"/proc/{pid}/{name}").read_bytes(), canaries)


def test_u5_nothing_is_left_in_temporary_files(backstage: Backstage):
    """Workers have no open file outside the installation but libraries, pipes and sockets."""
    for pid in processes_of(backstage.service):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = str(entry.readlink())
            except FileNotFoundError:
                continue  # a connection that was closed meanwhile
            inside = target.startswith(str(backstage.service.data))
            assert inside or not target.startswith("/") or target.startswith("/dev/"), target


def test_u5_files_are_for_their_owner_alone(backstage: Backstage):
    """Whatever the service itself has made can be read by its own user only."""
    data = backstage.service.data
    made = [
        path
        for path in data.rglob("*")
        if path.name.startswith(("tillit.sqlite", "audit.", "slot", "master"))
    ]
    made += [data / "keys", data / "keys" / "passphrase", data / "keys" / "ring.guard"]
    assert len(made) > 8
    assert [path for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
