"""The replay fence: a Redis server that lost something must not be asked what was spent before.

An epoch is a number together with the run and the history (`run_id`, `master_replid`) of the server that it
was agreed for. The number and the instant of the fence lie in a record that outlives Redis, and in Redis
beside what is spent; every script compares them in the same act. Whatever is amiss (another server, a
restart, a flush, a restored copy, a wrong database, a clock that went back) begins a new epoch: its record is
written under compare-and-swap, so workers agree by that alone; and only what was made after the new fence is
accepted. A settlement is good only while the record has the version it was spent under, so the other half of
a split can spend, but not settle.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from tillit_server.storage.ports import Conflict, Put, Record, Records, StorageUnavailable
from tillit_server.storage.redis_quiet import Quiet
from tillit_server.storage.spending import FenceRaised, Guard, WriteFence

KIND = "fence"
KEY = "redis"
LAYOUT = 1
"""How the scripts of this release name and write what they keep. Another number is another set of names: two
releases that disagree must not judge side by side, so the record says whose turn it is, and it only rises."""

POLICY = "noeviction"

_log = logging.getLogger(__name__)
_USABLE = ("sound", "alone")
_TRIES = 12
_INSTALLING = 4
_LOOKING_AGAIN = 0.02
_PATIENCE = 5.0
_IN_LINE = 0.3
_WRITING = 0.9


class Epoch(NamedTuple):
    """The epoch that this process knows, and the version of its record."""

    number: int
    version: int

    @property
    def guard(self) -> Guard:
        """What must still hold when the rest of a settlement is written."""
        return Guard(KIND, KEY, self.version)


class Survey(NamedTuple):
    """What a server says of itself. `lead`: how far the furthest clock of ours is ahead of the server's."""

    status: str
    number: int
    time: float
    lead: float
    policy: str
    cluster: bool
    replicas: int = 0
    fence: float = 0.0


class Server(Protocol):
    """The two things the fence asks of the server."""

    def survey(self) -> Survey:
        """Look around. Raises `StorageUnavailable`."""

    def begin(self, number: int, fence: float, lead: float) -> str:
        """Begin an epoch: `sound`, `later` when a later one has begun, or `replica`."""


class Fence:
    """Keeps the epoch of this process in step with the record and the server. Safe for threads."""

    def __init__(
        self,
        server: Server,
        records: Records,
        clock: Callable[[], float],
        *,
        tolerance: float | None,
        fresh: bool,
        quiet: Quiet,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fresh`: the installation was made just now, so nothing of it can have been spent anywhere.

        `tolerance`: seconds that a clock of ours may differ from the server's; None when the clock is not
        one to compare (development).
        """
        self._server = server
        self._records = records
        self._clock = clock
        self._tolerance = tolerance
        self._fresh = fresh
        self._quiet = quiet
        self._steady = steady
        self._mutex = threading.Lock()
        self._pause = threading.Event()
        self._epoch: Epoch | None = None
        self._alone_since: float | None = None
        self._lead: float | None = None
        self.write: WriteFence = self._put

    def _put(self, put: Put, _: FenceRaised) -> None:
        self._records.put(put.kind, put.key, put.value, expect=put.expect)

    def current(self) -> Epoch:
        """The epoch, agreed on first if need be. Raises `StorageUnavailable`."""
        return self._epoch or self._agree(None, "first look")

    def heard(self, lead: float) -> None:
        """A script went well; `lead` as the server knows it."""
        self._alone_since = None
        self._lead = lead

    def forget(self) -> None:
        """The record has moved on: agree anew."""
        self._epoch = None

    def amiss(self, epoch: Epoch, status: str) -> None:
        """A script was refused with `status`; returns when to try again. Raises `StorageUnavailable`."""
        self._quiet.look_aside()
        if status == "replica":
            raise StorageUnavailable("the Redis server is a replica (READONLY)")
        if status == "clocks differ":
            _log.error(
                "the clock of this host and that of the Redis server differ too much to settle anything"
            )
            raise StorageUnavailable("the clocks of this host and of the Redis server differ")
        if status == "alone" and not self._patience_is_over():
            raise StorageUnavailable("the Redis server has lost its replica")
        self._agree(epoch, status)

    def _patience_is_over(self) -> bool:
        now = self._steady()
        if self._alone_since is None:
            self._alone_since = now
        return now - self._alone_since >= _PATIENCE

    def _agree(self, known: Epoch | None, reason: str) -> Epoch:
        if not self._mutex.acquire(timeout=_IN_LINE):
            raise StorageUnavailable("another request is finding out what the Redis server has lost")
        try:
            if self._epoch is not None and self._epoch != known:
                return self._epoch
            self._epoch = None
            self._epoch = self._find_or_begin(known, reason)
            self._alone_since = None
            return self._epoch
        finally:
            self._mutex.release()

    def _find_or_begin(self, known: Epoch | None, reason: str) -> Epoch:
        for attempt in range(_TRIES):
            record = self._records.get(KIND, KEY)
            layout = int(record.value.get("layout", 1)) if record else LAYOUT
            if layout > LAYOUT:
                raise StorageUnavailable("a later release keeps what is spent in another way: start that one")
            begun = self._steady()
            survey = self._sound_survey()
            number = int(record.value["number"]) if record else 0
            # Nobody but who has seen it knows that the server lost something in an epoch that goes on.
            lost = known is not None and known.number == number and reason in {survey.status, "rolled back"}
            sound = survey.number == number and survey.status in _USABLE and layout == LAYOUT
            if record is not None and sound and not lost:
                return Epoch(number, record.version)
            if number > survey.number and attempt < _INSTALLING:
                # Another worker may have written the record, and be about to tell the server.
                self._pause.wait(_LOOKING_AGAIN)
                continue
            why = "layout" if layout < LAYOUT else reason if survey.status in _USABLE else survey.status
            highest = max(number, survey.number, known.number if known else 0)
            epoch = self._begin(record, survey, highest + 1, why, begun)
            if epoch is not None:
                return epoch
        raise StorageUnavailable("the workers do not agree on the state of the Redis server")

    def _sound_survey(self) -> Survey:
        survey = self._server.survey()
        if survey.status == "replica":
            raise StorageUnavailable("the Redis server is a replica (READONLY)")
        if survey.status == "clocks differ" or (
            self._tolerance is not None and abs(self._clock() - survey.time) > self._tolerance
        ):
            raise StorageUnavailable("the clocks of this host and of the Redis server differ")
        if survey.policy != POLICY or survey.cluster:
            _log.critical("the Redis server may evict what is spent (%s): nothing is issued", survey.policy)
            raise StorageUnavailable("the Redis server may evict what is spent")
        return survey

    def _begin(
        self, record: Record | None, survey: Survey, number: int, reason: str, begun: float
    ) -> Epoch | None:
        """Write the record, tell the server, and make sure that nobody was faster; None to look again."""
        lead = self._furthest(survey, int(record.value["number"]) if record else 0)
        if self._fresh and record is None and survey.number == 0:
            fence = 0.0
        else:
            fence = self._clock() if self._tolerance is None else survey.time + lead
        previous = float(record.value["fence"]) if record else 0.0
        fence = max(fence, previous)
        value = {"number": number, "fence": fence, "reason": reason, "layout": LAYOUT}
        raised = FenceRaised(number, fence, reason)
        try:
            self.write(Put(KIND, KEY, value, expect=record.version if record else 0), raised)
        except Conflict:
            return None
        if self._steady() - begun > _WRITING:
            return None
        # Under the epoch before nothing can be settled any more, so what was the last to be does not change.
        since = self._quiet.since()
        if since is not None:
            fence = max(previous, fence - max(0.0, begun - since))
        # An installation that was slow must not follow another, whose fence is later: so look once more.
        if self._server.begin(number, fence, self._own_lead(survey)) != "sound":
            return None
        written = self._records.get(KIND, KEY)
        if written is None or written.value["number"] != number:
            return None
        self._fresh = False
        _log.critical("replay fence %d raised (%s): what was made before is refused", number, reason)
        return Epoch(number, written.version)

    def _furthest(self, survey: Survey, number: int) -> float:
        """How far any clock of ours was ahead in the last epoch; a server that still has it knows."""
        if self._tolerance is not None and (self._lead is None or survey.number != number):
            return self._tolerance
        return max(self._lead or 0.0, survey.lead, self._own_lead(survey))

    def _own_lead(self, survey: Survey) -> float:
        """How far this clock is ahead. Who is further ahead says so in the new epoch, as in any."""
        return 0.0 if self._tolerance is None else max(0.0, self._clock() - survey.time)
