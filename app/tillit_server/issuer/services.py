"""What the endpoints work with, built once by ``wiring`` and handed to every request."""

from collections.abc import Callable
from dataclasses import dataclass

from tillit.attestation.registers import Registers
from tillit.protocol.nonces import Nonces
from tillit_server.audit.log import AuditLog
from tillit_server.audit.refusals import RefusalLog
from tillit_server.issuer.apis import ApiRegistry
from tillit_server.issuer.clients import ClientRegistry
from tillit_server.signing.signer import Signer
from tillit_server.storage.ports import Store


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of the issuer.

    ``issuer`` and ``token_endpoint`` are public URLs; ``nonces`` is None where no nonce is demanded.
    """

    issuer: str
    token_endpoint: str
    clock: Callable[[], float]
    clients: ClientRegistry
    apis: ApiRegistry
    registers: Registers
    nonces: Nonces | None
    signer: Signer
    store: Store
    audit: AuditLog
    refusals: RefusalLog
    synthetic_identifiers: bool
    dev: bool
