"""Where private keys are made and stay: the port, and the store that keeps them sealed in the ring itself.

The ring holds a text for each private key. What stands before its colon names the store that can read it, so
keys of several stores live side by side, as they do while an installation moves from one to another.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from tillit.protocol.errors import Rejected
from tillit.protocol.jose import SigningKey, generate_key, load_private_der, private_der
from tillit_server.signing.custody import Custody
from tillit_server.signing.files import CustodyError
from tillit_server.signing.key_life import Entry, NewKey, NoNewKey
from tillit_server.storage.ports import StorageUnavailable


class TokenUnavailable(StorageUnavailable, NoNewKey):
    """The security module cannot be used now, so nothing can be signed. HTTP 503."""


class KeyStore(Protocol):
    """Makes private keys, opens them for signing, and forgets them. Safe in threads."""

    @property
    def scheme(self) -> str:
        """What its texts in the ring begin with, before the colon."""

    def make(self, alg: str) -> tuple[NewKey, SigningKey]:
        """A new key. Raises ``CustodyError``, ``TokenUnavailable``."""

    def open(self, entry: Entry, private: str) -> SigningKey:
        """The key of an entry, from its text; raises ``CustodyError``. Asks no device: it may be away."""

    def destroy(self, kids: Collection[str]) -> None:
        """Destroy what is left of these keys, where anything is; raises ``TokenUnavailable``."""

    def held(self) -> Mapping[str, str] | None:
        """What it holds outside the ring: the text in the ring of each key, and the label of the object.

        None where everything lies in the ring. Raises ``TokenUnavailable``.
        """

    def close(self) -> None:
        """Let go of whatever is open."""


class SealedKeys:
    """Keys in software: PKCS#8, sealed by the custodian; their whole text lies in the ring."""

    scheme = "sealed"

    def __init__(self, custody: Custody, generate: Callable[[str], SigningKey] = generate_key) -> None:
        self._custody = custody
        self._generate = generate

    def make(self, alg: str) -> tuple[NewKey, SigningKey]:
        """A new key, sealed."""
        key = self._generate(alg)
        sealed = self._custody.seal(private_der(key), context=sealing_context(key.kid))
        return NewKey(key.kid, key.public.jwk, sealed), key

    def open(self, entry: Entry, private: str) -> SigningKey:
        """The key; raises ``CustodyError`` if it is damaged or was sealed as another one."""
        try:
            # Sealed by us and still whole; and no signature leaves that does not verify.
            der = self._custody.open(private, context=sealing_context(entry.kid))
            return load_private_der(der, entry.alg, ours=True)
        except Rejected:
            raise CustodyError(f"the private key of {entry.kid} cannot be read") from None

    def destroy(self, kids: Collection[str]) -> None:
        """Nothing: what is in the ring no longer is nowhere."""

    def held(self) -> None:
        """Everything lies in the ring."""

    def close(self) -> None:
        """Nothing is open."""


def sealing_context(kid: str) -> str:
    """What the custodian is told that it seals."""
    return f"signing key {kid}"
