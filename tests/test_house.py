"""The house stands as it was drawn: imports, sizes, commands, and nothing that points outside."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.pages import ROOT, blocks, pages, read

APP = ROOT / "app"
LONGEST_FILE = 300
TEXT = {".py", ".md", ".toml", ".json", ".yaml", ".yml", ".cfg", ".txt", ".sh", ""}
TREES = ("app", "benchmarks", "config", "docs", "keys", "tests", ".ci")
SINGLE = ("Makefile", "pyproject.toml", ".gitignore", ".pre-commit-config.yaml")
# Where people keep their own files. /etc, /var, /tmp and /proc belong to every machine.
MACHINE = re.compile(r"(?<![\w.:/}-])/(?:home|root|Users|work|workspace|mnt/c)/\w")
UPWARDS = re.compile(r"(?<![\w/%.])(?:\.\./)+[\w.-]+")


def written_files() -> Iterator[Path]:
    """Every text file that belongs to the project."""
    yield from (ROOT / name for name in SINGLE)
    yield from ROOT.glob("*.md")
    for tree in TREES:
        for path in sorted((ROOT / tree).rglob("*")):
            if path.is_file() and path.suffix in TEXT and "__pycache__" not in path.parts:
                yield path


def make_targets() -> set[str]:
    """The targets of the Makefile that `make help` shows."""
    return set(re.findall(r"^([a-z-]+):.*##", read(ROOT / "Makefile"), re.MULTILINE))


def test_imports_go_downwards_only():
    """Every contract on who may import whom is kept."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", sorted(APP.rglob("*.py")), ids=lambda path: path.relative_to(APP).as_posix())
def test_no_file_is_too_long_to_read(path: Path):
    """A file of the application has at most 300 lines."""
    assert len(read(path).splitlines()) <= LONGEST_FILE


def test_every_make_command_on_a_page_exists():
    """Whoever types what a page says finds a target of that name."""
    named = {
        target
        for page in pages()
        for target in re.findall(r"(?:^|`|&& )make ([a-z-]+)", read(page), re.MULTILINE)
    }

    assert {"demo", "test"} <= named
    assert named <= make_targets()


def test_make_help_shows_every_target_once():
    """`make help` lists each target with what it does."""
    done = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    listed = re.findall(r"^  make ([a-z-]+) +\S", done.stdout, re.MULTILINE)
    assert sorted(listed) == sorted(make_targets())
    phony = re.search(r"^\.PHONY: (.*)$", read(ROOT / "Makefile"), re.MULTILINE)
    assert phony
    assert set(phony[1].split()) == make_targets()


def test_a_newcomer_needs_exactly_two_commands():
    """Under its heading the README names `make demo` and `make test`, and nothing else."""
    _, _, rest = read(ROOT / "README.md").partition("## Two commands")
    part = rest.partition("\n## ")[0]

    assert [block.code.strip() for block in blocks(part, "sh")] == ["make demo", "make test"]


def test_nothing_points_to_somebodys_machine():
    """No file of the project names a place where a person keeps files."""
    here = Path(__file__)
    found = {
        path.relative_to(ROOT).as_posix(): MACHINE.findall(read(path))
        for path in written_files()
        if path != here and MACHINE.search(read(path))
    }

    assert found == {}


def test_nothing_points_out_of_the_repository():
    """No page, setting or source of the application names a path that leaves the repository."""
    outside = [
        f"{path.relative_to(ROOT)}: {found}"
        for path in written_files()
        if "tests" not in path.relative_to(ROOT).parts
        for found in UPWARDS.findall(read(path))
        if not (path.parent / found).resolve().is_relative_to(ROOT)
    ]

    assert outside == []


def test_links_inside_the_packages_stay_in_the_repository():
    """The code lists and examples that are linked into the packages come along in every clone."""
    links = [path for path in APP.rglob("*") if path.is_symlink()]

    assert links
    for link in links:
        assert not link.readlink().is_absolute()
        assert link.resolve().is_relative_to(ROOT)
        assert link.exists()


SERVERS = {"redis", "sqlalchemy", "psycopg", "alembic"}
FRONT_DOOR = {"flask", "werkzeug", "granian", "requests", "limits", "httpx", "rich", "opentelemetry"}
EVERYTHING = {"cryptography", "jwt", "sqlite3", "httpcore", "authlib", "prometheus_client", "tillit"}
LOADED = """
import sys
from tillit_server.cli.commands import tillit
tillit.main({arguments!r}, standalone_mode=False)
print(*sys.modules)
"""


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (("--help",), SERVERS | FRONT_DOOR | EVERYTHING),
        (("keys", "list", "--data", "{}"), SERVERS | FRONT_DOOR),
    ],
    ids=["help", "keys"],
)
def test_a_command_loads_what_it_needs(arguments: tuple[str, ...], unneeded: set[str], tmp_path: Path):
    """No command waits for the front door; who uses neither PostgreSQL nor Redis does not pay for them."""
    code = LOADED.format(arguments=[argument.format(tmp_path) for argument in arguments])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert not unneeded & set(done.stdout.splitlines()[-1].split())


WORKER = """
import sys
from pathlib import Path
from tillit_server.config import load_settings
from tillit_server.serving import service
with service.closing(service.build(load_settings(flags={{"dev": True, "data": Path({data!r})}}))) as worker:
    service.public_app(worker)
    print(*sys.modules)
"""


def test_a_worker_loads_an_http_client_when_it_needs_one(tmp_path: Path):
    """One that only gives tokens, from the embedded store, has no memory to spare for anything else."""
    code = WORKER.format(data=str(tmp_path / "data"))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}

    assert "flask" in loaded
    assert loaded.isdisjoint(SERVERS | {"httpx", "httpcore", "requests", "joserfc", "rich", "opentelemetry"})


def test_the_files_that_take_longest_come_first(pytestconfig: pytest.Config):
    """`make test` begins with files that exist, and keeps the order in which they stand."""
    names = next(
        plugin.LONGEST for plugin in pytestconfig.pluginmanager.get_plugins() if hasattr(plugin, "LONGEST")
    )

    assert [name for name in names if not (ROOT / "tests" / name).is_file()] == []
    assert "--no-loadscope-reorder" in read(ROOT / "Makefile")
