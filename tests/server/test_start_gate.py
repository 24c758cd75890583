"""Set-ups that are broken do not start: at once, with one line that says what to look at, and nothing served (G11)."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.service import free_port, run_cli
from support.starting import Setup, attempt, make

LIMIT_SECONDS = 2.0
DAYS_200 = "+17280000"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    """An installation in order, never touched again."""
    return make(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def setup(sound: Setup, tmp_path: Path) -> Iterator[Setup]:
    """A copy of the sound installation, to be broken."""
    copy = Setup(tmp_path / "copy")
    shutil.copytree(sound.home, copy.home)
    yield copy
    for directory in (copy.data, copy.keys):
        if directory.is_dir():
            directory.chmod(0o700)


def refused(setup: Setup, told: str) -> None:
    """Assert that a start is refused in time, with one line that holds `told`."""
    attempted = attempt(*setup.arguments(), output=setup.home / "output")
    assert attempted.code not in {None, 0}, attempted
    assert attempted.output.count("\n") == 1, attempted.output
    assert told in attempted.output
    assert attempted.output.isprintable() or attempted.output.rstrip("\n").isprintable()
    # On a busy machine much of the time is other people's.
    assert min(attempted.wall, attempted.cpu + 0.5) < LIMIT_SECONDS


def flip(path: Path, at: int) -> None:
    """Turn one bit."""
    octets = bytearray(path.read_bytes())
    octets[at] ^= 1
    path.write_bytes(octets)


def replace_by_link(setup: Setup) -> None:
    moved = setup.master.rename(setup.home / "elsewhere")
    setup.master.symlink_to(moved)


def replace_by_fifo(setup: Setup) -> None:
    setup.master.unlink()
    os.mkfifo(setup.master, 0o600)


def replace_by_directory(setup: Setup) -> None:
    setup.master.unlink()
    setup.master.mkdir(mode=0o700)


def replace_by_foreign(setup: Setup) -> None:
    other = make(setup.home / "other")
    for name in ("master.key", "passphrase", "ring.guard"):
        shutil.copy2(other.keys / name, setup.keys / name)


def restore_old_database(setup: Setup) -> None:
    old = setup.database.read_bytes()
    setup.clock.write_text(DAYS_200, encoding="ascii")
    setup.build()
    setup.database.write_bytes(old)


def forget_database(setup: Setup) -> None:
    for path in setup.data.glob("tillit.sqlite*"):
        path.unlink()


KEYS: dict[str, tuple[Callable[[Setup], object], str]] = {
    "the master key is empty": (lambda s: s.master.write_bytes(b""), "master.key: is empty"),
    "the master key is cut short": (lambda s: os.truncate(s.master, 100), "truncated or damaged"),
    "one bit of the master key is turned": (lambda s: flip(s.master, 150), "truncated or damaged"),
    "the master key is open to others": (lambda s: s.master.chmod(0o644), "lets others in"),
    "the master key is a link": (replace_by_link, "symbolic link"),
    "the master key is a FIFO": (replace_by_fifo, "not a regular file"),
    "the master key is a directory": (replace_by_directory, "not a regular file"),
    "the master key is gone": (lambda s: s.master.unlink(), "tillit: refusing to start: "),
    "the master key is another installation's": (replace_by_foreign, "tillit: refusing to start: "),
    "the passphrase is wrong": (
        lambda s: s.passphrase.write_text("of another key, long"),
        "wrong passphrase",
    ),
    "the passphrase is short": (lambda s: s.passphrase.write_text("short"), "shorter than 12"),
    "the passphrase is gone": (lambda s: s.passphrase.unlink(), "there is no passphrase file"),
    "the passphrase is open to others": (lambda s: s.passphrase.chmod(0o640), "lets others in"),
    "anybody may put files beside the keys": (lambda s: s.keys.chmod(0o777), "lets others write"),
    "an older ring was restored": (restore_old_database, "was a backup restored?"),
    "the ring is gone": (forget_database, "is gone from the store"),
    "the guard is damaged": (lambda s: flip(s.keys / "ring.guard", 40), "the rollback guard is damaged"),
}


def next_is_open(setup: Setup) -> None:
    shutil.copy2(setup.master, setup.keys / "master.key.next")
    (setup.keys / "master.key.next").chmod(0o644)


def next_is_cut(setup: Setup) -> None:
    (setup.keys / "master.key.next").write_bytes(setup.master.read_bytes()[:60])
    (setup.keys / "master.key.next").chmod(0o600)


def edit_ring(setup: Setup) -> None:
    """A key that signs since another instant, written by somebody without the master key."""
    with sqlite3.connect(setup.database) as connection:
        ((value,),) = connection.execute("SELECT value FROM record WHERE key = 'signing' AND kind = 'ring'")
        edited = value.replace(b'"active_from":1', b'"active_from":2')
        assert edited != value
        connection.execute("UPDATE record SET value = ? WHERE key = 'signing' AND kind = 'ring'", (edited,))
    connection.close()


KEYS |= {
    "the ring was edited in the database": (edit_ring, "the signing ring in the store is damaged"),
    "the next master key is open to others": (next_is_open, "master.key.next: mode 0644 lets others in"),
    "the next master key is cut short": (next_is_cut, "master.key.next: the master key file is truncated"),
}


@pytest.mark.parametrize("name", KEYS)
def test_k4_broken_keys_do_not_start(name: str, setup: Setup):
    """Key files that are empty, damaged, open, foreign, of a strange kind or old stop the start in one line."""
    break_it, told = KEYS[name]
    break_it(setup)
    refused(setup, told)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_k4_a_key_that_belongs_to_somebody_else_does_not_start(setup: Setup):
    """A master key of another user stops the start."""
    os.chown(setup.master, 65_534, 65_534)
    refused(setup, "belongs to user 65534")


def overwrite(path: Path, at: int, octets: bytes) -> None:
    """Write octets into a file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(octets)


def make_newer(setup: Setup) -> None:
    with sqlite3.connect(setup.database) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()


def make_foreign(setup: Setup) -> None:
    forget_database(setup)
    with sqlite3.connect(setup.database) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()


def damage_pages(setup: Setup) -> None:
    octets = setup.database.read_bytes()
    for page in range(4096, len(octets), 4096):
        overwrite(setup.database, page, b"\xff" * 64)


STORE: dict[str, tuple[Callable[[Setup], object], str]] = {
    "its pages are damaged": (damage_pages, "put back the last backup"),
    "it is cut short": (lambda s: os.truncate(s.database, 9000), "put back the last backup"),
    "it is something else": (
        lambda s: s.database.write_bytes(b"\0rubbish" * 4000),
        "put back the last backup",
    ),
    "it is of a later release": (make_newer, "Start the newer release"),
    "it is somebody else's": (make_foreign, "not a store of this service"),
}


@pytest.mark.parametrize("name", STORE)
def test_s8_a_broken_store_does_not_start(name: str, setup: Setup):
    """A database that is damaged, of a later release or somebody else's stops the start with a hint at repair."""
    break_it, told = STORE[name]
    break_it(setup)
    refused(setup, told)


def slots_are_a_file(setup: Setup) -> None:
    shutil.rmtree(setup.data / "slots")
    (setup.data / "slots").write_text("")


def ask_for_another_algorithm(setup: Setup) -> None:
    file = setup.config / "apis" / "development.toml"
    api = (
        '[[api]]\naudience = "example:other"\nscopes = ["example:other/read"]\nsigning_algorithm = "PS512"\n'
    )
    file.write_text(file.read_text() + api)


def break_toml(room: str) -> Callable[[Setup], object]:
    def break_it(setup: Setup) -> None:
        next((setup.config / room).glob("*.toml")).write_text("[[")

    return break_it


PLACES: dict[str, tuple[Callable[[Setup], object], str]] = {
    "the audit's slots cannot be used": (slots_are_a_file, "no audit slot"),
    "the database is a directory": (
        lambda s: (forget_database(s), s.database.mkdir()),
        "tillit: refusing to start: ",
    ),
    "there is no configuration": (lambda s: shutil.rmtree(s.config), "config: no such directory"),
    "there are no APIs": (lambda s: shutil.rmtree(s.config / "apis"), "apis"),
    "there are no registers": (lambda s: shutil.rmtree(s.config / "registers"), "refusing to start"),
    "the APIs are no TOML": (break_toml("apis"), "apis/"),
    "the registers are no TOML": (break_toml("registers"), ".toml"),
    "the clients are no TOML": (break_toml("clients"), "clients/"),
    "an API wants an algorithm nobody enabled": (ask_for_another_algorithm, "PS512 is not among the enabled"),
    "there is no clock file": (lambda s: s.clock.unlink(), "the clock file cannot be read"),
    "the clock file holds no time": (
        lambda s: s.clock.write_text("noon"),
        "+seconds, -seconds or an instant",
    ),
    "the clock file holds no number": (
        lambda s: s.clock.write_text("nan"),
        "+seconds, -seconds or an instant",
    ),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_broken_place_does_not_start(name: str, setup: Setup):
    """Directories, configuration and clock files that cannot be used stop the start in one line."""
    break_it, told = PLACES[name]
    break_it(setup)
    refused(setup, told)


@pytest.mark.parametrize("data", ["/proc/nowhere", "/dev/null/x"])
def test_a_data_directory_that_cannot_be_made_does_not_start(data: str, tmp_path: Path):
    """A place where nothing can be made is named."""
    attempted = attempt(
        "serve", "--dev", "--data", data, "--port", str(free_port()), output=tmp_path / "output"
    )
    assert attempted.code == 2
    assert attempted.output.count("\n") == 1
    assert data in attempted.output or "data" in attempted.output


def test_a_refusal_leaves_the_process_in_time(tmp_path: Path):
    """From the shell, interpreter and imports included: one line on standard error, exit code 2, nothing else."""
    done = run_cli(
        "serve", "--dev", "--data", str(tmp_path / "data"), "--clock", str(tmp_path / "no"), check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("tillit: refusing to start: ")


def test_g11_there_are_at_least_twenty_five_broken_set_ups():
    """As many as the threat's row asks for, each started in a process of its own."""
    assert len(KEYS) + len(STORE) + len(PLACES) >= 25


def test_the_sound_installation_would_have_started(setup: Setup):
    """What the broken ones are copies of is in order: it can be built."""
    setup.build()
