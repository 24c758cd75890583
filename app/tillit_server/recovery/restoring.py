"""A backup is put back: made whole in a place of its own, then put in place in one act.

Yesterday's records must not revive what ended today. So no login, session, code or refresh token comes back;
single-use ids of before are refused by a fence, access tokens of before are called inactive; and signing
keys that may have been revoked since are ended, unless this host knows that none was.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import orjson

from tillit_server.audit.events import BackupRestored
from tillit_server.audit.restores import Restore
from tillit_server.clock import make_clock
from tillit_server.config import Settings
from tillit_server.recovery.afterwards import Trail, read_trail
from tillit_server.recovery.archive import Archive, opened_archive
from tillit_server.recovery.ending import end_again, end_keys
from tillit_server.recovery.examining import (
    RINGS,
    Examined,
    examine,
    opened_ring,
)
from tillit_server.recovery.fencing import begin_anew
from tillit_server.recovery.manifest import BackupDamaged, Manifest
from tillit_server.recovery.placing import put_in_place, stopped
from tillit_server.signing.clocks import KEY as CLOCKS
from tillit_server.signing.custody import Custody, open_custody
from tillit_server.signing.envelope import KIND, Envelope
from tillit_server.signing.guard import Guard
from tillit_server.signing.key_plan import KeyPlan
from tillit_server.signing.key_stores import open_key_stores
from tillit_server.signing.keyring import Policy
from tillit_server.storage.sealed_file import SealedFile
from tillit_server.storage.sqlite_file import DATABASE, open_for_writing
from tillit_server.wiring import build

LEAP: Final = 1000
"""By so much a ring's epoch goes beyond what this host's guard has seen: another host may have seen more."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How to restore, by whom and why.

    ``over``: what is there is kept aside. ``keep_keys``: the operator knows that no signing key was revoked
    since the backup. ``trail``: the database of the lost store, or a later backup.
    """

    operator: str
    reason: str
    over: bool = False
    keep_keys: bool = False
    trail: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """``at``: when it was restored (Unix seconds). ``aside``: where what was there is kept, if there was any.

    ``ended_keys``: the ids of signing keys. ``redone``: what the trail has ended again, a line each.
    """

    at: int
    manifest: Manifest
    examined: Examined
    trail: Trail | None
    ended_keys: tuple[str, ...]
    redone: tuple[str, ...]
    aside: str


@contextmanager
def examined(settings: Settings, path: Path) -> Iterator[tuple[Archive, Examined]]:
    """A backup of this installation, verified and opened to the last record; nothing is changed.

    Raises ``BackupDamaged``, ``CustodyError``, ``StorageRefused``, ``StorageUnavailable``.
    """
    custody = _custody(settings)
    with ExitStack() as closed:
        archive = closed.enter_context(opened_archive(path, custody))
        # In development the issuer follows the port, which commands do not know.
        if archive.manifest.issuer != settings.issuer and not settings.dev:
            raise BackupDamaged(f"{path}: a backup of {archive.manifest.issuer}, not of {settings.issuer}")
        stores = open_key_stores(custody, settings.custody, settings.token_place, spared=True)
        for store in stores:
            closed.callback(store.close)
        from_ring = KeyPlan(custody, Policy(), settings.algorithms, stores)
        yield archive, examine(archive, custody, from_ring, custody.guard)


def restore(settings: Settings, path: Path, asked: Asked) -> Outcome:
    """Put a backup in place, the whole of it or, whatever happens on the way, nothing.

    The service is stopped, on every host. Raises as ``examined``, and one of ``wiring.UNUSABLE`` if what is
    restored could not be started.
    """
    with examined(settings, path) as (archive, found), stopped(settings, over=asked.over) as scratch:
        now = make_clock(settings.clock)()
        restored = Restore(int(now), archive.manifest.made_at, archive.manifest.heads)
        archive.extract(scratch / DATABASE)
        kept = found.same_keys or asked.keep_keys
        _write_rings(scratch / DATABASE, _custody(settings), renew_signing=not found.same_keys, now=now)
        event = BackupRestored(
            made_at=restored.made_at,
            sha256=archive.manifest.sha256,
            heads={str(head.slot): head.seq for head in restored.heads},
            keys_kept=kept,
            operator=asked.operator,
            reason=asked.reason,
        )
        secret = begin_anew(scratch / DATABASE, _custody(settings), now, restored.put(), event=event)
        lost = settings.data / DATABASE
        trail_at = asked.trail or (
            lost if asked.over and not settings.storage_url and lost.exists() else None
        )
        trail = None if trail_at is None else read_trail(trail_at, archive.manifest, secret)
        ended, redone = _end_what_ended(settings, scratch, asked, trail, all_keys=not kept)
        aside = put_in_place(settings, scratch, restored.key, over=asked.over)
        return Outcome(restored.at, archive.manifest, found, trail, ended, redone, aside)


def _custody(settings: Settings) -> Custody:
    return open_custody(settings.keys_directory, passphrase_file=settings.passphrase_of_master_key)


def _write_rings(database: Path, custody: Custody, *, renew_signing: bool, now: float) -> None:
    """Give the rings an epoch that no guard has seen; the signing ring keeps its own where it is the last."""
    with closing(SealedFile(database)) as file:
        rings = {name: opened_ring(file.records, name, custody) for name in RINGS}
    with closing(open_for_writing(database)) as connection:
        connection.execute("BEGIN")
        for name, ring in rings.items():
            if name == "signing" and not renew_signing:
                continue
            epoch = max(ring.epoch, custody.guard.mark(name).epoch) + LEAP
            document = orjson.dumps(Envelope(name, custody).wrap(ring.body, epoch=epoch, now=now))
            setting = "UPDATE record SET value = ?, version = version + 1 WHERE kind = ? AND key = ?"
            connection.execute(setting, (document, KIND, name))
        # The pulses of workers that are long gone.
        connection.execute("DELETE FROM record WHERE kind = ? AND key = ?", (KIND, CLOCKS))
        connection.execute("COMMIT")


def _end_what_ended(
    settings: Settings, scratch: Path, asked: Asked, trail: Trail | None, *, all_keys: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Build the restored installation aside, and do in it what must be done before anybody uses it.

    Gives the signing keys that were ended, and what else was ended again.
    """
    custody = _custody(settings)
    # This host's own guard learns of the new rings when they are in place, and not before.
    custody.guard = Guard(scratch, custody.authenticate, custody.authentic)
    aside = replace(
        settings,
        data=scratch,
        keys=settings.keys_directory,
        passphrase_file=settings.passphrase_of_master_key,
        storage_url=None,
        storage_shared_url=None,
    )
    with closing(build(aside, aside=custody)) as installation:
        services = installation.services
        only = None if all_keys else trail.revoked if trail else ()
        ended = end_keys(services.signer, services.clock(), asked.operator, only=only)
        return ended, tuple(end_again(services, trail, asked.operator)) if trail else ()
