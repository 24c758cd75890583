"""How a request is judged: a visible list of named steps, one loop, refusals as data.

A step takes what is known so far and returns one more verified fact, or raises ``OAuthError``.
The fact is remembered under the step's own name, so ``known.fresh_proof`` is what ``fresh_proof``
found. No step has a side effect; whatever a request changes is settled once, at the end.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from tillit.protocol.errors import OAuthError
from tillit_server.tracing import TRACE

K = TypeVar("K", bound="Facts")
Step = Callable[[K], Any]


class NotYetKnown(LookupError):
    """A step asked for a fact that an earlier step did not establish."""

    def __init__(self, fact: str) -> None:
        super().__init__(fact)
        self.fact = fact


class Facts:
    """What is known about a request: each fact stands under the name of the step that established it."""

    def __getattr__(self, name: str) -> Any:  # only reached for facts not established
        raise NotYetKnown(name)


@dataclass(frozen=True, slots=True)
class Finding:
    """One refusal as data: where it happened, which rule, what was expected, what was found.

    ``found`` is redacted; ``clock_difference`` is in seconds, the client's clock minus ours.
    """

    step: str
    code: str
    description: str
    status: int
    rule: str | None = None
    pointer: str | None = None
    expected: str | None = None
    found: str | None = None
    clock_difference: float | None = None
    detail: str = ""


class Refused(Exception):
    """A step refused the request; carries the finding, the error to answer with and what was known."""

    def __init__(self, finding: Finding, error: OAuthError, known: "Facts") -> None:
        super().__init__(f"{finding.step}: {finding.code}")
        self.finding = finding
        self.error = error
        self.known = known


def finding_of(step: str, error: OAuthError) -> Finding:
    """The refusal of ``step`` as data."""
    return Finding(
        step=step,
        code=error.code,
        description=error.description,
        status=error.status,
        rule=error.rule,
        pointer=error.pointer,
        expected=error.expected,
        found=error.found,
        clock_difference=error.clock_difference,
        detail=error.detail,
    )


def refused(step: str, error: OAuthError, known: Facts) -> Refused:
    """The refusal of ``known`` by ``step``, to be raised."""
    return Refused(finding_of(step, error), error, known)


def run(steps: Sequence[Step[K]], known: K) -> K:
    """Run ``steps`` in order and remember each fact. Raises ``Refused`` at the first refusal."""
    trace = TRACE.get()
    for step in steps:
        try:
            fact = step(known)
        except OAuthError as error:
            if trace is not None:
                trace.refused(step.__name__)
            raise refused(step.__name__, error, known) from error
        setattr(known, step.__name__, fact)
        if trace is not None:
            trace.passed(step.__name__, fact)
    return known


@dataclass(frozen=True, slots=True)
class Outcome(Generic[K]):
    """What one step said when every step is asked: ``passed``, ``refused`` or ``not_reached``."""

    step: str
    verdict: Literal["passed", "refused", "not_reached"]
    finding: Finding | None = None
    error: OAuthError | None = None
    needs: str | None = None


def run_all(steps: Sequence[Step[K]], known: K) -> Iterator[Outcome[K]]:
    """Ask every step, past refusals; a step whose facts are missing is ``not_reached``."""
    for step in steps:
        name = step.__name__
        try:
            setattr(known, name, step(known))
        except OAuthError as error:
            yield Outcome(name, "refused", finding_of(name, error), error)
        except NotYetKnown as missing:
            yield Outcome(name, "not_reached", needs=missing.fact)
        else:
            yield Outcome(name, "passed")
