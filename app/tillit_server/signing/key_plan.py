"""The key ring as a stored ring: has keys made by a store, and opens them again once per change."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tillit.protocol.errors import Rejected
from tillit.protocol.jose import PublicKey, SigningKey, load_public_jwk, thumbprint
from tillit_server.signing.custody import Custody, CustodyError
from tillit_server.signing.key_moves import Move, Rules, play
from tillit_server.signing.key_store import KeyStore, SealedKeys, TokenUnavailable, sealing_context
from tillit_server.signing.keyring import Change, Entry, KeyRing, NewKey, Policy, State, advance, first_ring
from tillit_server.signing.live import RingChange
from tillit_server.storage.ports import Json

EVENTS = {
    State.ANNOUNCED: "signing.key.announced",
    State.ACTIVE: "signing.key.activated",
    State.RETIRING: "signing.key.retired",
    State.GONE: "signing.key.gone",
}


@dataclass(frozen=True, slots=True)
class OpenRing:
    """The ring and its keys: private ones of all that may still sign, public ones of all there ever were."""

    ring: KeyRing
    private: Mapping[str, SigningKey]
    public: Mapping[str, PublicKey]


class KeyPlan:
    """The plan of the signing keys for ``LiveRing``. Called under its lock, never by two threads at once."""

    name = "signing"

    def __init__(
        self,
        custody: Custody,
        policy: Policy,
        algorithms: Collection[str],
        stores: Sequence[KeyStore] = (),
    ) -> None:
        """``algorithms``: the enabled ones; each always has a signing key and an announced standby.

        ``stores``: the first one makes keys, each opens its own; without any, keys are sealed by ``custody``.
        """
        self.stores = tuple(stores) or (SealedKeys(custody),)
        self._custody = custody
        self._policy = policy
        self._algorithms = tuple(dict.fromkeys(algorithms))
        # Keys made for a ring that was not written: a full disk must not make us make new ones every second.
        self._spare: dict[str, NewKey] = {}
        self._unused: list[NewKey] = []
        self._opened: dict[str, SigningKey] = {}
        self._known: dict[str, PublicKey] = {}
        self._offered: KeyRing | None = None
        # Keys of which no store holds anything any more.
        self._buried: set[str] = set()

    def advance(self, ring: OpenRing | None, now: float) -> tuple[OpenRing, tuple[RingChange, ...]]:
        """Do what is due; the same ring when nothing is."""
        published = set() if ring is None else {entry.kid for entry in ring.ring.entries}
        self._spare = {kid: made for kid, made in self._spare.items() if kid not in published}
        self._unused = list(self._spare.values())
        before = ring.ring if ring else first_ring(now, self._algorithms, self._make, self._policy)
        after, changes = advance(before, now, self._policy, self._make, self._algorithms)
        if ring is not None and after == before:
            self.bury(ring.ring)
            return ring, ()
        self._offered = None if ring is None else before
        return self._open(after), tuple(_as_event(change) for change in changes)

    def change(
        self, ring: OpenRing, move: Move, now: float, *, operator: str, reason: str
    ) -> tuple[OpenRing, tuple[RingChange, ...]]:
        """Do what an operator asks for; raises ``IllegalMove``."""
        self._unused = list(self._spare.values())
        self._offered = ring.ring
        after, steps = play(ring.ring, move, now, Rules(self._policy, self._algorithms, self._make))
        told = (RingChange(step.event, step.kid, step.alg, step.at, operator, reason) for step in steps)
        return self._open(after), tuple(told)

    def bury(self, ring: KeyRing) -> None:
        """Destroy what stores still hold of keys whose private half ``ring`` gave up or never took in.

        A key made for a ring has lost its race when another ring is there; as long as that very ring is
        there, a write that failed may still be done. What cannot be reached now is buried at the next call.
        """
        lost = set() if ring == self._offered else self._spare.keys() - {entry.kid for entry in ring.entries}
        dead = {entry.kid for entry in ring.entries if entry.private is None} - self._buried
        if lost or dead:
            with suppress(TokenUnavailable):
                for store in self.stores:
                    store.destroy(lost | dead)
                self._buried |= dead
                self._spare = {kid: made for kid, made in self._spare.items() if kid not in lost}

    def to_json(self, ring: OpenRing) -> Json:
        """The document's body."""
        return [
            {
                "kid": e.kid,
                "alg": e.alg,
                "public": dict(e.public),
                "private": e.private and self._custody.renewed(e.private, context=sealing_context(e.kid)),
                "announced_at": e.announced_at,
                "active_from": e.active_from,
                "retire_from": e.retire_from,
                "gone_at": e.gone_at,
                "revoked_at": e.revoked_at,
                "noted": e.noted,
            }
            for e in ring.ring.entries
        ]

    def from_json(self, body: Json) -> OpenRing:
        """Read and open the ring; raises ``CustodyError`` if a private key is damaged or another one's."""
        entries = (
            Entry(**{**members, "noted": None if members["noted"] is None else State(members["noted"])})
            for members in body
        )
        return self._open(KeyRing(tuple(entries)))

    def _make(self, alg: str) -> NewKey:
        for spare in self._unused:
            if spare.public["alg"] == alg:
                self._unused.remove(spare)
                return spare
        made, key = self.stores[0].make(alg)
        self._spare[key.kid], self._opened[key.kid] = made, key
        return made

    def _open(self, ring: KeyRing) -> OpenRing:
        private = {e.kid: self._private(e, e.private) for e in ring.entries if e.private is not None}
        public = {e.kid: self._public(e) for e in ring.entries}
        self._opened, self._known = dict(private), dict(public)
        return OpenRing(ring, private, public)

    def _private(self, entry: Entry, text: str) -> SigningKey:
        key = self._opened.get(entry.kid) or self._store_of(text, entry.kid).open(entry, text)
        if key.kid != entry.kid or key.public.jwk != dict(entry.public):
            raise CustodyError(f"the private key of {entry.kid} does not belong to its public key")
        return key

    def _store_of(self, text: str, kid: str) -> KeyStore:
        scheme = text.partition(":")[0]
        for store in self.stores:
            if store.scheme == scheme:
                return store
        raise CustodyError(f"the private key of {kid} is kept in {scheme[:16]}: no setting names it")

    def _public(self, entry: Entry) -> PublicKey:
        known = self._known.get(entry.kid)
        if known is not None and known.jwk == dict(entry.public):
            return known
        try:
            key = load_public_jwk(entry.public, algorithms=(entry.alg,))
            if thumbprint(entry.public) != entry.kid or key.kid != entry.kid:
                raise CustodyError(f"the public key of {entry.kid} is another one")
        except Rejected as refusal:
            raise CustodyError(f"the public key of {entry.kid} is unusable: {refusal.reason}") from None
        return key


def _as_event(change: Change) -> RingChange:
    if change.what == "destroy":
        return RingChange("signing.key.destroyed", change.kid or "", change.alg, change.at)
    return RingChange(EVENTS[change.state or State.ANNOUNCED], change.kid or "", change.alg, change.at)


def public_members(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """What may leave in a key set (RFC 7517 section 4): an allow-list, so that no private member ever can."""
    return {
        name: jwk[name] for name in ("kty", "crv", "x", "y", "n", "e", "kid", "use", "alg") if name in jwk
    }
