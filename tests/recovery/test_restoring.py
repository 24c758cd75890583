"""A restore: the whole backup or nothing of it, and nothing that ended revives."""

import errno
import multiprocessing
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.evidence import record
from support.postgres import Postgres
from support.recovery import BY, NOW, Home, add_client, clients_of, put, restore_and_die
from tillit.protocol.jose import generate_key
from tillit_server.audit.chain import chain_secret, verify
from tillit_server.audit.checkpoints import known_heads
from tillit_server.audit.events import ServiceStopped
from tillit_server.audit.restores import judged
from tillit_server.issuer.clients.keys import ClientKey
from tillit_server.issuer.clients.registration import add_keys, register, remove_key, set_disabled
from tillit_server.recovery.manifest import BackupDamaged
from tillit_server.recovery.moving import move_back
from tillit_server.recovery.restoring import examined
from tillit_server.signing.key_moves import Revoke
from tillit_server.signing.keyring import State
from tillit_server.storage.ports import Claim, Conflict, Settlement, StorageRefused, StorageUnavailable
from tillit_server.wiring import Installation

DAY = 86_400
FORKED = multiprocessing.get_context("fork")
"""Whoever restores in a process of its own has imported everything, and is killed before it ends."""


def signing_keys(installation: Installation) -> set[str]:
    ring = installation.services.signer.ring()
    return {
        entry.kid for entry in ring.entries if entry.state(installation.services.clock()) is not State.GONE
    }


def lose(home: Home) -> None:
    """The disk of the data directory, or the database, is gone; the keys are not."""
    if home.data.exists():
        shutil.rmtree(home.data)
    if home.url:
        import psycopg

        with psycopg.connect(home.url) as connection:
            connection.execute("TRUNCATE record, removed, journal, label")


@pytest.fixture
def backed_up(home: Home) -> Home:
    """An installation with two clients, one of them disabled, and a login, whose backup is a day old."""
    with home.opened() as installation:
        add_client(installation, "one")
        add_client(installation, "two")
        add_client(installation, "three", keys=2)
        set_disabled(installation.services, "two", disabled=True, **BY)
        put(installation, "family", "f", {"person": "somebody"})
        installation.checkpoints.tick()
    home.back_up()
    home.at(NOW + DAY)
    return home


def test_after_a_loss_what_lasts_is_back(backed_up: Home):
    """Clients as they were, keys that sign on, an audit whose next entry tells of it, and no login."""
    with backed_up.opened() as installation:
        keys = signing_keys(installation)
    lose(backed_up)
    outcome = backed_up.restore(keep_keys=True)

    assert clients_of(backed_up) == {"one": False, "two": True, "three": False}
    with backed_up.opened() as installation:
        store, audit = installation.services.store, installation.services.audit
        head = next(head for head in outcome.manifest.heads if head.slot == 1)
        first = audit.read(1, after=head.seq, limit=1)[0]
        assert (first.event, first.public["operator"], first.public["made_at"]) == (
            "service.backup.restored",
            "kari",
            int(NOW),
        )
        assert first.public["heads"] == {str(head.slot): head.seq for head in outcome.manifest.heads}
        assert store.records.get("family", "f") is None
        assert verify(store.journal, chain_secret(installation.audit_secret)).intact
        assert keys == signing_keys(installation)
    assert outcome.ended_keys == ()
    assert outcome.at == NOW + DAY


def test_s9_a_restore_ends_sessions_and_codes(backed_up: Home):
    """Also where they lie in the host's own file, beside a database that was put back."""
    with backed_up.opened() as installation:
        installation.services.store.tickets.issue("session", "s", {"person": "somebody"}, NOW + 9 * DAY)
    backed_up.restore(over=True)
    with backed_up.opened() as installation:
        assert installation.services.store.tickets.peek("session", "s") is None


def test_s9_what_was_made_before_a_restore_is_refused(backed_up: Home):
    """Ids of before are forgotten, those of a clock that may be ahead wait, and what is new passes once."""
    lose(backed_up)
    backed_up.restore()
    restored_at = NOW + DAY
    with backed_up.opened() as installation:
        store = installation.services.store
        for made in (None, restored_at - 60, restored_at):
            with pytest.raises(Conflict, match="forgotten"):
                store.settle(Settlement(claims=(Claim("proof", "p", restored_at + 60, made=made),)))
        with pytest.raises(StorageUnavailable) as early:
            store.settle(Settlement(claims=(Claim("proof", "p", restored_at + 60, made=restored_at + 10),)))
        assert 10 <= early.value.retry_after <= 13
        backed_up.at(restored_at + 30)
        with pytest.raises(Conflict, match="forgotten"):  # waiting has not told when it was made
            store.settle(Settlement(claims=(Claim("proof", "p", restored_at + 60, made=restored_at + 10),)))
        new = Settlement(claims=(Claim("proof", "p", restored_at + 90, made=restored_at + 12),))
        store.settle(new)
        with pytest.raises(Conflict, match="spent"):
            store.settle(new)
        assert not store.once.claim("chore", "old", restored_at)
        assert store.once.claim("chore", "new", restored_at + 90 * DAY)
        assert installation.services.restored_at == restored_at


def test_s9_keys_that_may_have_been_revoked_sign_no_more(backed_up: Home):
    """A host that has seen a later ring, or none, ends every key of the backup; new ones sign at once."""
    with backed_up.opened() as installation:
        services = installation.services
        before = signing_keys(installation)
        stolen = next(e for e in services.signer.ring().entries if e.state(NOW + DAY) is State.ACTIVE)
        services.signer.change(Revoke(stolen.kid, at_once=True), **BY)
    lose(backed_up)
    outcome = backed_up.restore()

    assert stolen.kid in outcome.ended_keys
    assert before <= set(outcome.ended_keys) | {stolen.kid}
    with backed_up.opened() as installation:
        assert signing_keys(installation).isdisjoint(before)
        installation.services.signer.check()
        published = {key["kid"] for key in installation.services.signer.jwks(NOW + DAY)["keys"]}
        assert published == signing_keys(installation)


def test_s9_a_host_that_knows_nothing_ends_the_keys_too(backed_up: Home):
    """Without a rollback guard nobody can tell; an operator who knows better may say so."""
    lose(backed_up)
    (backed_up.place / "keys" / "ring.guard").unlink()
    with examined(backed_up.settings, backed_up.file) as (_, found):
        assert not found.same_keys

    assert backed_up.restore().ended_keys != ()


def test_only_into_an_empty_store(backed_up: Home):
    """Where there is a store it is left alone; with --replace it is kept aside, and can be read there."""
    with backed_up.opened() as installation:
        add_client(installation, "later")
    with pytest.raises(StorageRefused, match=r"there is a database|rows in record already"):
        backed_up.restore()
    assert "later" in clients_of(backed_up)
    outcome = backed_up.restore(over=True)

    assert "later" not in clients_of(backed_up)
    assert "replaced_20261119t" in outcome.aside
    if backed_up.url is None:
        assert (Path(outcome.aside) / "tillit.sqlite").exists()


def test_s9_what_ended_since_ends_again(backed_up: Home):
    """With the audit of the lost store at hand: clients, their keys, signing keys and months of the audit."""
    with backed_up.opened() as installation:
        services = installation.services
        set_disabled(services, "one", disabled=True, **BY)
        set_disabled(services, "two", disabled=False, **BY)
        remove_key(services, "three", services.clients.find("three").keys[0].key.kid, **BY)
        add_client(installation, "later")
        services.audit.destroy_month("2026-10", **BY)
    later = _kept(backed_up)
    lose(backed_up)
    outcome = backed_up.restore(trail=later, keep_keys=True)

    assert clients_of(backed_up) == {"one": True, "two": True, "three": False}
    assert outcome.redone[0].startswith("client three: key ")
    assert outcome.redone[1:] == ("client one: disabled", "audit of 2026-10: its key destroyed")
    with backed_up.opened() as installation:
        assert len(installation.services.clients.find("three").keys) == 1
    assert outcome.trail.fault == ""
    assert "registry.client.added later" in outcome.trail.again
    assert "registry.client.enabled two" in outcome.trail.again


def test_the_trail_of_another_installation_tells_nothing(backed_up: Home, tmp_path: Path):
    """Entries that do not follow the backup's own are not believed."""
    (tmp_path / "other").mkdir()
    other = Home(tmp_path / "other")
    with other.opened() as installation:
        for number in range(20):
            add_client(installation, f"c{number}")
        set_disabled(installation.services, "c1", disabled=True, **BY)
    lose(backed_up)
    outcome = backed_up.restore(trail=other.data / "tillit.sqlite")

    assert outcome.redone == ()
    assert "linked with another secret" in outcome.trail.fault


@pytest.mark.parametrize("seconds", [59, 0], ids=["a minute later", "in the same second"])
def test_s9_u2_the_gap_is_told_from_a_cut(backed_up: Home, seconds: int):
    """Against a checkpoint of before, what the restore lost is a gap; what somebody cut besides is a flaw."""
    with backed_up.opened() as installation:
        for number in range(5):
            add_client(installation, f"later{number}")
        backed_up.at(NOW + DAY + 61)
        installation.checkpoints.tick()
        seen = installation.checkpoints.last()
    backed_up.at(seen.at + seconds)
    backed_up.restore(over=True)
    with backed_up.opened() as installation:
        kept, gaps = judged([seen], installation.restores)
        journal, secret = installation.services.store.journal, chain_secret(installation.audit_secret)
        assert verify(journal, secret, known=known_heads(kept)).intact
        assert not verify(journal, secret, known=known_heads([seen])).intact
        assert [(gap.slot, gap.last) for gap in gaps] == [(head.slot, head.seq) for head in seen.heads]
        installation.checkpoints.tick()
        first = installation.checkpoints.last()
        assert first.at == seen.at + seconds + 1
        assert judged([first], installation.restores) == ([first], [])
        beside = list(backed_up.data.glob("audit.checkpoint-*"))
        assert len(beside) == 1


def test_another_issuer_s_backup_is_refused(backed_up: Home, monkeypatch: pytest.MonkeyPatch):
    """A backup goes back to where it is from."""
    lose(backed_up)
    monkeypatch.setattr("support.recovery.Home.settings", _settings_of_another(backed_up))
    with pytest.raises(BackupDamaged, match=r"a backup of http://127\.0\.0\.1:8080, not of"):
        backed_up.restore()


def _settings_of_another(home: Home) -> Any:
    passphrase = home.place / "keys" / "passphrase"
    return replace(home.settings, dev=False, issuer="https://other.example.test", passphrase_file=passphrase)


def test_a_running_service_is_not_restored(backed_up: Home):
    """Whoever forgot to stop it is told, and nothing is changed."""
    with backed_up.opened(), pytest.raises(StorageRefused, match=r"Stop .*on every host"):
        backed_up.restore(over=True)

    assert len(clients_of(backed_up)) == 3


def _without_its_connections(postgres: Postgres) -> None:
    """As after a restart of the database server, of which an idle process notices nothing."""
    ending = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'tillit'"
    postgres.command(ending)


@pytest.mark.parametrize("home", ["postgresql"], indirect=True)
@pytest.mark.parametrize("moved", [False, True], ids=["restored", "moved back"])
def test_s9_a_worker_that_nobody_stopped_goes_on_with_nothing(
    moved: bool, backed_up: Home, postgres: Postgres
):
    """It was not connected when it should have been noticed: it breaks no chain, and vouches for no old token."""
    assert backed_up.url is not None
    with backed_up.opened() as forgotten:
        store = forgotten.services.store
        add_client(forgotten, "later")
        _without_its_connections(postgres)
        if moved:
            move_back(backed_up.settings, backed_up.url)
        else:
            backed_up.restore(over=True)
        for _ in range(2):
            with pytest.raises(StorageUnavailable, match="under us"):
                forgotten.services.audit.record(ServiceStopped(slot=1))
        with pytest.raises(StorageUnavailable, match="under us"):
            store.ping()
        assert verify(store.journal, chain_secret(forgotten.audit_secret)).intact


def points(home: Home, **asked: Any) -> int:
    """At how many points a restore can be killed; it is done then."""
    told = FORKED.SimpleQueue()
    killed(home, 0, told, **asked)
    return int(told.get())


def killed(home: Home, point: int, told: Any = None, **asked: Any) -> None:
    """Restore, and be killed there."""
    process = FORKED.Process(target=restore_and_die, args=(home, point, told), kwargs=asked)
    process.start()
    process.join()


@contextmanager
def started(home: Home) -> Iterator[Installation | None]:
    """What the next start finds; None if it says that a restore was interrupted."""
    try:
        with home.opened() as installation:
            yield installation
    except StorageRefused as refusal:
        if "interrupted before it put anything in place" not in refusal.reason:
            raise
        yield None


def about_to_die(home: Home) -> int:
    """A client more than in the backup, a day later; at how many points a restore over it can be killed."""
    with home.opened() as installation:
        add_client(installation, "later")
    last = points(home, over=True)
    with home.opened() as installation:
        add_client(installation, "later")
    home.at(NOW + 2 * DAY)
    return last


def die_everywhere(home: Home, chosen: list[int]) -> dict[str, int]:
    """Kill a restore over a living store at each point; the start finds the old one, or the new one, whole."""
    found = {"old": 0, "new": 0, "told": 0}
    for point in chosen:
        killed(home, point, over=True)
        with started(home) as installation:
            told = installation is None
        if told:
            found["told"] += 1
            shutil.rmtree(home.data / "restoring")
        with home.opened() as installation:
            store = installation.services.store
            intact = verify(store.journal, chain_secret(installation.audit_secret)).intact
            later = store.records.get("client", "later") is not None
            new = any(restore.at == home.now for restore in installation.restores)
        assert intact
        assert later is not new
        assert not (told and new)
        found["new" if new else "old"] += 1
        home.at(home.now + 60)
        with home.opened() as installation:
            if not later:
                add_client(installation, "later")
    return found


def test_s9_killed_at_any_point_it_is_the_one_or_the_other(backed_up: Home):
    """The store of before, with a line that says so, or the restored one; never something in between."""
    last = about_to_die(backed_up)
    chance = random.Random(last)
    found = die_everywhere(backed_up, [*chance.sample(range(1, last - 4), 2), last - 3, last - 1])

    assert found["old"]
    assert found["told"]


@pytest.mark.long
def test_s9_killed_at_every_point(backed_up: Home, request: Any):
    """As above, at each point there is."""
    last = about_to_die(backed_up)
    begun = time.monotonic()
    found = die_everywhere(backed_up, list(range(1, last + 1)))
    counts = {"store": request.node.callspec.id, "points": last, **found, "half": 0}
    record("S9 restores killed", seed=None, seconds=time.monotonic() - begun, counts=counts)


def test_s9_a_client_whose_keys_were_all_changed_is_shut_out(backed_up: Home):
    """Registered anew, or left with one key that was removed: what the backup knows of it would be good again."""
    with backed_up.opened() as installation:
        services = installation.services
        old = services.clients.find("one").keys[0].key.kid
        add_keys(services, "one", [ClientKey(generate_key("ES256").public)], **BY)
        remove_key(services, "one", old, **BY)
        again = replace(services.clients.find("three"), name="anew")
        register(services, again, replace=True, **BY)
    outcome = backed_up.restore(over=True, trail=_kept(backed_up))

    assert clients_of(backed_up) == {"one": True, "two": True, "three": True}
    assert all("register it anew" in line for line in outcome.redone)


def _kept(home: Home) -> Path:
    """A later backup, beside the first."""
    first, home.file = home.file, home.place / "last"
    kept = home.back_up()
    home.file = first
    return kept


def _no_room(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("home", ["postgresql"], indirect=True)
def test_back_from_the_servers(backed_up: Home, monkeypatch: pytest.MonkeyPatch):
    """All that lasts moves to this host, logins included, and nobody goes on there; ids of before are refused."""
    url = backed_up.url
    assert url is not None
    with monkeypatch.context() as patch:
        patch.setattr("tillit_server.recovery.moving.put_in_place", _no_room)
        with pytest.raises(StorageUnavailable):
            move_back(backed_up.settings, url)
    assert len(clients_of(backed_up)) == 3
    move_back(backed_up.settings, url)
    with pytest.raises(StorageRefused, match="moved back"), backed_up.opened():
        pass
    backed_up.url = None

    assert clients_of(backed_up) == {"one": False, "two": True, "three": False}
    with backed_up.opened() as installation:
        store = installation.services.store
        assert store.records.get("family", "f") is not None
        assert verify(store.journal, chain_secret(installation.audit_secret)).intact
        with pytest.raises(Conflict, match="forgotten"):
            store.settle(Settlement(claims=(Claim("proof", "p", NOW + DAY + 60, made=NOW + DAY),)))
        assert installation.services.restored_at == 0.0
