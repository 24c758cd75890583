"""``tillit doctor`` and ``tillit config``: what an operator asks first, answered in lines with a remedy."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from support.service import Service, free_port
from support.starting import Attempt, Setup, attempt, make
from tillit_server.cli import doctor as doctor_module
from tillit_server.cli.config import masked
from tillit_server.cli.doctor import MIB, _file_system, _open_files, _store
from tillit_server.config import load_settings
from tillit_server.signing.doctor import Finding


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    """A development installation that was started once."""
    return make(tmp_path_factory.mktemp("doctor"))


def examine(setup: Setup, tmp_path: Path, *, port: int | None = None) -> tuple[Attempt, dict[str, list[str]]]:
    """Run the doctor, and give its findings by what they are about."""
    done = attempt(
        *("doctor", "--data", str(setup.data), "--output", "json"),
        output=tmp_path / "said",
        environment={"TILLIT_PORT": str(port or free_port())},
    )
    found: dict[str, list[str]] = {}
    for finding in json.loads(done.output):
        found.setdefault(finding["what"], []).append(f"{finding['verdict']} {finding['text']}")
    return done, found


def test_a_sound_installation_is_told_to_be_sound(setup: Setup, tmp_path: Path):
    """Every part is named, nothing is bad, and the exit code is 0."""
    done, found = examine(setup, tmp_path)
    assert done.code == 0
    assert {"clock", "disk", "store", "files", "open files", "proxy", "issuer", "master key"} <= found.keys()
    assert found["issuer"][0].startswith("look")
    for what in ("files", "open files", "store", "master key"):
        assert found[what][0].startswith("ok"), found[what]


def test_u5_files_that_others_can_read_are_named(setup: Setup, tmp_path: Path):
    """A database or passphrase open to others is bad, with the command that closes it; the exit code is 1."""
    setup.database.chmod(0o644)
    setup.passphrase.chmod(0o640)
    try:
        done, found = examine(setup, tmp_path)
    finally:
        setup.database.chmod(0o600)
        setup.passphrase.chmod(0o600)
    assert done.code == 1
    assert f"BAD {setup.database} is open to others: chmod 0600 it" in found["files"]
    assert f"BAD {setup.passphrase} is open to others: chmod 0600 it" in found["files"]
    secret = setup.passphrase.read_text(encoding="ascii").strip()
    assert secret not in done.output


def test_the_issuers_own_address_is_asked(service: Service, tmp_path: Path):
    """A running service that answers at its issuer is found to answer for itself."""
    done = attempt(
        *("doctor", "--data", str(service.data), "--output", "json"),
        output=tmp_path / "said",
        environment={"TILLIT_PORT": str(service.port)},
    )
    assert done.code == 0, done.output
    (issuer,) = [finding for finding in json.loads(done.output) if finding["what"] == "issuer"]
    assert (issuer["verdict"], "answers for itself" in issuer["text"]) == ("ok", True)


@contextmanager
def answering(body: bytes | None, headers: Mapping[str, str]) -> Iterator[int]:
    """A server that answers everything like that, or with metadata of its own; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            own = {"issuer": f"http://127.0.0.1:{self.server.server_address[1]}"}
            self.wfile.write(json.dumps(own).encode() if body is None else body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "body", [b'{"issuer":"https://other.example"}', b"[]", b"{}", b"\xff", b'{"issuer":7}']
)
def test_d3_a_proxy_that_leads_elsewhere_is_told(body: bytes):
    """Metadata of another issuer are bad; what is no metadata is looked at; nothing of it is shown."""
    with answering(body, {}) as port:
        settings = load_settings(flags={"dev": True, "data": "/nowhere", "port": port})
        finding = doctor_module._issuer(settings)
    assert finding.verdict in {"BAD", "look"}
    assert "other.example" not in finding.text


def test_d9_clocks_that_differ_are_told():
    """An issuer whose answers are an hour away from this host's clock is bad."""
    for offset, verdict in ((-3600, "BAD"), (3600, "BAD"), (5, "ok")):
        headers = {"Date": formatdate(time.time() + offset, usegmt=True)}
        with answering(None, headers) as port:
            settings = load_settings(flags={"dev": True, "data": "/nowhere", "port": port})
            assert doctor_module._issuer(settings).verdict == verdict


def test_s7_a_disk_that_fills_is_told_in_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Under a gigabyte somebody should look, under 128 MiB it is bad."""
    settings = load_settings(flags={"dev": True, "data": tmp_path})
    usage = type(doctor_module.shutil.disk_usage("/"))
    for free, verdict in ((5000, "ok"), (500, "look"), (50, "BAD")):
        monkeypatch.setattr(doctor_module.shutil, "disk_usage", lambda _, free=free: usage(0, 0, free * MIB))
        disk, *_ = list(_store(settings))
        assert (disk.what, disk.verdict) == ("disk", verdict)


def test_a_file_system_is_found_by_its_mount(tmp_path: Path):
    """The deepest mount that holds a path counts, whatever else is mounted."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nfiler:/x {tmp_path} nfs4 rw 0 0\nnone /proc proc rw 0 0\n")
    assert _file_system(tmp_path / "data", mounts) == "nfs4"
    assert _file_system(Path("/etc"), mounts) == "ext4"
    assert not _file_system(Path("/etc"), tmp_path / "missing")


@pytest.mark.parametrize(("hard", "verdict"), [(256, "BAD"), (1_000_000, "ok")])
def test_x4_few_open_files_are_told(hard: int, verdict: str, monkeypatch: pytest.MonkeyPatch):
    """A limit below what a worker's connections need is bad, and the line names the one that does."""
    monkeypatch.setattr(doctor_module.resource, "getrlimit", lambda _: (0, hard))
    (finding,) = list(_open_files())
    assert isinstance(finding, Finding)
    assert finding.verdict == verdict


def test_every_value_and_where_it_comes_from(setup: Setup, tmp_path: Path):
    """`config show --origin` tells flag, environment, file and default apart."""
    file = tmp_path / "tillit.toml"
    file.write_text('dev = true\nworkers = 3\nissuer = "http://127.0.0.1:8080"\n', encoding="utf-8")
    done = attempt(
        *("config", "show", "--origin", "--output", "json", "--config", str(file), "--data", str(setup.data)),
        output=tmp_path / "said",
        environment={"TILLIT_THREADS": "7"},
    )
    assert done.code == 0, done.output
    shown = json.loads(done.output)
    assert shown["workers"] == {"value": "3", "origin": f"file {file}"}
    assert shown["threads"] == {"value": "7", "origin": "environment TILLIT_THREADS"}
    assert shown["data"] == {"value": str(setup.data), "origin": "flag"}
    assert shown["port"] == {"value": "8080", "origin": "default"}
    assert shown["management_port"] == {"value": "0", "origin": "default of development mode"}


def test_settings_are_checked_without_a_start(setup: Setup, tmp_path: Path):
    """`config check` is silent trouble's end: every fault is a line and exit code 2, else one line and 0."""
    good = attempt("config", "check", "--data", str(setup.data), output=tmp_path / "good")
    assert (good.code, good.output.startswith("ok: http://127.0.0.1")) == (0, True)
    bad = attempt(
        *("config", "check", "--data", str(setup.data)),
        output=tmp_path / "bad",
        environment={
            "TILLIT_THREADS": "0",
            "TILLIT_CLIENT_LIMITS": "tea=1/minute",
            "TILLIT_TRUSTED_PROXIES": "x",
        },
    )
    assert bad.code == 2
    assert [line.split(":")[0] for line in bad.output.splitlines()] == [
        "threads", "client_limits", "trusted_proxies",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "address",
    [
        "redis://:canary@host:6379/0",
        "redis://user:can@ary:canary@host",
        "postgresql://user:canary@host/name",
        "postgresql://host/name?password=canary&x=1",
    ],
)
def test_u5_no_password_is_shown(address: str):
    """A password in an address is masked, wherever it stands; the rest stays readable."""
    shown = masked(address)
    assert "canary" not in shown
    assert "host" in shown
    assert "***" in shown
