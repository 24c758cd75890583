"""K3: kill -9 at every step of a rotation leaves one signing key, and either the whole rotation or nothing of it."""

import shutil
import signal
import sys
from pathlib import Path

import pytest

from support.commands import run
from support.service import clean_environment
from support.starting import Setup, make
from tillit_server.audit.chain import chain_secret, verify
from tillit_server.config import load_settings
from tillit_server.signing.key_moves import IllegalMove, Rotate
from tillit_server.signing.keyring import State
from tillit_server.wiring import Installation, build

MORTAL = """
import os, signal, sys
from pathlib import Path
from tillit_server.config import load_settings
from tillit_server.signing import files, guard
from tillit_server.signing.custody import Custody
from tillit_server.signing.key_moves import Rotate
from tillit_server.storage.sqlite import SqliteStore
from tillit_server.wiring import build

home, point = Path(sys.argv[1]), sys.argv[2]
flags = {"dev": True, "data": home / "data", "config": home / "config", "clock": home / "clock"}
installation = build(load_settings(flags=flags))
when, name = point.split(":")
owner, function = {
    "make": (Custody, "seal"),
    "settle": (SqliteStore, "settle"),
    "guard": (guard.Guard, "raise_to"),
    "write": (files.os, "fsync"),
    "rename": (files.Path, "replace"),
}[name]
real = getattr(owner, function)
def mortal(*arguments, **named):
    if when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    real(*arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, function, mortal)
installation.services.signer.change(Rotate("ES256"), operator="kari", reason="exercise")
"""
POINTS = [
    f"{when}:{name}"
    for name in ("make", "settle", "guard", "write", "rename")
    for when in ("before", "after")
]
WRITTEN = "after:settle"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    """An installation a month old, to be copied."""
    setup = make(tmp_path_factory.mktemp("sound"))
    setup.clock.write_text("+2592000", encoding="ascii")
    setup.build()
    return setup


def opened(setup: Setup) -> Installation:
    """The installation, as the next start finds it."""
    flags = {"dev": True, "data": setup.data, "config": setup.config, "clock": setup.clock}
    return build(load_settings(flags=flags))


@pytest.mark.parametrize("point", POINTS)
def test_k3_a_rotation_that_is_killed_is_whole_or_nothing(point: str, sound: Setup, tmp_path: Path):
    """One key signs, no file is half-written, the audit tells of exactly what the ring holds, and going on works."""
    setup = Setup(tmp_path / "copy")
    shutil.copytree(sound.home, setup.home)
    command = [sys.executable, "-c", MORTAL, str(setup.home), point]
    done = run(command, env=clean_environment(), capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr

    installation = opened(setup)
    services = installation.services
    now, entries = services.clock(), [e for e in services.signer.ring().entries if e.alg == "ES256"]
    happened = POINTS.index(point) >= POINTS.index(WRITTEN)
    expected = ["active", "announced", "announced"] if happened else ["active", "announced"]
    assert [entry.state(now).value for entry in entries] == expected
    told = [
        entry.event
        for head in services.store.journal.heads()
        for entry in services.audit.read(head.slot)
        if entry.public.get("operator") == "kari"
    ]
    assert told == (["signing.key.rotated", "signing.key.announced"] if happened else [])
    assert verify(services.store.journal, chain_secret(installation.audit_secret), known={}).intact
    again = Rotate("ES256")
    if happened:
        with pytest.raises(IllegalMove, match="by plan"):
            services.signer.change(again, operator="kari", reason="again")
    else:
        services.signer.change(again, operator="kari", reason="again")
    after = [e.state(now + 60) for e in services.signer.ring().entries if e.alg == "ES256"]
    assert after == [State.RETIRING, State.ACTIVE, State.ANNOUNCED]
    assert not list(setup.keys.glob(".new-*"))
    installation.close()
