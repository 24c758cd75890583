"""What a worker tells of itself, when its supervisor asks: a question and an answer over a pipe of their own.

Nobody else can ask, a worker that hangs is seen to hang, and what it tells is what holds at that moment.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

import orjson

_log = logging.getLogger("tillit.serving")

PATIENCE = 1.0
"""Seconds within which a worker answers. One that is built and does not is stuck, or stands still."""
_QUESTION = b"?"
_BUILT = b"!"


class Line:
    """The supervisor's end of one worker's pipe. Not safe for threads; the supervisor asks one at a time."""

    def __init__(self) -> None:
        self._ours, self.theirs = Pipe()
        self.built = False
        self._asked = False

    def heard(self) -> bool:
        """Take what has come unasked, or too late for who had asked; whether the worker is built."""
        try:
            while self._ours.poll():
                self._asked = False
                self._ours.recv_bytes()
                self.built = True
        except (OSError, EOFError):
            self._asked = False
        return self.built

    def ask(self) -> None:
        """Ask, unless a question waits already: to one who stands still, questions must not pile up."""
        if not self.heard() or self._asked:
            return
        with suppress(OSError):
            self._ours.send_bytes(_QUESTION)
            self._asked = True

    def answer(self) -> dict[str, Any] | None:
        """The answer that has come, or None."""
        try:
            if not self._asked or not self._ours.poll():
                return None
            self._asked = False
            told: dict[str, Any] = orjson.loads(self._ours.recv_bytes())
        except (OSError, EOFError):
            return None
        return told

    @property
    def awaited(self) -> Connection | None:
        """What becomes readable with the answer; None when nobody was asked."""
        return self._ours if self._asked else None


def ask_all(lines: Sequence[Line], *, patience: float = PATIENCE) -> list[dict[str, Any] | None]:
    """Ask every worker at once, and give what each says within ``patience`` seconds, else None."""
    for line in lines:
        line.ask()
    deadline = time.monotonic() + patience
    told: dict[int, dict[str, Any] | None] = {}
    while True:
        waiting = {
            number: line.awaited for number, line in enumerate(lines) if line.awaited and number not in told
        }
        left = deadline - time.monotonic()
        if not waiting or left <= 0:
            return [told.get(number) for number in range(len(lines))]
        came = wait([pipe for pipe in waiting.values() if pipe], left)
        for number, pipe in waiting.items():
            if pipe in came:
                told[number] = lines[number].answer()


def _told(report: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return report()
    except Exception as error:  # noqa: BLE001 (whatever it is, the worker must be heard to be unwell)
        _log.error("a worker cannot tell how it is", exc_info=error)
        return {"parts": {"report": type(error).__name__}, "metrics": []}


def answer_questions(pipe: Connection, report: Callable[[], dict[str, Any]]) -> None:
    """In a worker: say that it is built, then answer every question, in a thread, as long as anybody asks."""

    def answering() -> None:
        try:
            pipe.send_bytes(_BUILT)
            while True:
                pipe.recv_bytes()
                pipe.send_bytes(orjson.dumps(_told(report)))
        except (OSError, EOFError):
            return  # the supervisor is gone, and soon so are we

    threading.Thread(target=answering, name="reports", daemon=True).start()
