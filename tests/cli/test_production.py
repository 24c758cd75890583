"""A production installation from an empty directory to a token, as its operator makes it, behind a proxy."""

import json
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.ehr import Answer, Ehr
from support.service import (
    PHR,
    START_SECONDS,
    STOP_SECONDS,
    TILLIT,
    clean_environment,
    free_port,
    http,
    run_cli,
)
from support.shell import one_line
from tillit.protocol.gate import MAX_ASSERTION_BYTES, read_jws
from tillit.protocol.jose import generate_key, load_public_jwks, verify
from tillit_server.config import SHIPPED_CONFIG

ISSUER = "https://tillit.example.no/helse"
ENTERPRISE = "310000019"


class Production:
    """A production installation: its settings file, its commands, its running service."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.issuer = ISSUER
        self.port = free_port()
        self.inside = f"http://127.0.0.1:{self.port}/helse"
        self.config = home / "config"
        for room in ("apis", "registers"):
            shutil.copytree(SHIPPED_CONFIG / room, self.config / room)
        (self.config / "clients").mkdir()
        self._files = 0
        self.file = self.settings()

    def settings(self, **changes: Any) -> Path:
        """Write settings into a file of their own, and give it; a change to None leaves a name out."""
        self._files += 1
        file = self.home / f"tillit-{self._files}.toml"
        values = {
            "issuer": ISSUER,
            "data": str(self.home / "data"),
            "keys": str(self.home / "keys"),
            "passphrase_file": str(self.home / "passphrase"),
            "config": str(self.config),
            "port": self.port,
            "management_port": 0,
            "algorithms": ["ES256"],
            "synthetic_identifiers": True,
        } | changes
        lines = [f"{name} = {json.dumps(value)}" for name, value in values.items() if value is not None]
        file.write_text("\n".join(lines), encoding="utf-8")
        return file

    def run(self, *arguments: str, exit_code: int = 0, **changes: Any) -> "subprocess.CompletedProcess[str]":
        """Run a command of the operator's, perhaps with settings changed for this once."""
        file = self.settings(**changes) if changes else self.file
        done = run_cli(*arguments, "--config", str(file), check=False)
        assert done.returncode == exit_code, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def now(self) -> float:
        """The service's time, which is everybody's."""
        return time.time()


class Proxied(Ehr):
    """A client that knows the public address only; what it sends is passed on by a proxy that ends TLS."""

    def send(self, form: Any, proof: str | None, **more: Any) -> Answer:
        """Send to where the proxy would, with what it would add."""
        headers = {
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "somewhere.example",
            "Host": "tillit.example.no",
        }
        url = self.service.inside + (more.pop("path", None) or "/connect/token")
        return super().send(form, proof, url=url, headers=headers)


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Production:
    """An installation with settings, and nothing else yet."""
    return Production(tmp_path_factory.mktemp("production"))


@pytest.fixture(scope="module")
def keys(production: Production) -> str:
    """What ``keys init`` says in a new installation."""
    return production.run("keys", "init").stdout


@pytest.fixture(scope="module")
def running(production: Production, keys: str) -> Iterator[Production]:
    """The installation's service, running."""
    log = (production.home / "log").open("ab")
    command = [TILLIT, "serve", "--config", str(production.file)]
    with log, subprocess.Popen(command, stdout=log, stderr=log, env=clean_environment()) as process:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(production):
            assert process.poll() is None, (production.home / "log").read_text(encoding="utf-8")
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield production
        process.terminate()
        assert process.wait(STOP_SECONDS) == 0


def _answers(production: Production) -> bool:
    try:
        return http("GET", production.inside + "/.well-known/openid-configuration")[0] == 200
    except OSError:
        return False


pytestmark = pytest.mark.xdist_group("production")


def test_without_keys_nothing_starts(production: Production, tmp_path: Path):
    """No key is made by accident: without ``keys init`` every command refuses in one line and makes no database."""
    elsewhere = {"keys": str(tmp_path / "keys"), "data": str(tmp_path / "data")}
    said = one_line(production.run("clients", "list", exit_code=2, **elsewhere))
    assert said.startswith("tillit: refusing to start: ")
    assert not list(tmp_path.glob("data/*.sqlite"))


def test_what_belongs_to_development_is_refused(production: Production):
    """Plain http, a clock file, and keys that lie anywhere are refused when production starts, all in one answer."""
    development = {
        "issuer": "http://tillit.example.no",
        "clock": "clock",
        "keys": None,
        "passphrase_file": None,
    }
    told = production.run("serve", exit_code=2, **development).stderr.splitlines()
    assert [line.partition(" (")[0] for line in told] == [
        "issuer: https needed",
        "clock: a clock file belongs to development mode",
        "keys: needed",
        "passphrase_file: needed",
    ]


def test_the_master_key_is_made_once_and_for_nobody_else(production: Production, keys: str):
    """``keys init`` makes passphrase and master key readable by their owner only, and says to back them up."""
    assert "back it up" in keys
    made = [production.home / "passphrase", *(production.home / "keys").iterdir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o600}
    assert production.run("keys", "init").stdout == keys


def test_a_development_key_is_no_seed_of_production(production: Production, keys: str, tmp_path: Path):
    """A client whose key development mode would make stops the start of a production service."""
    shutil.copytree(production.config, tmp_path / "config")
    shutil.copy(SHIPPED_CONFIG / "clients" / "development.toml", tmp_path / "config" / "clients")
    said = one_line(production.run("clients", "list", exit_code=2, config=str(tmp_path / "config")))
    assert "development_key belongs to development mode" in said


def test_tokens_are_issued_behind_a_proxy(running: Production):
    """Everything is judged by the public issuer, whatever the proxy's headers say, and the keys verify the token."""
    key = generate_key("ES256")
    jwks = running.home / "ehr.json"
    jwks.write_text(json.dumps({"keys": [dict(key.public.jwk)]}), encoding="utf-8")
    options = (
        "--legal-entity",
        ENTERPRISE,
        "--scope",
        f"{PHR} nhn:tillitsrammeverk:parameters",
        "--attests-without-login",
    )
    running.run("clients", "add", "--id", "ehr", "--jwks", str(jwks), *options)
    ehr = Proxied(running, "ehr", key)
    answer = ehr.token()
    assert answer.status == 200, answer.body
    token = read_jws(answer.json["access_token"], max_bytes=MAX_ASSERTION_BYTES)
    assert token.claims["iss"] == ISSUER
    metadata = json.loads(http("GET", running.inside + "/.well-known/openid-configuration")[2])
    assert metadata["token_endpoint"] == ISSUER + "/connect/token"
    published = metadata["jwks_uri"].replace(ISSUER, running.inside)
    verify(token, load_public_jwks(json.loads(http("GET", published)[2])), algorithms=["ES256"])
    inside = ehr.send(ehr.form(ehr.assertion(aud=running.inside)), ehr.proof())
    assert inside.status == 401
    inside = ehr.send(ehr.form(), ehr.proof(htu=running.inside + "/connect/token"))
    assert inside.error == "invalid_dpop_proof"


def test_explain_is_no_oracle_in_production(running: Production):
    """To a stranger ``/explain`` says no more than the token endpoint; the development client is not there."""
    stranger = Proxied(running, "dev-ehr", generate_key("ES256"))
    answer = stranger.send(stranger.form(), None, path="/explain")
    assert (answer.status, set(answer.json)) == (401, {"error", "error_description"})


def test_the_life_of_the_keys_is_listed(running: Production):
    """``keys list`` shows an active key and an announced one with the instants between which each signs."""
    rows = json.loads(running.run("keys", "list", "--output", "json").stdout)
    assert [(row["alg"], row["state"]) for row in rows] == [("ES256", "active"), ("ES256", "announced")]
    assert rows[0]["signs until"] <= rows[1]["signs from"] or not rows[0]["signs until"]
    head, *lines = running.run("keys", "list").stdout.splitlines()
    assert head.split()[:4] == ["kid", "alg", "custody", "state"]
    assert [line.split()[0] for line in lines] == [row["kid"] for row in rows]
