"""Keeps workers running: granian's supervisor, less ready to give up.

Granian leaves when a worker dies twice within six seconds, can overlook one of two that die together, and on
SIGHUP stops an old worker before the new one serves. Here a dead worker is replaced as long as the service
runs (after a pause that grows when it cannot start), one that never comes up is ended, and a rolling restart
waits for each new worker. The service gives up in one case: no worker is left, and the last ones refused to
start.
"""

import logging
import multiprocessing
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from granian.server.mp import MPServer

from tillit_server.console.health import NO_ANSWER, STARTING
from tillit_server.serving.reports import Line, ask_all

if TYPE_CHECKING:
    from multiprocessing.synchronize import Semaphore

_log = logging.getLogger("tillit.serving")

GRACE_SECONDS = 9.0
"""For requests under way when a worker is told to stop; the whole service is gone within 10 s."""
LOOK_SECONDS = 0.5
ASK_SECONDS = 0.5
SOON_SECONDS = 5.0
MAX_PAUSE_SECONDS = 5.0
READY_SECONDS = 15.0
STUCK_SECONDS = 30.0
SETTLE_SECONDS = 0.3
STEP_SECONDS = 0.02
FRESH_SECONDS = 0.2
STILL_SECONDS = 60.0
REFUSED = 78
"""Exit code of a worker that must not start as things stand (EX_CONFIG of sysexits.h)."""

Spawn = Callable[..., None]
Load = Callable[..., Any]
Told = dict[str, Any] | str
"""What a worker tells of itself, or one word in place of that."""


class Supervisor(MPServer):
    """A granian server that keeps its workers; ``ready`` is released by each worker that has built itself.

    ``drain``: seconds between telling others that it will stop and stopping. ``on_serving`` is called once,
    when the first workers are on their way. Workers are asked how they are in another thread, so no worker is
    forked while that thread is at work.
    """

    def __init__(
        self,
        *arguments: Any,
        drain: float = 0.0,
        on_serving: "Callable[[Supervisor], None] | None" = None,
        **settings: Any,
    ) -> None:
        super().__init__(*arguments, **settings)
        self.draining = False
        self.died = 0
        self._drain = drain
        self._on_serving = on_serving
        self._asking = threading.Lock()
        self._told: tuple[float, list[Told]] = (float("-inf"), [])
        self._looked = time.monotonic()
        # As granian chooses: it knows no fork server.
        method = "fork" if multiprocessing.get_start_method() == "fork" else "spawn"
        self.ready: Semaphore = multiprocessing.get_context(method).Semaphore(0)
        self._workers: list[Any] = self.wrks
        self._left: dict[int, int] = {}
        self._not_before: dict[int, float] = {}

    def _serve_loop(self, spawn_target: Spawn, target_loader: Load) -> None:
        """Until told to stop: replace the dead, and everyone on SIGHUP. Overrides granian's loop."""
        if self._on_serving is not None:
            self._on_serving(self)
        while not self._told_to_stop():
            self._looked = time.monotonic()
            # A look twice a second, because two deaths at once may be announced as one.
            self.main_loop_interrupt.wait(self._pause())
            self.main_loop_interrupt.clear()
            self.interrupt_children.clear()
            if self._told_to_stop():
                return
            if self.reload_signal:
                self._reload(spawn_target, target_loader)
            self._end_stuck()
            dead = [number for number, worker in enumerate(self._workers) if not worker.is_alive()]
            if len(dead) == self.workers and self._refused(dead):
                _log.error("no worker can start, giving up")
                self.interrupt_children.extend(dead)  # granian's sign for an exit code other than 0
                return
            for number in dead:
                self._replace_dead(number, spawn_target, target_loader)

    def living(self) -> bool:
        """Whether dead workers are being replaced, as they should be at any time."""
        return time.monotonic() - self._looked < STILL_SECONDS

    def ask(self) -> list[Told]:
        """What each worker tells of itself now, in the order of their numbers; safe for threads."""
        with self._asking:
            at, told = self._told
            if time.monotonic() - at >= FRESH_SECONDS:
                workers = tuple(self._workers)
                lines = [worker.line for worker in workers]
                told = [
                    answer or (NO_ANSWER if worker.line.built and worker.is_alive() else STARTING)
                    for worker, answer in zip(workers, ask_all(lines), strict=True)
                ]
                self._told = (time.monotonic(), told)
            return told

    def _spawn_worker(self, idx: int, target: Spawn, callback_loader: Load, *more: Any) -> Any:
        """A worker with a line to us. Extends granian's."""
        line = Line()
        worker: Any = super()._spawn_worker(idx, target, partial(callback_loader, line.theirs), *more)
        worker.line = line
        return worker

    def _end_stuck(self) -> None:
        """End whoever was started long ago and is not built: as one of the dead it will be replaced.

        A fork may find a lock held that nobody will ever let go of.
        """
        now = time.monotonic()
        for worker in self._workers:
            if now - worker.birth < STUCK_SECONDS or worker.line.built or not worker.is_alive():
                continue
            with self._asking:
                built = worker.line.heard()
            if not built:
                _log.error("worker does not come up, ending it", extra={"event": {"worker": worker.idx + 1}})
                worker.inner.kill()

    def _told_to_stop(self) -> bool:
        return bool(self.interrupt_signal)

    def _refused(self, dead: list[int]) -> bool:
        return all(self._workers[number].inner.exitcode == REFUSED for number in dead)

    def _pause(self) -> float:
        waits = [at - time.monotonic() for at in self._not_before.values()]
        return min([LOOK_SECONDS, *(max(0.0, wait) for wait in waits)])

    def _replace_dead(self, number: int, spawn_target: Spawn, target_loader: Load) -> None:
        now = time.monotonic()
        if number not in self._not_before:
            worker = self._workers[number]
            # Who was killed was well a moment ago. Who left by itself is likely to leave again.
            again = worker.inner.exitcode >= 0 and now - worker.birth < SOON_SECONDS
            times = self._left[number] = self._left.get(number, 0) + 1 if again else 0
            pause = min(MAX_PAUSE_SECONDS, 0.05 * 2**times) if again else 0.0
            self._not_before[number] = now + pause
            event = {"worker": number + 1, "exit": worker.inner.exitcode, "pause": pause}
            self.died += 1
            _log.error("worker died", extra={"event": event})
        if self._not_before[number] <= now:
            del self._not_before[number]
            self._workers[number] = self._started(number, spawn_target, target_loader)

    def _started(self, number: int, spawn_target: Spawn, target_loader: Load) -> Any:
        worker: Any = self._spawn_worker(number, spawn_target, target_loader)
        with self._asking:
            worker.start()
        return worker

    def _reload(self, spawn_target: Spawn, target_loader: Load) -> None:
        """Put a new worker in the place of each, the old one serving until the new one does."""
        self.reload_signal = False
        _log.info("rolling restart", extra={"event": {"workers": self.workers}})
        for number, old in enumerate(tuple(self._workers)):
            while self.ready.acquire(block=False):
                pass
            new = self._started(number, spawn_target, target_loader)
            if not self._came_up(new):
                _log.error(
                    "new worker did not start, the old one goes on", extra={"event": {"worker": number + 1}}
                )
                _stop([new])
                return
            self._workers[number] = new
            _stop([old])

    def _came_up(self, worker: Any) -> bool:
        deadline = time.monotonic() + READY_SECONDS
        self._looked = time.monotonic()
        while time.monotonic() < deadline and worker.is_alive() and not self._told_to_stop():
            # Without a timeout: that would go by the time of day, and wait for hours if that is put back.
            if self.ready.acquire(block=False):
                # It has built itself; between that and listening lies next to nothing.
                time.sleep(SETTLE_SECONDS)
                return bool(worker.is_alive())
            time.sleep(STEP_SECONDS)
        return False

    def _stop_workers(self) -> None:
        """Stop all at once. Overrides granian's, which takes a worker that is about to end for stuck.

        Before, requests are taken in as ever for a while, in which who asks hears that no more should come. A
        second signal cuts that short.
        """
        self.draining = True
        _log.info("stopping", extra={"event": {"workers": len(self._workers), "drain": self._drain}})
        self.main_loop_interrupt.clear()
        self.main_loop_interrupt.wait(self._drain)
        _stop(self._workers)
        self._workers.clear()


def _stop(workers: list[Any]) -> None:
    """Ask each to stop, wait for all, end by force who is still there after a while."""
    deadline = time.monotonic() + GRACE_SECONDS
    ask_again = 0.0
    while (now := time.monotonic()) < deadline and any(worker.is_alive() for worker in workers):
        if now >= ask_again:
            # More than once: a worker just forked, whose signals are still ours, does not hear the first.
            ask_again = now + ASK_SECONDS
            for worker in workers:
                worker.terminate()
        time.sleep(STEP_SECONDS)
    for worker in workers:
        if worker.is_alive():
            _log.error("worker did not stop in time", extra={"event": {"worker": worker.idx + 1}})
            worker.kill()
            worker.join()
