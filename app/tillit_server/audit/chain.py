"""The chain: every entry of a slot is linked to the one before, so that nothing can be taken out or changed.

The link of an entry is `HMAC-SHA-256(chain secret, slot · seq · link before · digest)`; the digest covers the
members in clear and the ciphertext of the personal ones, never their plain text, so that destroying a month's
key leaves the chain intact. Numbers are big-endian, eight bytes each; the first entry follows the empty link.
"""

import hashlib
import hmac
from dataclasses import dataclass

from tillit_server.storage.ports import Entry


def chain_secret(audit_secret: bytes) -> bytes:
    """The secret of the links, derived from the permanent audit-hash secret."""
    return hmac.digest(audit_secret, b"tillit audit chain v1", "sha256")


def entry_digest(public: bytes, sealed: bytes) -> bytes:
    """What a link covers of an entry."""
    return hashlib.sha256(len(public).to_bytes(8, "big") + public + sealed).digest()


def link(secret: bytes, slot: int, seq: int, previous: bytes, digest: bytes) -> bytes:
    """The link of entry `seq` of `slot`; `secret` is the chain secret."""
    return hmac.digest(secret, slot.to_bytes(8, "big") + seq.to_bytes(8, "big") + previous + digest, "sha256")


@dataclass(frozen=True, slots=True)
class ChainLinker:
    """A `storage.ports.Linker` for one slot."""

    secret: bytes
    slot: int

    def digest(self, entry: Entry) -> bytes:
        """What the link covers of an entry."""
        return entry_digest(entry.public, entry.sealed)

    def link(self, previous: bytes, seq: int, digest: bytes) -> bytes:
        """The link of entry `seq`."""
        return link(self.secret, self.slot, seq, previous, digest)
