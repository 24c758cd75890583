"""The signer: every token passes here, and the published key set comes from here.

A worker signs only with a ring it has seen within 2 s. The key set is served from the last ring seen,
whatever the store does.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from tillit.protocol.errors import Rejected
from tillit.protocol.jose import PublicKey, SigningKey, is_signed_by, sign, sign_bytes, verify_bytes
from tillit_server.signing.clocks import Clocks
from tillit_server.signing.custody import Custody, CustodyError
from tillit_server.signing.key_moves import Move, Revoke
from tillit_server.signing.key_plan import KeyPlan, OpenRing, public_members
from tillit_server.signing.key_store import KeyStore
from tillit_server.signing.keyring import (
    KeyRing,
    NoSigningKey,
    Policy,
    State,
    active_key,
    first_use,
    published,
)
from tillit_server.signing.live import LiveRing, OnChange, RingChange, RingUnavailable, WriteRing
from tillit_server.storage.ports import Records

__all__ = ["NoSigningKey", "RingUnavailable", "SelfCheckFailed", "Signer"]

_SELF_TEST = b"tillit: a look at the keys before the start"  # no token: it has no dots


class SelfCheckFailed(RuntimeError):
    """A signature just made does not verify.

    It was thrown away; nothing may be sent. Carries no token text.
    """


class Signer:
    """Signs with the active key of an algorithm, verifies each signature, publishes the public keys.

    Safe in threads and across forks. Changes (a key announced, activated, retired, gone, destroyed; a
    signature rejected) go to ``on_change(event, kid, alg, at)``; ring changes can also be settled together
    with their audit entries by ``write``.
    """

    def __init__(
        self,
        records: Records,
        custody: Custody,
        clock: Callable[[], float],
        policy: Policy | None = None,
        algorithms: Collection[str] = ("ES256",),
        *,
        stores: Sequence[KeyStore] = (),
        on_change: OnChange | None = None,
        write: WriteRing | None = None,
        clocks: Clocks | None = None,
        ticks: Callable[[], float] | None = None,
    ) -> None:
        """Open the key ring, or found it at the very first start. ``stores``: as ``KeyPlan`` has them.

        Raises ``CustodyError`` (one readable line) when the ring must not be used, ``StorageUnavailable``.
        """
        self._clock = clock
        self._policy = policy or Policy()
        self._algorithms = frozenset(algorithms)
        self._on_change = on_change
        self._plan = KeyPlan(custody, self._policy, algorithms, stores)
        self._live: LiveRing[OpenRing] = LiveRing(
            self._plan,
            records,
            custody,
            clock,
            on_change=on_change,
            write=write,
            may_write=clocks.agree if clocks else None,
            ticks=ticks,
        )
        self._clocks = clocks
        # The ring it was chosen from, and per algorithm: the key and the instants between which it signs.
        self._chosen: tuple[OpenRing, dict[str, tuple[float, float, SigningKey]]] = (self._live.last(), {})

    def sign(self, typ: str, claims: Mapping[str, Any], alg: str) -> tuple[str, str]:
        """Make a compact JWS with header ``typ``, ``alg`` and ``kid``; returns it and the ``kid``.

        Raises ``NoSigningKey``, ``RingUnavailable`` (503) and ``SelfCheckFailed`` (threats K7, G19).
        """
        key = self._key(alg)
        token = sign({"typ": typ}, claims, key)
        if not _holds(token, key):
            if self._on_change:
                self._on_change("signing.signature.rejected", key.kid, alg, math.floor(self._clock()))
            raise SelfCheckFailed(f"a signature of key {key.kid} ({alg}) did not verify")
        return token, key.kid

    def usable(self) -> dict[str, int | None]:
        """The enabled algorithms: None for one that signs now, else the instant from which it will.

        One that was enabled later than the first start cannot be used until its announcement is over.
        """
        ring, now = self._live.last().ring, self._clock()
        return {alg: first_use(ring, alg, now) for alg in sorted(self._algorithms)}

    def check(self) -> None:
        """Sign something with each key that signs now, for the start of the service.

        Raises as ``sign``, and ``TokenUnavailable``.
        """
        for alg, later in self.usable().items():
            if later is None:
                key = self._key(alg)
                if not verify_bytes(_SELF_TEST, sign_bytes(_SELF_TEST, key), key.public, alg):
                    raise CustodyError(f"the private key of {key.kid} does not belong to its public key")

    def jwks(self, now: float) -> dict[str, list[dict[str, Any]]]:
        """The public key set (RFC 7517 section 5) at ``now``. Never fails once the service has started."""
        return {"keys": [public_members(entry.public) for entry in published(self._live.last().ring, now)]}

    @property
    def jwks_headers(self) -> dict[str, str]:
        """How long verifiers may keep the key set, and a revoked key lives at an honest cache."""
        return {"Cache-Control": f"public, max-age={self._policy.jwks_max_age}"}

    @property
    def algorithms(self) -> frozenset[str]:
        """The algorithms it signs with."""
        return self._algorithms

    def verification_keys(self, now: float) -> tuple[PublicKey, ...]:
        """The keys with which a token of ours may verify at ``now``."""
        opened = self._live.last()
        return tuple(opened.public[entry.kid] for entry in published(opened.ring, now))

    def archive(self) -> tuple[PublicKey, ...]:
        """Every key there ever was, for old audit checkpoints and old logs; never for judging a token."""
        return tuple(self._live.last().public.values())

    def unrevoked(self) -> tuple[PublicKey, ...]:
        """Every key that was never revoked, of whatever age: for what our own clients show us again."""
        opened = self._live.last()
        return tuple(opened.public[entry.kid] for entry in opened.ring.entries if entry.revoked_at is None)

    def expired_jwks(self, now: float) -> dict[str, list[dict[str, Any]]]:
        """The keys that are published no longer, for whoever reads old tokens in old logs.

        Each is marked ``archive``, with the instant at which it was gone (``exp``) and, where that is why,
        the instant of its revocation. No token is to be accepted because of them.
        """
        ring = self._live.last().ring
        gone = [entry for entry in ring.entries if entry.state(now) is State.GONE]
        return {
            "keys": [
                {
                    **public_members(entry.public),
                    "archive": True,
                    "exp": entry.since(State.GONE),
                    **({} if entry.revoked_at is None else {"revoked": {"revoked_at": entry.revoked_at}}),
                }
                for entry in gone
            ]
        }

    def change(self, move: Move, *, operator: str, reason: str) -> Sequence[RingChange]:
        """Rotate, announce or revoke, by one compare-and-swap with its audit entries; what was done.

        Raises ``IllegalMove``, ``StorageUnavailable``, ``CustodyError``; then nothing was done. While the
        clocks of hosts differ, only a stolen key can be ended.
        """
        if self._clocks is not None and not (isinstance(move, Revoke) and move.at_once):
            self._clocks.require()
        changes = self._live.change(
            lambda ring, now: self._plan.change(ring, move, now, operator=operator, reason=reason)
        )
        self._plan.bury(self.ring())
        return changes

    def close(self) -> None:
        """Leave nothing open, and no key behind that nobody will use."""
        self._plan.bury(self._live.last(advance=False).ring)
        for store in self._plan.stores:
            store.close()

    def reseal(self, *, operator: str, reason: str) -> None:
        """Write the ring again, sealed with the master key that seals now, with its entry in the audit."""
        self._live.reseal(operator=operator, reason=reason)

    @property
    def policy(self) -> Policy:
        """How keys are renewed."""
        return self._policy

    def ring(self) -> KeyRing:
        """The plan as last seen."""
        return self._live.last().ring

    def require_fresh(self) -> None:
        """Raises ``StorageUnavailable`` when nobody knows if the keys still stand, and nothing is signed."""
        self._live.fresh()

    def ring_age(self) -> float:
        """Seconds since the ring was last read from the store."""
        return self._live.age()

    def _key(self, alg: str) -> SigningKey:
        opened = self._live.fresh()
        now = self._clock()
        ring, chosen = self._chosen
        if ring is not opened:
            chosen = {}
            self._chosen = (opened, chosen)
        known = chosen.get(alg)
        if known is not None and known[0] <= now < known[1]:
            return known[2]
        if alg not in self._algorithms:
            raise NoSigningKey(f"algorithm {alg[:16]} is not enabled")
        entry = active_key(opened.ring, alg, now)
        key = opened.private.get(entry.kid)
        if key is None:
            raise NoSigningKey(f"the private key of {entry.kid} was destroyed")
        chosen[alg] = (*entry.signs_between, key)
        return key


def _holds(token: str, key: SigningKey) -> bool:
    try:
        return is_signed_by(token, key)
    except Rejected:
        return False
