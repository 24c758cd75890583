"""The ring of symmetric secrets: one per purpose in use, each with an id and a life.

Nonce and sealing secrets rotate. Old sealing secrets stay, because what they sealed must still be opened.
The others are permanent: pseudonyms, hashes of single-use keys and the audit's hashes must come out the
same for ever, so they are part of the backup.
"""

import itertools
import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tillit_server.signing.custody import Custody
from tillit_server.signing.live import LiveRing, OnChange, RingChange, WriteRing
from tillit_server.storage.ports import Json, Records

Purpose: TypeAlias = Literal["nonce", "sealing", "key_hash", "pseudonym", "audit_hash"]

DAY = 86_400
SECRET_BYTES = 32
LEAD = 60
"""A new secret is in the ring for so many seconds before it is used:

longer than any process takes to see it.
"""


@dataclass(frozen=True, slots=True)
class Life:
    """How long a secret is used (``rotate_after``) and kept afterwards (``keep``); None is for ever."""

    rotate_after: int | None = None
    keep: int | None = None


LIVES: dict[Purpose, Life] = {
    "nonce": Life(rotate_after=DAY, keep=3600),
    "sealing": Life(rotate_after=90 * DAY),
    "key_hash": Life(),
    "pseudonym": Life(),
    "audit_hash": Life(),
}


@dataclass(frozen=True, slots=True)
class Secret:
    """32 bytes under an id of 8 hexadecimal digits. Its representation does not show the value."""

    id: str
    purpose: str
    active_from: int
    sealed: str
    value: bytes

    def __repr__(self) -> str:
        return f"Secret({self.purpose} {self.id} from {self.active_from})"


SecretRing: TypeAlias = tuple[Secret, ...]


class SecretPlan:
    """The plan of the secrets for ``LiveRing``."""

    name = "secrets"

    def __init__(self, custody: Custody) -> None:
        self._custody = custody

    def advance(self, ring: SecretRing | None, now: float) -> tuple[SecretRing, tuple[RingChange, ...]]:
        """Found, rotate and forget what is due; idempotent."""
        members = list(ring or ())
        changes = []
        for purpose, life in LIVES.items():
            same = sorted((s for s in members if s.purpose == purpose), key=lambda s: s.active_from)
            at = _next_start(same, life, now)
            if at is not None:
                made = self._make(purpose, at)
                same.append(made)
                members.append(made)
                event = "signing.secret.rotated" if len(same) > 1 else "signing.secret.made"
                changes.append(RingChange(event, made.id, purpose, at))
            if life.keep is not None:
                for old, successor in itertools.pairwise(same):
                    if successor.active_from + life.keep <= now:
                        members.remove(old)
                        changes.append(
                            RingChange("signing.secret.destroyed", old.id, purpose, math.floor(now))
                        )
        return (ring if ring is not None and not changes else tuple(members)), tuple(changes)

    def to_json(self, ring: SecretRing) -> Json:
        """The document's body."""
        return [
            {
                "id": s.id,
                "purpose": s.purpose,
                "active_from": s.active_from,
                "sealed": self._custody.renewed(s.sealed, context=_context(s.purpose, s.id)),
            }
            for s in ring
        ]

    def from_json(self, body: Json) -> SecretRing:
        """Open every secret; raises ``CustodyError`` if one is damaged."""
        return tuple(
            Secret(
                id=m["id"],
                purpose=m["purpose"],
                active_from=m["active_from"],
                sealed=m["sealed"],
                value=self._custody.open(m["sealed"], context=_context(m["purpose"], m["id"])),
            )
            for m in body
        )

    def _make(self, purpose: str, active_from: int) -> Secret:
        ident, value = secrets.token_hex(4), secrets.token_bytes(SECRET_BYTES)
        sealed = self._custody.seal(value, context=_context(purpose, ident))
        return Secret(ident, purpose, active_from, sealed, value)


def _next_start(same: list[Secret], life: Life, now: float) -> int | None:
    """When the next secret must start, if it is time to make it."""
    if not same:
        return math.floor(now)
    if life.rotate_after is None:
        return None
    planned = same[-1].active_from + life.rotate_after
    return max(planned, math.ceil(now) + LEAD) if planned - LEAD <= now else None


def _context(purpose: str, ident: str) -> str:
    return f"secret {purpose} {ident}"


class Secrets:
    """The secrets of the installation, the same in every process."""

    def __init__(
        self,
        records: Records,
        custody: Custody,
        clock: Callable[[], float],
        *,
        on_change: OnChange | None = None,
        write: WriteRing | None = None,
        ticks: Callable[[], float] | None = None,
    ) -> None:
        """Open the ring, or make it at the very first start.

        Raises ``CustodyError``, ``StorageUnavailable``.
        """
        self._clock = clock
        # Per purpose: the ring it was taken from, the instants between which it holds, and the order.
        self._orders: dict[str, tuple[SecretRing, float, float, tuple[Secret, ...]]] = {}
        self._live = LiveRing(
            SecretPlan(custody), records, custody, clock, on_change=on_change, write=write, ticks=ticks
        )

    def use(
        self,
        records: Records,
        *,
        on_change: OnChange | None = None,
        write: WriteRing | None = None,
        may_write: Callable[[], bool] | None = None,
    ) -> None:
        """Go on with the store that these secrets made it possible to open, and with its audit."""
        self._live.use(records, on_change=on_change, write=write, may_write=may_write)

    def reseal(self, *, operator: str, reason: str) -> None:
        """Write the ring again, sealed with the master key that seals now, with its entry in the audit."""
        self._live.reseal(operator=operator, reason=reason)

    def current(self, purpose: Purpose) -> Secret:
        """The secret to use for something new. Reads at most; may be called from within the store."""
        return self._in_order(self._live.last(advance=False), purpose)[0]

    def sealing(self) -> tuple[str, Mapping[str, bytes]]:
        """The id of the secret that seals now, and all that open, by id: the ring of a ``Sealer``."""
        secrets_of_it = self._in_order(self._live.last(advance=False), "sealing")
        return secrets_of_it[0].id, {secret.id: secret.value for secret in secrets_of_it}

    def accepted(self, purpose: Purpose) -> tuple[bytes, ...]:
        """All values of a purpose, the current one first: what ``Nonces`` wants. Also rotates what is due."""
        return tuple(secret.value for secret in self._in_order(self._live.last(), purpose))

    def require_fresh(self) -> None:
        """Raises ``StorageUnavailable`` when nobody knows whether they still stand."""
        self._live.fresh()

    def ring_age(self) -> float:
        """Seconds since they were last read from the store."""
        return self._live.age()

    def _in_order(self, ring: SecretRing, purpose: Purpose) -> tuple[Secret, ...]:
        """The current secret, then the others, newest first."""
        now = self._clock()
        known = self._orders.get(purpose)
        if known is not None and known[0] is ring and known[1] <= now < known[2]:
            return known[3]
        newest_first = sorted((s for s in ring if s.purpose == purpose), key=lambda s: -s.active_from)
        started = [s for s in newest_first if s.active_from <= now]
        # A clock set back to before the first secret still finds one.
        current = started[0] if started else newest_first[-1]
        order = (current, *(s for s in newest_first if s is not current))
        since = current.active_from if started else -math.inf
        until = min((s.active_from for s in newest_first if s.active_from > now), default=math.inf)
        self._orders[purpose] = (ring, since, until, order)
        return order
