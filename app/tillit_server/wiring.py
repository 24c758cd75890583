"""The composition root: from settings to everything built."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tillit import __version__
from tillit.attestation.rulebook import RULE_PACK_VERSION
from tillit.outbound.addresses import Reach
from tillit.outbound.transport import Request, Response, Send
from tillit.protocol.nonces import Nonces
from tillit_server.audit.chain import ChainLinker, chain_secret
from tillit_server.audit.checkpoints import CheckpointKeeper
from tillit_server.audit.events import RingCreated, ServiceStarted, ServiceStopped
from tillit_server.audit.fences import recording_fences
from tillit_server.audit.log import AuditLog
from tillit_server.audit.refusals import RefusalLog
from tillit_server.audit.restores import Restore, dated_after, judged, restores_of
from tillit_server.audit.rings import SERVICE, RingRecorder
from tillit_server.backends import Backend, open_backend
from tillit_server.clock import Clock, ClockFileError, make_clock
from tillit_server.config import Settings, SettingsError
from tillit_server.housekeeping import Housekeeper
from tillit_server.issuer.apis import MAX_TOKEN_LIFETIME, ApiConfigError, load_apis
from tillit_server.issuer.clients.client import Client, ClientRegistry
from tillit_server.issuer.clients.expiry import ExpiryReminder
from tillit_server.issuer.clients.key_fetching import ClientKeySets
from tillit_server.issuer.clients.registration import sow
from tillit_server.issuer.clients.renewal import KeyPolicy
from tillit_server.issuer.clients.rules import ClientError, unusable
from tillit_server.issuer.clients.seeds import read_seeds
from tillit_server.issuer.clients.use import KeyUseKeeper
from tillit_server.issuer.discovery import describe
from tillit_server.issuer.limiting import RateLimits, rate_limits
from tillit_server.issuer.login.idps import IdpError
from tillit_server.issuer.registers import RegisterFileError, load_registers
from tillit_server.issuer.services import Lifetimes, Services
from tillit_server.metrics import Meters
from tillit_server.signing.clocks import Clocks
from tillit_server.signing.custody import Custody, CustodyError, open_custody
from tillit_server.signing.key_life import Policy
from tillit_server.signing.key_stores import open_key_stores
from tillit_server.signing.renewal import finish
from tillit_server.signing.secrets import LIVES, Secrets
from tillit_server.signing.signer import Signer
from tillit_server.signing.sources import KeySources
from tillit_server.storage.ports import StorageRefused, StorageUnavailable, Store
from tillit_server.storage.ring import RingStore
from tillit_server.storage.sealing import Sealer, SealingKeys
from tillit_server.storage.shared import SharedStore
from tillit_server.storage.watched import WatchedStore
from tillit_server.web.urls import endpoint_names

CHECKPOINT = "audit.checkpoint"

UNUSABLE = (
    SettingsError,
    ApiConfigError,
    ClientError,
    ClockFileError,
    CustodyError,
    IdpError,
    RegisterFileError,
    StorageRefused,
    StorageUnavailable,
)
"""What ``build`` raises when an installation must not be used as it stands; each text is one line."""


@dataclass(frozen=True, slots=True)
class Installation:
    """Everything built from one set of settings; ``close`` lets go of files, locks and threads."""

    settings: Settings
    services: Services
    custody: Custody
    secrets: Secrets
    checkpoints: CheckpointKeeper
    audit_secret: bytes
    restores: tuple[Restore, ...]
    store: WatchedStore
    bare_store: Store
    closing: ExitStack

    def close(self) -> None:
        """Write what was accepted without waiting, then let go."""
        self.closing.close()


def build(settings: Settings, *, worker: bool = False, aside: Custody | None = None) -> Installation:
    """Build everything. Raises one of ``UNUSABLE``. A ``worker`` also keeps house and reports its start.

    ``aside``: the store is being restored in a place of its own; with this custody, whose guard is not the
    host's, nothing outside that place is changed.
    """
    with ExitStack() as closing:
        clock = make_clock(settings.clock)
        apis = load_apis(settings.config / "apis")
        registers = load_registers(settings.config / "registers")
        _make_data_directory(settings.data)
        custody = aside or _open_custody(settings)
        meters = Meters()
        backend = open_backend(settings, clock, closing, on_commit=meters.committed)
        slot = backend.slot
        secrets, bare_store, founded = _open_store(backend, custody, clock)
        closing.callback(bare_store.close)
        store = WatchedStore(bare_store, meters.settled)
        audit = AuditLog(store, clock=clock, pseudonym_secret=secrets.current("pseudonym").value, slot=slot)
        if isinstance(bare_store, SharedStore):
            bare_store.spending.report_to(recording_fences(store, audit))
        rings = RingRecorder(store, audit)
        clocks = Clocks(store.records, clock, time.monotonic, rings.alarm)
        secrets.use(store.records, write=rings.settle, may_write=clocks.agree)
        if founded:
            ids = tuple(secrets.current(purpose).id for purpose in LIVES)
            audit.record(RingCreated(purpose="secrets", kids=ids, operator=SERVICE))
        signer = Signer(
            store.records,
            custody,
            clock,
            Policy(jwks_max_age=settings.jwks_max_age, longest_token=MAX_TOKEN_LIFETIME),
            settings.algorithms,
            stores=open_key_stores(custody, settings.custody, settings.token_place, spared=aside is not None),
            on_change=rings.alarm,
            write=rings.settle,
            clocks=clocks,
        )
        closing.callback(signer.close)
        refusals = RefusalLog(audit, clock=clock)
        closing.callback(refusals.flush)
        key_sources = KeySources(store.records, apis.by_audience, clock)
        closing.callback(key_sources.flush)
        audit_secret = secrets.current("audit_hash").value
        restores = restores_of(store.records)
        checkpoints = CheckpointKeeper(
            settings.data / CHECKPOINT,
            store.journal,
            audit_secret=audit_secret,
            clock=clock,
            lost=lambda checkpoint: bool(judged([checkpoint], restores)[1]),
            since=dated_after(restores),
        )
        limits = _limits_of(settings, bare_store, meters) if worker else RateLimits()
        services = Services(
            issuer=settings.issuer,
            token_endpoint=describe(settings.issuer, apis, settings.algorithms)["token_endpoint"],
            clock=clock,
            clients=ClientRegistry(store.records, monotonic=time.monotonic),
            key_sets=ClientKeySets(
                store,
                audit,
                clock,
                send=_guarded(settings.key_reach),
                waiting=settings.threads // 4,
                on_fetch=meters.keys_fetched,
            ),
            apis=apis,
            registers=registers,
            nonces=Nonces(lambda: secrets.accepted("nonce"), settings.nonce_slot)
            if settings.nonce_required
            else None,
            signer=signer,
            key_sources=key_sources,
            store=store,
            meters=meters,
            limits=limits,
            audit=audit,
            refusals=refusals,
            synthetic_identifiers=settings.synthetic_identifiers,
            dev=settings.dev,
            subject_secret=secrets.current("pseudonym").value,
            restored_at=max((restore.at for restore in restores), default=0.0),
            storage_timeout=settings.storage_timeout,
            lifetimes=Lifetimes(
                request_uri=settings.request_uri_lifetime,
                interaction=settings.interaction_lifetime,
                code=settings.code_lifetime,
                session=settings.session_lifetime,
                id_token=settings.id_token_lifetime,
                refresh=settings.refresh_lifetime,
            ),
            key_policy=KeyPolicy(settings.client_key_lifetime, settings.client_key_overlap),
        )
        for api in apis.apis:
            if fault := unusable(api.signing_algorithm, signer.usable()):
                raise ApiConfigError(f"{api.audience}: signing_algorithm: {fault}")
        if aside is None:
            finish(custody, store.records)
            sow(services, _seeds(settings))
        if worker:
            with suppress(StorageUnavailable):
                # What must be agreed on with a server first is no business of the first requests.
                store.ping()
            audit.record(
                ServiceStarted(
                    slot=slot, version=__version__, rule_pack=RULE_PACK_VERSION, development=settings.dev
                )
            )
            closing.callback(lambda: audit.record(ServiceStopped(slot=slot), durable=False))
            key_use, expiry = KeyUseKeeper(services, monotonic=time.monotonic), ExpiryReminder(services)
            closing.callback(key_use.write)
            chores = (
                refusals.tick,
                checkpoints.tick,
                key_sources.tick,
                key_use.tick,
                expiry.tick,
                limits.tick,
            )
            closing.callback(clocks.leave)
            closing.callback(Housekeeper((*chores, clocks.tick)).close)
        return Installation(
            settings,
            services,
            custody,
            secrets,
            checkpoints,
            audit_secret,
            restores,
            store,
            bare_store,
            closing.pop_all(),
        )
    raise AssertionError("unreachable")  # ExitStack never swallows an exception here


def _guarded(reach: Reach) -> Send:
    """How clients' keys are fetched."""

    @cache
    def opened() -> Send:
        from tillit.outbound.guarded import Guarded  # noqa: PLC0415, an HTTP client that few workers need

        return Guarded(reach)

    def send(request: Request) -> Response:
        return opened()(request)

    return send


def _limits_of(settings: Settings, store: Store, meters: Meters) -> RateLimits:
    together = store.spending.count if isinstance(store, SharedStore) else None
    names = endpoint_names(settings.path)
    return rate_limits(settings.client_limits, settings.address_limits, names, meters, together)


def _open_custody(settings: Settings) -> Custody:
    """The master key; in development mode made, with its passphrase, by whichever process comes first."""
    return open_custody(
        settings.keys_directory, passphrase_file=settings.passphrase_of_master_key, make=settings.dev
    )


def _open_store(backend: Backend, custody: Custody, clock: Clock) -> tuple[Secrets, Store, bool]:
    """The secrets, the store, and whether the secrets were made just now.

    The store needs secrets for everything but the ring that holds them, so that is read first.
    """
    made: list[str] = []
    with RingStore(backend.open_records) as view:
        secrets = Secrets(view.records, custody, clock, on_change=lambda event, *_: made.append(event))
    store = backend.open_store(
        sealer=Sealer(lambda: SealingKeys(*secrets.sealing())),
        linker=ChainLinker(chain_secret(secrets.current("audit_hash").value), backend.slot),
        key_hash_secret=secrets.current("key_hash").value,
        fresh=bool(made),
    )
    return secrets, store, bool(made)


def _seeds(settings: Settings) -> Iterator[Client]:
    keys = settings.data / "clients" if settings.dev else None
    return read_seeds(settings.config / "clients", development_keys=keys)


def _make_data_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError([f"data: {path} cannot be made ({error.strerror})"]) from error
