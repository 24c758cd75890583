"""`tillit keys renew-master`: a new master key, killed at any moment, on one host and on several."""

import json
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.backstage import eventually
from support.commands import run
from support.service import clean_environment
from support.starting import Setup, copied
from tillit_server.audit.chain import chain_secret, verify
from tillit_server.cli.commands import tillit
from tillit_server.config import load_settings
from tillit_server.signing.custody import open_custody
from tillit_server.signing.envelope import Envelope
from tillit_server.storage.ports import StorageUnavailable
from tillit_server.wiring import Installation, build

MORTAL = """
import os, signal, sys
from tillit_server.signing import custody, files, guard
from tillit_server.cli.commands import tillit
from tillit_server.storage.sqlite import SqliteStore

point, *arguments = sys.argv[1:]
when, name, times = point.split(":")
owner, function = {
    "settle": (SqliteStore, "settle"),
    "file": (files.os, "link"),
    "guard": (guard.Guard, "renew"),
    "rename": (custody.Path, "replace"),
}[name]
real, left = getattr(owner, function), int(times)
def mortal(*arguments, **named):
    global left
    if name == "rename" and not str(arguments[0]).endswith("master.key.next"):
        return real(*arguments, **named)
    left -= 1
    if left == 0 and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    real(*arguments, **named)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, function, mortal)
tillit(arguments)
"""
POINTS = (
    pytest.param("after:file:1", marks=pytest.mark.long),
    "after:settle:1",
    pytest.param("after:settle:2", marks=pytest.mark.long),
    "after:guard:1",
    pytest.param("after:rename:1", marks=pytest.mark.long),
)


class House:
    """An installation whose master key is to be another one."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.next = setup.keys / "master.key.next"

    def build(self, keys: Path | None = None) -> Installation:
        """The installation, as the next start of a host with these keys finds it."""
        flags = {"dev": True, "data": self.setup.data, "config": self.setup.config, "keys": keys}
        return build(load_settings(flags={**flags, "clock": self.setup.clock}))

    def command(self, *more: str) -> list[str]:
        """The command."""
        command = ["keys", "renew-master", "--operator", "kari", "--reason", "case 4714", *more]
        return [*command, "--data", str(self.setup.data)]

    def run(self, *more: str) -> Result:
        """Run it."""
        return CliRunner().invoke(tillit, self.command(*more))

    def sealed(self) -> tuple[set[str], list[str]]:
        """The master keys of the two rings, and which rings the audit says were sealed anew."""
        installation = self.build()
        services = installation.services
        rings = [services.store.records.get("ring", ring).value for ring in ("signing", "secrets")]
        assert verify(services.store.journal, chain_secret(installation.audit_secret), known={}).intact
        told = [
            entry.public["ring"]
            for head in services.store.journal.heads()
            for entry in services.audit.read(head.slot)
            if entry.event == "signing.master.changed"
        ]
        assert services.signer.sign("at+jwt", {}, "ES256")
        installation.close()
        return {ring["master"] for ring in rings}, sorted(told)


@pytest.fixture
def house(made: Setup, tmp_path: Path) -> House:
    return House(copied(made, tmp_path / "copy"))


def test_everything_opens_with_the_new_key_and_nothing_with_the_old(house: House, tmp_path: Path):
    """The same keys, clients and audit under another master key; the old one opens the old backup, and that alone."""
    before = house.build()
    kids = [entry.kid for entry in before.services.signer.ring().entries]
    clients = [client.to_record() for client in before.services.clients.each()]
    secret = before.secrets.current("pseudonym")
    before.close()
    shutil.copytree(house.setup.home, tmp_path / "backup")
    done = house.run("--yes")
    assert done.exit_code == 0, done.output
    assert not house.next.exists()

    after = house.build()
    assert after.custody.master_id != before.custody.master_id
    assert house.sealed() == ({after.custody.master_id}, ["secrets", "signing"])
    assert [entry.kid for entry in after.services.signer.ring().entries] == kids
    assert [client.to_record() for client in after.services.clients.each()] == clients
    assert after.secrets.current("pseudonym").value == secret.value
    assert after.services.signer.sign("at+jwt", {}, "ES256")[1] == kids[0]
    after.close()
    assert House(Setup(tmp_path / "backup")).sealed() == ({before.custody.master_id}, [])


@pytest.mark.parametrize("point", POINTS)
def test_k3_a_renewal_that_is_killed_starts_and_goes_on(point: str, house: House):
    """Wherever it ends, the installation starts with what lies there; the same command brings it to its end."""
    command = [sys.executable, "-c", MORTAL, point, *house.command("--yes")]
    done = run(command, env=clean_environment(), capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    masters, told = house.sealed()
    assert (len(masters) == 2) == (told == ["secrets"])
    if house.next.exists():
        assert house.run("--yes").exit_code == 0
    alone = open_custody(house.setup.keys, passphrase_file=house.setup.passphrase).master_id
    assert house.sealed() == ({alone}, ["secrets", "signing"])
    assert not house.next.exists()
    assert not list(house.setup.keys.glob(".new-*"))


def test_a_process_that_runs_follows_when_all_is_done(house: House):
    """Rings, rollback guard and key file are other ones at its next look, and it signs on with the same key."""
    running = house.build()
    kid = running.services.signer.sign("at+jwt", {}, "ES256")[1]
    assert house.run("--yes").exit_code == 0
    ((new,), _) = house.sealed()

    def followed() -> bool:
        assert running.services.signer.sign("at+jwt", {}, "ES256")[1] == kid
        return running.custody.master_id == new

    assert running.custody.master_id != new
    assert eventually(followed)
    running.close()


def test_another_host_goes_on_when_it_is_given_the_file(house: House, tmp_path: Path):
    """Without it: no signature, one line that says what to bring. With it: at once, and for good at its next start."""
    elsewhere = tmp_path / "host"
    shutil.copytree(house.setup.keys, elsewhere)
    host = house.build(elsewhere)
    first = host.custody.master_id
    assert house.run("--yes").exit_code == 0
    signer = host.services.signer

    def tried() -> str:
        try:
            return signer.sign("at+jwt", {}, "ES256")[1]
        except StorageUnavailable as error:
            return str(error)

    line = r"the signing ring was sealed with master key '\w{8}', this host has '\w{8}': copy the master key"
    assert eventually(lambda: re.match(line, tried()), seconds=20)
    assert signer.jwks(0)["keys"]
    shutil.copy2(house.setup.master, elsewhere / "master.key.next")
    assert eventually(lambda: tried() in {key["kid"] for key in signer.jwks(0)["keys"]}, seconds=20)
    assert host.custody.master_id != first
    host.close()
    again = house.build(elsewhere)
    assert not (elsewhere / "master.key.next").exists()
    assert (elsewhere / "master.key").read_bytes() == house.setup.master.read_bytes()
    again.close()


def test_it_is_prepared_before_it_is_done(house: House):
    """The new key lies there for the other hosts, nothing is sealed with it, the doctor speaks of it, and a no is a no."""
    before = house.sealed()
    for _ in range(2):
        assert house.run("--prepare").exit_code == 0
    made = house.next.read_bytes()
    assert house.next.stat().st_mode & 0o777 == 0o600
    assert house.run().exit_code == 1
    assert (house.sealed(), house.next.read_bytes()) == (before, made)
    told = CliRunner().invoke(tillit, ["keys", "doctor", "--data", str(house.setup.data), "--output", "json"])
    assert next(f for f in json.loads(told.stdout) if f["what"] == "next master key")["verdict"] == "look"
    new = ["keys", "rewrap", "--data", str(house.setup.data)]
    refused = CliRunner().invoke(tillit, [*new, "--new-passphrase-file", str(house.setup.home / "new")])
    assert (refused.exit_code, "first keys renew-master" in refused.stderr) == (2, True)
    assert house.run("--yes").exit_code == 0
    assert house.setup.master.read_bytes() == made


def test_a_secret_sealed_with_the_old_key_never_stays_in_a_ring_under_the_new(house: House):
    """A key made just before, and written just after, is sealed anew like the rest."""
    installation = house.build()
    custody = installation.custody
    sealed = custody.seal(b"spare", context="signing key x")
    house.run("--prepare")
    fresh = house.build().custody
    fresh.follow(fresh.next_id)
    renewed = fresh.renewed(sealed, context="signing key x")
    assert renewed != sealed
    assert fresh.renewed(renewed, context="signing key x") == renewed
    assert fresh.renewed("pkcs11:x", context="signing key x") == "pkcs11:x"
    assert house.run("--yes").exit_code == 0
    alone = open_custody(house.setup.keys, passphrase_file=house.setup.passphrase)
    assert alone.open(renewed, context="signing key x") == b"spare"
    store = installation.services.store
    for ring in ("signing", "secrets"):
        document = Envelope(ring, alone).unwrap(store.records.get("ring", ring).value)
        for member in document.body:
            text = member.get("private") or member.get("sealed")
            kid, purpose = member.get("kid"), member.get("purpose")
            context = f"signing key {kid}" if kid else f"secret {purpose} {member['id']}"
            assert alone.renewed(text, context=context) == text
    installation.close()
