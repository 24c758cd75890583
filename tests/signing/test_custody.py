"""The master key: what it seals, and every broken set-up that must not start."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from tillit_server.signing.custody import Custody, CustodyError, open_custody
from tillit_server.signing.key_plan import KeyPlan
from tillit_server.signing.keyring import Policy
from tillit_server.signing.live import LiveRing
from tillit_server.signing.master_key import _checksum, _stretched

COST = 2**10


class Installation:
    """An installation that has run once, to be broken in one way."""

    def __init__(self, root: Path, records, clock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.root = root
        self.keys = root / "keys"
        self.master = self.keys / "master.key"
        self.guard = self.keys / "ring.guard"
        self.passphrase = root / "secret"
        self.records = records
        self.clock = clock
        self.start(make=True)

    def start(self, *, make: bool = False) -> Custody:
        """What every command does first: open the custody, then the ring."""
        custody = open_custody(self.keys, passphrase_file=self.passphrase, make=make, scrypt_cost=COST)
        LiveRing(KeyPlan(custody, Policy(), ("ES256",)), self.records, custody, self.clock)
        return custody

    def edit_ring(self, edit: Callable[[list], None], *, sign: bool) -> None:
        """Change the stored ring, as somebody with (sign) or without the master key could."""
        row = self.records.get("ring", "signing")
        document = dict(row.value)
        edit(document["body"])
        if sign:
            custody = open_custody(self.keys, passphrase_file=self.passphrase)
            del document["mac"]
            document["epoch"] += 1
            text = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
            document["mac"] = custody.authenticate(b"ring signing " + text)
        self.records.put("ring", "signing", document)


@pytest.fixture
def installation(tmp_path: Path, records, clock, monkeypatch: pytest.MonkeyPatch) -> Installation:
    return Installation(tmp_path, records, clock, monkeypatch)


def rewrite(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def swap(path: Path, make: Callable[[Path], object]) -> None:
    path.rename(path.with_suffix(".moved"))
    make(path)


def older_ring(i: Installation) -> None:
    old = dict(i.records.rows)
    i.clock.pass_(89 * 86_400)
    i.start()
    i.records.rows = old


def other_history(i: Installation) -> None:
    """Restored, then advanced again to the same epoch without this host seeing it."""
    old = dict(i.records.rows)
    i.clock.pass_(89 * 86_400)
    guard = i.guard.read_bytes()
    i.start()
    newer = i.guard.read_bytes()
    i.records.rows = old
    rewrite(i.guard, guard)
    i.start()
    rewrite(i.guard, newer)


def other_public(body: list) -> None:
    body[0]["public"], body[1]["public"] = body[1]["public"], body[0]["public"]


def other_private(body: list) -> None:
    body[0]["private"], body[1]["private"] = body[1]["private"], body[0]["private"]


def other_installation(i: Installation) -> None:
    for left in (i.master, i.passphrase, i.guard):
        left.unlink()
    open_custody(i.keys, passphrase_file=i.passphrase, make=True, scrypt_cost=COST)


def other_owner(i: Installation) -> None:
    if os.geteuid() == 0:
        os.chown(i.master, 65_534, 65_534)
    else:  # only root can give a file away; anybody can claim to be somebody else
        i.monkeypatch.setattr(os, "geteuid", lambda: 65_533)


def expensive(i: Installation) -> None:
    document = orjson.loads(i.master.read_bytes())
    document["n"] = 2**21
    document["check"] = _checksum({name: value for name, value in document.items() if name != "check"})
    i.master.write_bytes(orjson.dumps(document))


BROKEN: dict[str, tuple[Callable[[Installation], object], str]] = {
    "master key empty": (lambda i: rewrite(i.master, b""), "is empty"),
    "master key truncated": (lambda i: rewrite(i.master, i.master.read_bytes()[:60]), "truncated or damaged"),
    "master key bit-flipped": (lambda i: flip(i.master, 200), "truncated or damaged"),
    "master key is garbage": (lambda i: rewrite(i.master, os.urandom(32)), "truncated or damaged"),
    "master key mode 0644": (lambda i: i.master.chmod(0o644), "lets others in"),
    "master key of another owner": (other_owner, "belongs to user"),
    "master key is a symbolic link": (
        lambda i: swap(i.master, lambda p: p.symlink_to(p.with_suffix(".moved"))),
        "symbolic link",
    ),
    "master key is a FIFO": (lambda i: swap(i.master, lambda p: os.mkfifo(p, 0o600)), "not a regular file"),
    "master key is a directory": (lambda i: swap(i.master, lambda p: p.mkdir(0o700)), "not a regular file"),
    "master key missing": (lambda i: i.master.unlink(), "there is no master key"),
    "master key wants a minute of scrypt": (expensive, "truncated or damaged"),
    "passphrase wrong": (lambda i: rewrite(i.passphrase, b"correct horse battery"), "wrong passphrase"),
    "passphrase empty": (lambda i: rewrite(i.passphrase, b""), "is empty"),
    "passphrase short": (lambda i: rewrite(i.passphrase, b"kort\n"), "shorter than"),
    "passphrase mode 0640": (lambda i: i.passphrase.chmod(0o640), "lets others in"),
    "passphrase missing": (lambda i: i.passphrase.unlink(), "no passphrase file"),
    "passphrase is a FIFO": (
        lambda i: swap(i.passphrase, lambda p: os.mkfifo(p, 0o600)),
        "not a regular file",
    ),
    "directory open to others": (lambda i: i.keys.chmod(0o777), "lets others write"),
    "directory missing": (lambda i: i.keys.rename(i.root / "elsewhere"), "no such directory"),
    "directory is a file": (lambda i: swap(i.keys, lambda p: p.touch()), "is not a directory"),
    "master key of another installation": (other_installation, "sealed with master key"),
    "public key is not the private one's": (
        lambda i: i.edit_ring(other_public, sign=True),
        "is another one|not belong",
    ),
    "private key is not the public one's": (
        lambda i: i.edit_ring(other_private, sign=True),
        "damaged|not belong",
    ),
    "ring edited in the store": (
        lambda i: i.edit_ring(lambda body: body[0].update(active_from=1), sign=False),
        "ring in the store is damaged",
    ),
    "ring is not a ring": (lambda i: i.records.put("ring", "signing", [1]), "ring in the store is damaged"),
    "older ring restored": (older_ring, "was a backup restored"),
    "other history restored": (other_history, "differs from"),
    "ring gone from the store": (lambda i: i.records.rows.clear(), "gone from the store"),
    "guard damaged": (lambda i: flip(i.guard, 30), "rollback guard is damaged"),
    "guard truncated": (lambda i: rewrite(i.guard, b"{"), "rollback guard is damaged"),
    "guard mode 0666": (lambda i: i.guard.chmod(0o666), "lets others in"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_k4_broken_set_up_refuses_to_start_with_one_line(name: str, installation: Installation) -> None:
    """Each broken set-up is refused within 2 s, with one line that says what is wrong and shows no secret."""
    breaks, says = BROKEN[name]
    secrets = {
        installation.passphrase.read_bytes().strip(),
        *orjson.loads(installation.master.read_bytes()).values(),
    }
    breaks(installation)
    started = time.monotonic()
    with pytest.raises(CustodyError, match=says) as refused:
        installation.start()
    assert time.monotonic() - started < 2
    line = refused.value.line
    assert line.isprintable()
    assert len(line) < 400
    assert not any(str(secret) in line for secret in secrets if len(str(secret)) > 16)


@pytest.mark.parametrize("where", range(0, 400, 7))
def test_k4_no_flipped_bit_of_a_master_key_passes(where: int, tmp_path: Path) -> None:
    """Wherever the bit flips, the key is refused or unchanged; never another key."""
    for passphrase in (None, tmp_path / "secret"):
        keys = tmp_path / f"keys-{passphrase is None}"
        made = open_custody(keys, passphrase_file=passphrase, make=True, scrypt_cost=COST)
        size = (keys / "master.key").stat().st_size
        flip(keys / "master.key", where % size)
        try:
            again = open_custody(keys, passphrase_file=passphrase)
        except CustodyError:
            continue
        assert again.master_id == made.master_id


def test_k4_an_intact_installation_starts(installation: Installation) -> None:
    """What the broken set-ups are compared with."""
    assert installation.start().master_id == installation.start().master_id


def test_k4_a_new_host_needs_only_the_master_key(installation: Installation) -> None:
    """A host without a guard of its own trusts the ring it finds, and remembers it from then on."""
    installation.guard.unlink()
    installation.start()
    assert installation.guard.exists()


def test_s8_a_passphrase_is_stretched_once_in_a_process(installation: Installation) -> None:
    """What a worker is forked from has done it, so that one that was killed is there again the sooner; another one is stretched anew."""
    before = _stretched.cache_info().misses
    assert installation.start().master_id == installation.start().master_id
    assert _stretched.cache_info().misses == before
    installation.passphrase.write_bytes(b"correct horse battery")
    with pytest.raises(CustodyError, match="wrong passphrase"):
        installation.start()
    assert _stretched.cache_info().misses == before + 1


def test_a_passphrase_for_an_unprotected_master_key_is_a_mistake(tmp_path: Path) -> None:
    """The settings and the file must agree on whether there is a passphrase."""
    open_custody(tmp_path / "keys", make=True)
    (tmp_path / "secret").write_bytes(b"a passphrase nobody needs")
    (tmp_path / "secret").chmod(0o600)
    with pytest.raises(CustodyError, match="check the setting passphrase_file"):
        open_custody(tmp_path / "keys", passphrase_file=tmp_path / "secret")


def test_the_master_key_does_not_lie_open_beside_a_passphrase(tmp_path: Path) -> None:
    """With a passphrase, the file holds the key only wrapped."""
    open_custody(tmp_path / "keys", passphrase_file=tmp_path / "secret", make=True, scrypt_cost=COST)
    assert "key" not in orjson.loads((tmp_path / "keys" / "master.key").read_bytes())


def test_everything_made_is_closed_to_others(installation: Installation) -> None:
    """Directory 0700, every file in it 0600, the passphrase 0600."""
    assert installation.keys.stat().st_mode & 0o777 == 0o700
    for path in (*installation.keys.iterdir(), installation.passphrase):
        assert path.stat().st_mode & 0o777 == 0o600


def test_sealed_opens_only_under_its_own_name(custody: Custody) -> None:
    """A blob moved to another key, or damaged anywhere, does not open."""
    sealed = custody.seal(b"plain", context="signing key a")
    assert custody.open(sealed, context="signing key a") == b"plain"
    tail = sealed[-2] + ("A" if sealed[-1] != "A" else "B")
    for wrong in (
        sealed[:-2] + tail,
        sealed[:20],
        "",
        "sealed:",
        "sealed:%%",
        "plain:" + sealed[7:],
        sealed[:9] + "x" + sealed[9:],
    ):
        with pytest.raises(CustodyError, match="signing key a"):
            custody.open(wrong, context="signing key a")
    with pytest.raises(CustodyError):
        custody.open(sealed, context="signing key b")


def test_two_seals_of_the_same_differ(custody: Custody) -> None:
    """The nonce is random, so equal secrets cannot be told from their blobs."""
    assert custody.seal(b"plain", context="c") != custody.seal(b"plain", context="c")


def test_nothing_secret_is_shown(installation: Installation) -> None:
    """The representation names the master key and does not show it."""
    assert repr(installation.start()) == f"Custody(master_id={installation.start().master_id!r})"


def test_a_full_disk_at_the_first_start_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The very first start on a full disk fails readably and leaves nothing half-made."""
    from tillit_server.signing import files

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(CustodyError, match="No space left"):
        open_custody(tmp_path / "keys", make=True)
    assert not (tmp_path / "keys" / "master.key").exists()
