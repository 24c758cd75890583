"""What stops a start, told in a line: `tillit serve` with broken settings, and a library without the server."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import TILLIT, run
from support.service import clean_environment, free_port, run_cli
from support.shell import one_line

HIDING = """
import sys
class Hidden:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
sys.argv = ["tillit", *{arguments!r}]
from tillit_server.cli import main
main()
"""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--host", "0.0.0.0"), "host: development mode listens on a loopback address only"),
        (("--issuer", "https://tillit.example.no"), "issuer: development mode refuses a public address"),
    ],
)
def test_development_mode_refuses_what_is_not_loopback(arguments: tuple[str, ...], told: str, tmp_path: Path):
    """``serve --dev`` with a public host or issuer ends at once with exit code 2 and one line."""
    port = str(free_port())
    done = run_cli(
        "serve", "--dev", "--data", str(tmp_path / "data"), "--port", port, *arguments, check=False
    )
    assert (done.returncode, one_line(done)) == (2, told)
    assert not (tmp_path / "data").exists()


def test_a_settings_file_with_unknown_names_is_refused_whole(tmp_path: Path):
    """Every fault of a settings file is told at once, unknown names among them, and nothing is started."""
    file = tmp_path / "tillit.toml"
    file.write_text(
        'isuer = "https://a.example"\nworkers = "many"\ndata = "/nowhere"\nport = true\n', encoding="utf-8"
    )
    done = run_cli("serve", "--config", str(file), check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "isuer: unknown setting",
        "workers: a whole number needed",
        "port: a whole number needed",
        "issuer: needed",
    ]


@pytest.mark.parametrize("content", [None, "issuer = "])
def test_a_settings_file_that_cannot_be_read_is_named(content: str | None, tmp_path: Path):
    """A settings file that is missing or no TOML ends in exit code 2 and names the file."""
    file = tmp_path / "tillit.toml"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    done = run_cli("clients", "list", "--config", str(file), check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("tillit.toml: ")


def test_a_setting_from_the_environment_is_checked_like_any_other():
    """A name nobody knows is refused in the environment too."""
    done = run(
        [TILLIT, "keys", "list"],
        env={**clean_environment(), "TILLIT_ISUER": "https://a.example"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "isuer: unknown setting" in done.stderr.splitlines()


@pytest.mark.parametrize("hidden", ["click", "flask", "granian"])
def test_a_library_without_the_server_says_how_to_install_it(hidden: str, tmp_path: Path):
    """Where a package of the server is missing, the command names the extra that brings it."""
    arguments = ("serve", "--dev", "--data", str(tmp_path), "--port", "1")
    code = HIDING.format(hidden={hidden}, arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert one_line(done) == f'{hidden} is not installed: pip install "tillit[server]"'


def test_a_fault_of_ours_is_not_taken_for_a_missing_package(tmp_path: Path):
    """A module of our own that is missing is told as what it is, a fault."""
    code = HIDING.format(hidden={"orjson"}, arguments=("--help",))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "orjson" in done.stderr
    assert "tillit[server]" not in done.stderr
