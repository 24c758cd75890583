"""What is short-lived, on one Redis server that all hosts share: single-use ids and tickets.

One script per settlement, all or nothing. Our clock decides what is over; TTLs only clear away. Names of ids
and tickets are stored as keyed hashes, values sealed, as in the embedded store. Keys begin with the issuer:
two deployments on one server do not meet.
"""

import time
from collections.abc import Callable, Sequence
from typing import cast

from tillit_server.storage.ports import (
    Claim,
    Conflict,
    ConflictReason,
    Entry,
    Issue,
    Once,
    Records,
    Redemption,
    Settlement,
    StorageRefused,
    StorageUnavailable,
    Ticket,
    Tickets,
)
from tillit_server.storage.redis_fence import POLICY, Epoch, Fence, Survey
from tillit_server.storage.redis_link import Link, Reply, Script
from tillit_server.storage.redis_quiet import Quiet, Settled
from tillit_server.storage.redis_shapes import RedisOnce, RedisTickets
from tillit_server.storage.sealing import Sealer
from tillit_server.storage.spending import AHEAD, OLDEST, TOLERANCE, Count, Guard, Standing, WriteFence
from tillit_server.storage.work import Prepared, Preparer
from tillit_server.tracing import traced

KEEP = 300.0
"""Seconds that a spent id or a dead ticket outlives its time: far more than two clocks may differ."""

_WATCHFUL = 60.0  # seconds for which somebody who sends the same again makes us look for more of that
_ANY = "-"  # whatever epoch the server is in
_ATTEMPTS = 3
_WELL = frozenset({"sound", "done", "conflict", "early"})
_SPEND, _LOOK, _SURVEY, _BEGIN, _COUNT = map(Script, ("spend", "look", "survey", "begin", "count"))


class RedisSpending:
    """`spending.Spending` on Redis. Safe for threads; each process makes its own instance, after any fork."""

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float],
        issuer: str,
        sealer: Sealer,
        key_hash_secret: bytes,
        records: Records,
        fresh: bool = False,
        checked_clock: bool = True,
        settled: Settled | None = None,
        connections: int = 12,
        timeout: float = 0.8,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """Look at the server; one that is away is no reason not to start.

        `records` outlive Redis and keep the fence; `fresh` and `checked_clock` are explained in `Fence`,
        `settled` in `Quiet`.
        Raises `StorageRefused` for a URL that cannot be used, a cluster, and a server that may evict keys.
        """
        self._clock = clock
        self._preparer = Preparer(sealer, _no_entry, key_hash_secret, ())
        self._link = Link(url, connections=connections, timeout=timeout, steady=steady)
        self._prefix = f"tillit:{issuer}:"
        self._heard = (0, 0.0)
        self._steady = steady
        self._watchful_until = 0.0
        self._tolerance = TOLERANCE if checked_clock else None
        self._quiet = Quiet(settled, steady)
        self._fence = Fence(
            self, records, clock, tolerance=self._tolerance, fresh=fresh, quiet=self._quiet, steady=steady
        )
        self.once: Once = RedisOnce(self)
        self.tickets: Tickets = RedisTickets(self)
        self._refuse_unfit_server()

    def report_to(self, write: WriteFence) -> None:
        """Have fences written together with an audit entry; `write` raises `Conflict` as `Records.put`."""
        self._fence.write = write

    @traced("redis spend")
    def spend(
        self,
        claims: Sequence[Claim] = (),
        redemptions: Sequence[Redemption] = (),
        issues: Sequence[Issue] = (),
    ) -> Guard | None:
        """Do all of it or nothing; `spending.Spending` has the promise."""
        work = self._preparer.prepare(Settlement(claims=claims, redemptions=redemptions, issues=issues))
        if not (claims or redemptions or issues):
            return None
        reply, epoch = self._run(_SPEND, *self._spending(work, claims))
        if reply.status == "early":
            wait = float(reply.words[0]) - self._clock()
            raise StorageUnavailable(
                "the Redis server has lost something just now", retry_after=max(1, int(wait) + 1)
            )
        if reply.status == "conflict":
            spaces = [claim.space for claim in claims]
            spaces += [redemption.space for redemption in redemptions]
            spaces += [issue.space for issue in issues]
            place, reason = reply.words
            if reason == "spent":
                self._watchful_until = self._steady() + _WATCHFUL
            raise Conflict(spaces[int(place)], cast("ConflictReason", reason))
        return epoch.guard

    def moved(self) -> None:
        """The guard did not hold: ask anew which server it is, and which epoch."""
        self._link.forget_connections()
        self._fence.forget()

    def seen(self, space: str, key: str) -> bool:
        """A look, not a judgement: True when the id is already spent."""
        return self._first_seen((Claim(space, key, 0.0),)) is not None

    def first_seen(self, claims: Sequence[Claim]) -> Claim | None:
        """One look for several ids: the first of them that is already spent.

        It costs more than it spares as long as hardly anybody sends the same again, so nobody looks until
        somebody has; nor while the server is slow, since the settlement, which judges, needs all the time.
        """
        watchful = self._steady() < self._watchful_until and not self._link.slow
        return self._first_seen(claims) if claims and watchful else None

    @traced("redis look")
    def _first_seen(self, claims: Sequence[Claim]) -> Claim | None:
        digests = [self._preparer.claim_digest(claim.space, claim.key) for claim in claims]
        # Without asking which server this is: what it does not know any more, the settlement refuses.
        try:
            values = self._link.values([self._name("once", digest) for digest in digests])
        except StorageUnavailable:
            self._quiet.look_aside()
            raise
        oldest = self._clock() - KEEP
        found = (
            claim
            for claim, until in zip(claims, values, strict=True)
            if until is not None and float(until) >= oldest
        )
        return next(found, None)

    @traced("redis look")
    def find_ticket(self, space: str, key: str) -> Ticket | None:
        """A ticket of this epoch, or the tombstone of any; None when unknown or expired."""
        digest = self._preparer.digest("ticket", space, key)
        reply, epoch = self._run(_LOOK, [self._name("ticket", digest)])
        stored = reply.values[0]
        if stored is None:
            return None
        redeemed, issued_in, until, value = stored.split(b" ", 3)
        # What was issued before the fence may have been redeemed since, on a server that is gone.
        if float(until) < self._clock() or (redeemed == b"0" and int(issued_in) != epoch.number):
            return None
        return Ticket(self._preparer.open_ticket(space, digest, value), float(until), redeemed == b"1")

    def count(self, counts: Sequence[Count]) -> Sequence[tuple[int, float]]:
        """`spending.CountTogether`; without an epoch, since nothing depends on what is lost here."""
        names = [self._name("limit", self._preparer.digest("limit", each.name, each.who)) for each in counts]
        given = [value for each in counts for value in (each.more, int(each.seconds * 1000))]
        told = [int(value or 0) for value in self._ask(_COUNT, _ANY, names, given).values]
        return [(total, left / 1000) for total, left in zip(told[::2], told[1::2], strict=True)]

    def ping(self) -> None:
        """Read something, and see that the server still keeps what it is given."""
        self._quiet.look()
        self._run(_LOOK, ())
        if self.survey().policy != POLICY:
            raise StorageUnavailable("the Redis server may evict what is spent")

    def close(self) -> None:
        """Let go of the connections."""
        self._link.close()

    def survey(self) -> Survey:
        """What the server says of itself."""
        reply = self._ask(_SURVEY, _ANY, (), ())
        number, server_time, policy, cluster, replicas, fence = reply.words
        return Survey(
            status=reply.status,
            number=int(number),
            time=float(server_time),
            lead=reply.lead,
            policy=policy,
            cluster=cluster == "1",
            replicas=int(replicas),
            fence=float(fence),
        )

    def standing(self) -> Standing:
        """What the server says of itself."""
        survey = self.survey()
        return Standing(survey.time, survey.replicas, survey.fence)

    def begin(self, number: int, fence: float, lead: float) -> str:
        """Begin an epoch on the server."""
        return self._ask(_BEGIN, str(number), (), (fence, lead)).status

    def _refuse_unfit_server(self) -> None:
        try:
            survey = self.survey()
        except StorageUnavailable:
            return
        if survey.cluster:
            raise StorageRefused("the Redis server is part of a cluster", "Use one server, or Sentinel")
        if survey.policy != POLICY:
            raise StorageRefused(
                f"the Redis server may evict what is spent (maxmemory-policy {survey.policy})",
                "Set maxmemory-policy to noeviction in its configuration",
            )

    def _spending(
        self, work: Prepared, claims: Sequence[Claim]
    ) -> tuple[list[str], list[float], list[bytes]]:
        keys = [self._name("once", row.digest) for row in work.claims]
        keys += [self._name("ticket", row.digest) for row in work.redemptions]
        keys += [self._name("ticket", row.digest) for row in work.issues]
        numbers: list[float] = [AHEAD, len(work.claims), len(work.redemptions), len(work.issues)]
        for row, claim in zip(work.claims, claims, strict=True):
            numbers += (row.until, row.until - OLDEST if claim.made is None else float(claim.made))
        numbers += [redemption.keep_until for redemption in work.redemptions]
        numbers += [issue.until for issue in work.issues]
        values = [redemption.tombstone for redemption in work.redemptions]
        values += [issue.value for issue in work.issues]
        return keys, numbers, values

    def _run(
        self,
        script: Script,
        keys: Sequence[str],
        numbers: Sequence[float] = (),
        values: Sequence[bytes] = (),
    ) -> tuple[Reply, Epoch]:
        """The answer of a script, with the epoch in which it was given. Raises `StorageUnavailable`."""
        for _ in range(_ATTEMPTS):
            epoch = self._fence.current()
            reply = self._ask(script, str(epoch.number), keys, numbers, values)
            if reply.status in _WELL:
                self._fence.heard(reply.lead)
                return reply, epoch
            self._fence.amiss(epoch, reply.status)
        raise StorageUnavailable("the Redis server changes all the time")

    def _ask(
        self,
        script: Script,
        number: str,
        keys: Sequence[str],
        numbers: Sequence[float],
        values: Sequence[bytes] = (),
    ) -> Reply:
        tolerance = "-" if self._tolerance is None else self._tolerance
        epoch, latest = self._heard
        standing = (number, self._clock(), latest if number == str(epoch) else 0, tolerance)
        words = " ".join(map(str, (*standing, *numbers)))
        try:
            reply = self._link.run(script, (self._prefix + "epoch", *keys), (words, *values))
        except StorageUnavailable:
            self._quiet.look_aside()
            raise
        # A look around judges no epoch, and must not make us forget what we have heard in ours.
        if reply.status in _WELL and number != _ANY:
            self._heard = max(self._heard, (int(number), reply.time))
        return reply

    def _name(self, shape: str, digest: bytes) -> str:
        return f"{self._prefix}{shape}:{digest.hex()}"


def _no_entry(_entry: Entry) -> bytes:
    raise TypeError("entries go to the other half of the store")
