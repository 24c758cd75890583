"""What a worker does once a second beside answering: summaries of refusals, checkpoints of the audit."""

import logging
import threading
from collections.abc import Callable, Sequence

_log = logging.getLogger("tillit.housekeeping")

PERIOD = 1.0


class Housekeeper:
    """Calls every chore once a second in one thread; a chore that fails is logged and tried again."""

    def __init__(self, chores: Sequence[Callable[[], object]], *, period: float = PERIOD) -> None:
        self._chores = tuple(chores)
        self._period = period
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and do every chore once more."""
        self._stop.set()
        self._thread.join()
        self._do()

    def _run(self) -> None:
        while not self._stop.wait(self._period):
            self._do()

    def _do(self) -> None:
        for chore in self._chores:
            try:
                chore()
            except Exception as error:  # noqa: BLE001 (whatever one chore meets, the next second comes)
                name = getattr(chore, "__qualname__", "chore")
                _log.error("chore failed", extra={"event": {"chore": name, "reason": type(error).__name__}})
