"""Many processes, one ring; and a process killed at any point leaves exactly one active key. Real store."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from support.commands import Command

STARTER = '''
import os, signal, sys, time
from functools import partial
from pathlib import Path
import orjson
from tillit_server.signing import files, guard, live
from tillit_server.signing.custody import open_custody
from tillit_server.signing.secrets import Secrets
from tillit_server.signing.signer import Signer
from tillit_server.storage.ring import RingStore
from tillit_server.storage.sealing import Sealer, SealingKeys
from tillit_server.storage.sqlite import SqliteStore

class NoLinker:
    slot = 0
    def digest(self, entry): return b""
    def link(self, previous, seq, digest): return b""

def start(root, now):
    """The whole start-up in its order: custody, secrets through the ring store, store, signer."""
    clock = lambda: now
    custody = open_custody(root / "keys", passphrase_file=root / "secret", make=True, scrypt_cost=2**10)
    with RingStore(partial(SqliteStore, root / "db.sqlite", clock=clock, timeout=20)) as view:
        secrets = Secrets(view.records, custody, clock)
    sealer = Sealer(lambda: SealingKeys(*secrets.sealing()))
    key_hash = secrets.current("key_hash").value
    store = SqliteStore(
        root / "db.sqlite", clock=clock, sealer=sealer, linker=NoLinker(), key_hash_secret=key_hash, timeout=20
    )
    secrets.use(store.records)
    signer = Signer(store.records, custody, clock, algorithms=("ES256", "EdDSA"))
    return store, secrets, signer

def kill(point):
    """Die, as if the power went, before (or after) the call that `point` names."""
    when, name, count = point.split(":")
    owner, function = {
        "link": (files.os, "link"), "replace": (files.Path, "replace"), "fsync": (files.os, "fsync"),
        "put": (live.LiveRing, "_put"), "raise_to": (guard.Guard, "raise_to"),
    }[name]
    real, left = getattr(owner, function), [int(count)]
    def mortal(*arguments, **named):
        left[0] -= 1
        if left[0] == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **named)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, function, mortal)

if __name__ == "__main__":
    root, now, point = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    print("ready", flush=True)
    sys.stdin.readline()
    if point:
        kill(point)
    store, secrets, signer = start(root, now)
    token, kid = signer.sign("at+jwt", {"sub": "a"}, "ES256")
    print(orjson.dumps({
        "kid": kid,
        "entries": [[e.kid, e.alg, e.state(now)] for e in signer.ring().entries],
        "a day later": [[e.kid, e.alg, e.state(now + 86400)] for e in signer.ring().entries],
        "secrets": [secrets.current(p).id for p in ("nonce", "sealing", "key_hash", "pseudonym", "audit_hash")],
        "version": store.records.get("ring", "signing").version,
    }).decode())
    store.close()
'''
NOW = 1_795_000_000.0
DAY = 86_400


def spawn(root: Path, now: float = NOW, point: str = "") -> subprocess.Popen[str]:
    process = Command(
        [sys.executable, "-c", STARTER, str(root), str(now), point],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def outcome(process: subprocess.Popen[str]) -> dict:
    out, err = process.communicate("go\n", timeout=60)
    assert process.returncode == 0, err
    return orjson.loads(out)


def killed(root: Path, now: float, point: str) -> None:
    process = spawn(root, now, point)
    process.communicate("go\n", timeout=60)
    assert process.returncode == -signal.SIGKILL, f"{point} was never reached"


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation that has run once, to be copied."""
    root = tmp_path_factory.mktemp("founded")
    outcome(spawn(root))
    return root


def test_eight_processes_on_a_fresh_directory_make_one_ring(tmp_path: Path) -> None:
    """Whichever is first, all eight sign with the same key and know the same secrets; nobody starts in vain."""
    processes = [spawn(tmp_path) for _ in range(8)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    results = []
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        results.append(orjson.loads(out))
    assert all(result == results[0] for result in results)
    assert results[0]["version"] == 1
    assert sorted(state for _, _, state in results[0]["entries"]) == ["active"] * 2 + ["announced"] * 2
    assert not list(tmp_path.rglob(".new-*"))


def test_eight_processes_at_a_rotation_announce_one_key(tmp_path: Path, founded: Path) -> None:
    """The next standby of each algorithm is announced once, whoever decides it."""
    root = shutil.copytree(founded, tmp_path / "copy")
    processes = [spawn(root, NOW + 89 * DAY) for _ in range(8)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [orjson.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert all(result == results[0] for result in results)
    assert results[0]["kid"] == results[0]["entries"][0][0]
    assert len(results[0]["entries"]) == 6
    assert results[0]["version"] == 2


FOUNDING = [
    "before:link:1",  # the passphrase is written beside its place
    "after:link:1",  # it is in its place
    "before:link:2",  # the same for the master key
    "after:link:2",
    "before:put:1",  # the ring of secrets
    "after:put:1",
    "before:replace:1",  # the guard's first word
    "before:put:2",  # the key ring
    "after:put:2",
    "before:replace:2",
    "after:raise_to:2",
]


@pytest.mark.parametrize("point", FOUNDING)
def test_k4_a_kill_during_the_first_start_leaves_one_ring(point: str, tmp_path: Path) -> None:
    """After a kill -9 at any point of the founding, the next start works and there is one signing key."""
    killed(tmp_path, NOW, point)
    states = sorted((alg, state) for _, alg, state in outcome(spawn(tmp_path))["entries"])
    assert states == [
        ("ES256", "active"),
        ("ES256", "announced"),
        ("EdDSA", "active"),
        ("EdDSA", "announced"),
    ]
    assert not list(tmp_path.rglob(".new-*"))


@pytest.mark.parametrize(
    "point", ["before:put:1", "after:put:1", "before:put:2", "after:put:2", "before:replace:2"]
)
def test_k4_a_kill_during_a_rotation_leaves_one_active_key(point: str, tmp_path: Path, founded: Path) -> None:
    """After a kill -9 while a key is being announced, the old key still signs and one standby is announced."""
    root = shutil.copytree(founded, tmp_path / "copy")
    killed(root, NOW + 89 * DAY, point)
    after = outcome(spawn(root, NOW + 89 * DAY))
    assert after["entries"][0][:2] == [after["kid"], "ES256"]
    assert [state for _, alg, state in after["entries"] if alg == "ES256"] == [
        "active",
        "announced",
        "announced",
    ]
    later = [state for _, alg, state in after["a day later"] if alg == "ES256"]
    assert later == ["retiring", "active", "announced"]


def test_k4_a_broken_set_up_ends_a_real_process_within_two_seconds(tmp_path: Path) -> None:
    """Started as a process, with a FIFO for a master key: an error within 2 s, not a hang."""
    (tmp_path / "keys").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "keys" / "master.key", 0o600)
    (tmp_path / "secret").write_text("a passphrase that is long enough")
    (tmp_path / "secret").chmod(0o600)
    process = spawn(tmp_path)
    started = time.monotonic()
    _, err = process.communicate("go\n", timeout=20)
    assert time.monotonic() - started < 2
    assert process.returncode != 0
    assert "is not a regular file" in err.strip().splitlines()[-1]
