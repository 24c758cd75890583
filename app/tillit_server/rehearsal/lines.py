"""Programs beside the drill: each answers a line of JSON with a line of JSON."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class ProgramEnded(RuntimeError):
    """A program of the drill ended, or gave no line of JSON. The text names it, and what it last said."""


class Program:
    """A running program. Not for two threads at once; what it says on standard error is kept in ``log``."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        """Start it. Raises ``ProgramEnded`` if there is no such program."""
        self.name = name
        self._log = log
        with log.open("ab") as errors:
            try:
                self._process = subprocess.Popen(  # noqa: S603  (ours, or the operator's own choice)
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    start_new_session=True,
                )
            except OSError as error:
                raise ProgramEnded(f"{name}: cannot be started ({error.strerror})") from error

    def ask(self, **question: Any) -> Json:
        """One question and its answer. Raises ``ProgramEnded``."""
        self.tell(**question)
        return self.hear()

    def tell(self, **question: Any) -> None:
        """Ask, without waiting for the answer. Raises ``ProgramEnded``."""
        assert self._process.stdin is not None  # noqa: S101  (it was asked for)
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._ended() from None

    def hear(self) -> Json:
        """The answer to what was asked. Raises ``ProgramEnded``."""
        assert self._process.stdout is not None  # noqa: S101  (it was asked for)
        try:
            answer = json.loads(self._process.stdout.readline())
        except ValueError:
            raise self._ended() from None
        if not isinstance(answer, dict):
            raise self._ended()
        return answer

    def close(self) -> None:
        """End it, and whatever it has started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for end in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if end is not None:
                    end.close()

    def _ended(self) -> ProgramEnded:
        said = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return ProgramEnded(f"{self.name}: has ended, or gave no line of JSON: {said[-1] if said else '-'}")


def answer_lines(answer: Callable[[Json], Json]) -> None:
    """The other end: answer every line of standard input until there are no more."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()
