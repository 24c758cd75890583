"""Refusals in the audit, without letting anybody fill the disk with them.

Who has not authenticated is counted, and a second's counts become one entry. A known client's refusals are
entries of their own, but not the same assertion's again and again.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable

from tillit_server.audit.events import RefusalsSummarised, ResourceRefused, TokenRefused
from tillit_server.audit.log import AuditLog

REPEATS = 3
"""How often a refused assertion gets an entry of its own, for each worker."""

_PERIOD = 1.0
_REMEMBERED = 4096
_MAX_KINDS = 128


class RefusalLog:
    """Counts and records the refusals of one worker; nothing it writes is waited for."""

    def __init__(self, audit: AuditLog, *, clock: Callable[[], float]) -> None:
        self._audit = audit
        self._clock = clock
        self._mutex = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._first_at = 0.0
        self._repeats: OrderedDict[tuple[str, str], int] = OrderedDict()

    def count(self, step: str, code: str) -> None:
        """A refusal of a stranger. Raises `StorageUnavailable` when too much is queued."""
        now = self._clock()
        with self._mutex:
            if not self._counts:
                self._first_at = now
            kind = f"{step} {code}"
            self._counts[kind if kind in self._counts or len(self._counts) < _MAX_KINDS else "other"] += 1
        self.tick()

    def record(self, event: TokenRefused | ResourceRefused) -> None:
        """A refusal of a known client. Raises as `count`."""
        if self._repeated(event):
            self.count("repeated", event.code)
        else:
            self._audit.record(event, durable=False)

    def exhausted(self, client_id: str, assertion_jti: str) -> bool:
        """Whether this worker has refused the assertion so often that it need not be judged again."""
        with self._mutex:
            return self._repeats.get((client_id, assertion_jti), 0) >= REPEATS

    def tick(self) -> None:
        """Called every second or so, and by every count: write the summary of a second that is over."""
        now = self._clock()
        with self._mutex:
            # A clock set back must not keep the counts in memory.
            if not self._counts or 0 <= now - self._first_at < _PERIOD:
                return
        self.flush()

    def flush(self) -> None:
        """Write what has been counted, whether the second is over or not."""
        now = self._clock()
        with self._mutex:
            counts, self._counts = self._counts, Counter()
            first = self._first_at
        if counts:
            event = RefusalsSummarised(first_at=first, last_at=now, total=counts.total(), counts=dict(counts))
            self._audit.record(event, durable=False)

    def close(self) -> None:
        """Write what is left."""
        self.flush()

    def _repeated(self, event: TokenRefused | ResourceRefused) -> bool:
        jti = event.assertion_jti if isinstance(event, TokenRefused) else event.token_jti
        if event.client_id is None or jti is None:
            return False
        name = (event.client_id, jti)
        with self._mutex:
            times = self._repeats.pop(name, 0)
            self._repeats[name] = times + 1
            if len(self._repeats) > _REMEMBERED:
                self._repeats.popitem(last=False)
        return times >= REPEATS
