"""The trace of the request that this thread answers, if traces are kept. Loads no library.

The rooms say here which step was passed and which part of the store was asked; what becomes of that is
decided in `serving/otlp.py`, and nothing at all where nobody wants traces.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from functools import wraps
from typing import Final, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Trace(Protocol):
    """What is told of one request. Never a value that a sender chose."""

    id: str

    def passed(self, step: str, fact: object) -> None:
        """A step of the request's list was passed, and established a fact."""

    def refused(self, step: str) -> None:
        """A step refused."""

    def part(self, name: str) -> AbstractContextManager[object]:
        """Something that takes time, as long as the block lasts."""


TRACE: Final[ContextVar[Trace | None]] = ContextVar("trace", default=None)

_NOTHING: Final = nullcontext()


def part(name: str) -> AbstractContextManager[object]:
    """A part of the request that this thread answers."""
    trace = TRACE.get()
    return _NOTHING if trace is None else trace.part(name)


def traced(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Every call of the function is a ``part``."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def called(*given: P.args, **named: P.kwargs) -> R:
            if TRACE.get() is None:
                return function(*given, **named)
            with part(name):
                return function(*given, **named)

        return called

    return decorate
