"""The first thing that is written to a store whose records came from elsewhere: its fence."""

from contextlib import closing
from pathlib import Path

from tillit_server.audit.chain import ChainLinker, chain_secret
from tillit_server.audit.event import Event
from tillit_server.audit.log import AuditLog
from tillit_server.recovery.examining import sealer_of, secret_of, secrets_of
from tillit_server.signing.custody import Custody
from tillit_server.storage.fenced import fence_put
from tillit_server.storage.ports import Put, Settlement
from tillit_server.storage.sealed_file import SealedFile
from tillit_server.storage.sqlite import SqliteStore

_SLOT = 1


def begin_anew(database: Path, custody: Custody, now: float, *puts: Put, event: Event) -> bytes:
    """Refuse from now on what was made up to ``now``; ``puts`` and the entry of ``event`` go with it.

    Gives the secret of the audit's chains. Raises ``CustodyError``, ``StorageRefused``,
    ``StorageUnavailable``.
    """
    with closing(SealedFile(database)) as file:
        secrets = secrets_of(file.records, custody)
    secret = chain_secret(secret_of(secrets, "audit_hash"))
    store = SqliteStore(
        database,
        clock=lambda: now,
        sealer=sealer_of(secrets),
        linker=ChainLinker(secret, _SLOT),
        key_hash_secret=secret_of(secrets, "key_hash"),
    )
    with closing(store):
        pseudonyms = secret_of(secrets, "pseudonym")
        log = AuditLog(store, clock=lambda: now, pseudonym_secret=pseudonyms, slot=_SLOT)
        store.settle(Settlement(puts=(fence_put(now), *puts), entries=(log.entry(event),)))
    return secret
