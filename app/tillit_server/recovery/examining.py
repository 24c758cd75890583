"""Opening a backup without restoring it: whether the master key opens it, and its audit is whole."""

from contextlib import closing
from dataclasses import dataclass
from operator import attrgetter

from tillit_server.audit.chain import Report, chain_secret, verify
from tillit_server.recovery.archive import Archive
from tillit_server.recovery.manifest import BackupDamaged
from tillit_server.signing.custody import Custody
from tillit_server.signing.envelope import KIND, Envelope, Opened
from tillit_server.signing.files import CustodyError
from tillit_server.signing.guard import Guard
from tillit_server.signing.key_plan import KeyPlan
from tillit_server.signing.secrets import Purpose, SecretPlan, SecretRing
from tillit_server.storage.ports import Records
from tillit_server.storage.sealed_file import SealedFile
from tillit_server.storage.sealing import Sealer, SealingKeys, Unsealable

RINGS = ("secrets", "signing")


@dataclass(frozen=True, slots=True)
class Examined:
    """``records``: how many opened. ``same_keys``: whether this host has seen no later ring of signing keys.

    ``audit``: what the walk along every chain found.
    """

    records: int
    audit: Report
    same_keys: bool


def examine(archive: Archive, custody: Custody, plan: KeyPlan, guard: Guard) -> Examined:
    """Open everything in a backup: both rings, every key, every record, every link of the audit.

    ``guard``: this host's. Raises ``BackupDamaged``, ``CustodyError``, ``StorageUnavailable``.
    """
    with closing(SealedFile(archive.path)) as blind:
        keys = opened_ring(blind.records, "signing", custody)
        plan.from_json(keys.body)
        secrets = secrets_of(blind.records, custody)
        audit = verify(blind.journal, chain_secret(secret_of(secrets, "audit_hash")))
        if audit.intact and audit.heads != archive.manifest.heads:
            raise BackupDamaged(f"{archive.path}: its audit ends elsewhere than the manifest says")
    with closing(SealedFile(archive.path, sealer_of(secrets))) as file:
        try:
            records = sum(1 for _ in file.opened_records())
        except Unsealable as error:
            raise BackupDamaged(f"{archive.path}: a record does not open: {error}") from error
    mark = guard.mark("signing")
    return Examined(records, audit, (mark.epoch, mark.digest) == (keys.epoch, keys.mac))


def opened_ring(records: Records, name: str, custody: Custody) -> Opened:
    """A ring as it lies in records, whatever the guard of this host says. Raises ``CustodyError``."""
    record = records.get(KIND, name)
    if record is None:
        raise CustodyError(f"there is no {name} ring in it: nothing was ever started there")
    return Envelope(name, custody).unwrap(record.value)


def secrets_of(records: Records, custody: Custody) -> SecretRing:
    """The symmetric secrets. Raises ``CustodyError``."""
    return SecretPlan(custody).from_json(opened_ring(records, "secrets", custody).body)


def secret_of(ring: SecretRing, purpose: Purpose) -> bytes:
    """The permanent secret of a purpose. Raises ``CustodyError``."""
    for secret in ring:
        if secret.purpose == purpose:
            return secret.value
    raise CustodyError(f"the secrets ring has no secret for {purpose}")


def sealer_of(ring: SecretRing) -> Sealer:
    """Opens what any secret of the ring has sealed, and seals with the newest."""
    sealing = sorted((s for s in ring if s.purpose == "sealing"), key=attrgetter("active_from"))
    keys = SealingKeys(sealing[-1].id if sealing else "", {secret.id: secret.value for secret in sealing})
    return Sealer(lambda: keys)
