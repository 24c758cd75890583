"""What the endpoints work with, built once by ``wiring`` and handed to every request."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tillit.attestation.registers import Registers
from tillit.protocol.nonces import Nonces
from tillit_server.audit.log import AuditLog
from tillit_server.audit.refusals import RefusalLog
from tillit_server.issuer.apis import ApiRegistry
from tillit_server.issuer.clients.client import ClientRegistry
from tillit_server.issuer.clients.key_fetching import ClientKeySets
from tillit_server.issuer.clients.renewal import KeyPolicy
from tillit_server.issuer.clients.use import KeyUse
from tillit_server.issuer.limiting import RateLimits
from tillit_server.metrics import Meters
from tillit_server.signing.signer import Signer
from tillit_server.signing.sources import KeySources
from tillit_server.storage.ports import Store

SKEW: Final = 60
"""Seconds by which nodes may differ (threat D9): what is remembered outlives what it is about by so much."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long things live, in seconds.

    ``request_uri``: from PAR to the opening of the authorization endpoint. ``interaction``: from there to the
    end of a login. ``session``: at this issuer. ``refresh``: a family, where its client says nothing else.
    """

    request_uri: int = 300
    interaction: int = 1800
    code: int = 60
    session: int = 3600
    id_token: int = 300
    refresh: int = 28_800


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of the issuer.

    ``issuer`` and ``token_endpoint`` are public URLs; ``nonces`` is None where no nonce is demanded.
    ``restored_at``: since when the store holds what it holds; nobody knows which of the access tokens from
    before were revoked. ``storage_timeout``: seconds a request waits for the store. ``subject_secret`` makes
    pairwise subjects; it is permanent and part of the backup.
    """

    issuer: str
    token_endpoint: str
    clock: Callable[[], float]
    clients: ClientRegistry
    key_sets: ClientKeySets
    apis: ApiRegistry
    registers: Registers
    nonces: Nonces | None
    signer: Signer
    key_sources: KeySources
    store: Store
    audit: AuditLog
    refusals: RefusalLog
    synthetic_identifiers: bool
    dev: bool
    subject_secret: bytes = field(repr=False)
    restored_at: float = 0.0
    storage_timeout: float = 0.8
    lifetimes: Lifetimes = Lifetimes()
    key_policy: KeyPolicy = field(default_factory=KeyPolicy)
    key_use: KeyUse = field(default_factory=KeyUse)
    meters: Meters = field(default_factory=Meters)
    limits: RateLimits = field(default_factory=RateLimits)

    def url(self, path: str) -> str:
        """The public URL of ``path`` under the issuer."""
        return self.issuer + path
