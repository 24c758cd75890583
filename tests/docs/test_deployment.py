"""The unit, the container file and the proxy's configuration that we ship are sound, as far as can be seen here."""

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from support.pages import DOCS, ROOT, read
from support.programs import nginx
from support.tls import make_certificate
from tillit_server.cli.commands import tillit
from tillit_server.config import Settings
from tillit_server.serving.service import HEADER_TIMEOUT_MS, MANY_FILES, MAX_HEADER_BYTES
from tillit_server.serving.supervisor import GRACE_SECONDS
from tillit_server.web.translate import MAX_BODY

DEPLOYMENT = ROOT / "config" / "deployment"
FILES = ("tillit.service", "Containerfile", "nginx.conf")


def unit() -> configparser.ConfigParser:
    """The systemd unit."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(read(DEPLOYMENT / "tillit.service"))
    return parser


def commands() -> list[list[str]]:
    """Every command of ours that unit and container file run."""
    service = unit()["Service"]
    found = [shlex.split(service[name])[1:] for name in ("ExecStartPre", "ExecStart")]
    words = re.search(r"^CMD \[(.*)\]$", read(DEPLOYMENT / "Containerfile"), re.MULTILINE)
    assert words
    return [*found, re.findall('"([^"]*)"', words[1])]


@pytest.mark.parametrize("file", FILES)
def test_every_file_is_named_on_the_page(file: str):
    """An operator finds each file from the page on operating."""
    assert f"config/deployment/{file}" in read(DOCS / "operating.md")


def test_what_is_run_exists():
    """Every command and option that the files use is one of ours."""
    for words in commands():
        command = tillit
        while words and not words[0].startswith("-"):
            command = command.commands[words.pop(0)]
        known = {name for option in command.params for name in option.opts}
        assert {word for word in words if word.startswith("-")} <= known


def test_the_unit_gives_the_service_what_it_needs():
    """Time to stop, open files, no core dump, one process that is told, no second try after bad settings."""
    service = unit()["Service"]
    assert (
        float(service["TimeoutStopSec"]) > Settings("https://a.example", Path("/a")).drain + GRACE_SECONDS + 1
    )
    assert int(service["LimitNOFILE"]) >= MANY_FILES
    assert (service["LimitCORE"], service["KillMode"]) == ("0", "mixed")
    assert service["RestartPreventExitStatus"] == "2"
    assert service["User"] not in {"", "root"}
    assert service["NoNewPrivileges"] == service["ProtectHome"] == "yes"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_understands_the_unit(tmp_path: Path):
    """`systemd-analyze verify` has nothing to say against the unit, programs and users that are not here aside."""
    text = read(DEPLOYMENT / "tillit.service").replace("/opt/tillit/bin/tillit", "/bin/true")
    file = tmp_path / "tillit.service"
    file.write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(file)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "tillit.service" in line]
    assert not said, said


def test_the_container_runs_as_nobody_and_names_no_registry():
    """The base image is whoever builds's choice, the user a number that is not root, the stop one we hear."""
    lines = read(DEPLOYMENT / "Containerfile").splitlines()
    assert {line.split()[1] for line in lines if line.startswith("FROM ")} == {"${BASE}"}
    assert "ARG BASE" in lines
    (user,) = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert int(user.split(":")[0]) > 0
    assert "STOPSIGNAL SIGTERM" in lines
    for source in (
        words.split()[1:-1] for words in lines if words.startswith("COPY ") and "--from" not in words
    ):
        assert all((ROOT / name).exists() for name in source), source


def directives(text: str) -> dict[str, list[str]]:
    """Directives of an nginx configuration and their values; asserts that each ends and each brace is closed."""
    text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    quoted = re.sub(r"'[^'\n]*'|\"[^\"\n]*\"", lambda found: "q" * len(found[0]), text)
    assert quoted.count("{") == quoted.count("}")
    found: dict[str, list[str]] = {}
    for statement in re.split(r"[;{}]", quoted):
        words = statement.split()
        if words:
            found.setdefault(words[0], []).append(" ".join(words[1:]))
    assert all(
        line.rstrip()[-1] in ";{}'" or "log_format" in line for line in text.splitlines() if line.strip()
    )
    return found


def test_x4_x5_the_proxy_lets_nothing_through_that_the_service_would_not_take():
    """Its limits are the service's, it sets the one header that is believed, and empties those that could mislead."""
    text = read(DEPLOYMENT / "nginx.conf")
    said = directives(text)
    assert said["client_max_body_size"] == [f"{MAX_BODY // 1024}k"]
    assert said["large_client_header_buffers"] == [f"4 {MAX_HEADER_BYTES // 1024}k"]
    assert said["client_header_timeout"] == [f"{HEADER_TIMEOUT_MS // 1000}s"]
    assert "X-Forwarded-For $remote_addr" in said["proxy_set_header"]
    for header in ("Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto"):
        assert f'proxy_set_header {header} "";' in text
    assert said["proxy_next_upstream"] == ["error"]
    assert "proxy_set_header DPoP" not in text
    assert "/metrics" not in text
    assert "request_uri" not in "".join(said["log_format"])


def test_nginx_understands_its_file(tmp_path: Path):
    """`nginx -t` accepts the file, with a certificate made for the occasion."""
    pem = str(make_certificate(tmp_path))
    text = read(DEPLOYMENT / "nginx.conf").replace("/var/log/nginx", str(tmp_path))
    text = text.replace("/etc/nginx/tls/tillit.key", pem).replace("/etc/nginx/tls/tillit.crt", pem)
    file = tmp_path / "nginx.conf"
    file.write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\n{text}\n}}\n", encoding="utf-8")
    done = subprocess.run([nginx(), "-t", "-c", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
