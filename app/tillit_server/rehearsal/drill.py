"""The course of a drill: rotations under load with kill -9 inside, and one stolen key."""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tillit.protocol.jose import generate_key
from tillit_server.rehearsal.load import SCOPE, EhrClient
from tillit_server.rehearsal.pace import ENDED, STEPS, Pace
from tillit_server.rehearsal.scratch import CannotRehearse, Operator, Scratch
from tillit_server.rehearsal.verifying import PROGRAMS, ForeignVerifier
from tillit_server.rehearsal.witnesses import Witness

DAY = 86_400
TO_CHANGE = 60
"""Seconds of the service's time before a rotation at which it is asked for: a busy machine takes a moment."""
CLIENTS = 2
ENTERPRISE = "310000019"
TRIES = 10

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is rehearsed: ``kills`` of the ``rotations`` have a kill -9 inside.

    ``verifiers`` are further programs by name, each a command; see ``foreign_pyjwt`` for what they must do.
    """

    rotations: int
    kills: int
    seed: int
    verifiers: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What came of it; judged and told by ``report``."""

    plan: Plan
    witness: Witness
    verifiers: Sequence[ForeignVerifier]
    ring: Mapping[str, Any]
    audit: Mapping[str, Any]
    done: Counter[str]
    seconds: float
    service_seconds: float


def rehearse(plan: Plan, home: Path, say: Say) -> Rehearsed:
    """Do it in the empty directory ``home``. Raises ``CannotRehearse``, ``ProgramEnded``."""
    begun = time.monotonic()
    with Scratch(home) as scratch, ExitStack() as stack:
        witness, operator = Witness(), scratch.operator()
        drill = _Drill(plan, scratch, witness, operator, say)
        for participant in (*drill.clients, *drill.verifiers):
            participant.start()
            stack.callback(participant.stop)
        start = scratch.clock()
        drill.run()
        stack.close()
        return Rehearsed(
            plan,
            witness,
            drill.verifiers,
            drill.ask(do="ring"),
            drill.ask(do="audit"),
            drill.done,
            time.monotonic() - begun,
            scratch.clock() - start,
        )


class _Drill:
    def __init__(self, plan: Plan, scratch: Scratch, witness: Witness, operator: Operator, say: Say) -> None:
        self.done: Counter[str] = Counter()
        self._plan = plan
        self._scratch = scratch
        self._witness = witness
        self._operator = operator
        self._say = say
        self._random = random.Random(plan.seed)  # noqa: S311  (a choice, no secret)
        self._change_seconds = 0.02
        programs = {**PROGRAMS, **plan.verifiers}
        self.verifiers = [
            ForeignVerifier(scratch.program(name, list(command)), scratch, witness, plan.seed + number)
            for number, (name, command) in enumerate(programs.items())
        ]
        scratch.await_answer()
        policy = operator.ask(do="ring")["policy"]
        self._max_age, self._skew = policy["max_age"], policy["skew"]
        self.clients = [self._client(f"drill-{number}") for number in range(CLIENTS)]
        self._pace = Pace(scratch, self.clients, self.verifiers, max_age=self._max_age)

    def ask(self, **question: Any) -> dict[str, Any]:
        """Have the operator do something, and again if the store was too busy for it."""
        for _ in range(TRIES):
            answer = self._operator.ask(**question)
            if "unavailable" not in answer:
                return answer
            self._witness.count("asked again: the operator")
        raise CannotRehearse(f"the operator: {answer['unavailable']}")

    def _client(self, name: str) -> EhrClient:
        key = generate_key("ES256")
        members = {"id": name, "keys": [dict(key.public.jwk)], "scopes": [SCOPE]}
        members |= {"grants": ["client_credentials"], "legal_entities": [ENTERPRISE]}
        self.ask(do="register", client=members)
        return EhrClient(name, key, self._scratch, self._witness)

    def run(self) -> None:
        """Everything that was planned."""
        rotations = range(1, self._plan.rotations + 1)
        kills = set(self._random.sample(rotations, self._plan.kills))
        self._pace.everybody()
        for number in rotations:
            # The first standby is as old as the installation: a day must pass. Later ones may be hurried.
            by_day = number == 1 or self._random.random() < 1 / 4
            how = "a day after the last" if by_day else "at the earliest instant the rules allow"
            self._say(f"rotation {number}, {how}{', with kill -9' if number in kills else ''}")
            if by_day:
                self._after_a_day(kill=number in kills)
            else:
                self._at_the_earliest(kill=number in kills)
            if number == (self._plan.rotations + 1) // 2:
                self._say("the key that signs now is stolen: keys revoke --now")
                self._emergency()

    def _after_a_day(self, *, kill: bool) -> None:
        self._witness.act("a day passed")
        self._pace.leap(DAY + self._random.randrange(3600))
        now = self._scratch.clock()
        for verifier in self.verifiers:
            verifier.absent_until = now + self._random.randrange(self._max_age // 2)
        for _ in range(STEPS // 2):
            self._pace.step(self._random.uniform(1, 2 * self._pace.step_seconds))
        standby = self._standby()
        self._change(standby, None, kill=kill)
        self._pace.pass_until(self._scratch.clock() + self._max_age)
        self._pace.until(lambda: standby["kid"] in self._witness.signed)
        self.done["rotations a day after the last"] += 1

    def _at_the_earliest(self, *, kill: bool) -> None:
        """The standby signs when the oldest cache that heeds max-age has just been renewed."""
        standby = self._standby()
        at = max(self._known_from(standby), int(self._scratch.clock()) + TO_CHANGE)
        self._pace.pass_until(at - TO_CHANGE)
        self._change(standby, at, kill=kill)
        self._pace.pass_until(at - 1)
        self._pace.step(2)
        self._pace.until(lambda: standby["kid"] in self._witness.signed)
        self.done["rotations at the earliest instant"] += 1

    def _change(self, standby: Mapping[str, Any], at: int | None, *, kill: bool) -> None:
        change = {"do": "rotate", "at": at, "kid": standby["kid"]}
        self._witness.act("a rotation")
        asked_at = time.monotonic()
        self._operator.tell(**change)
        if kill:
            # Any instant of the change, and a little before and after it.
            time.sleep(self._random.uniform(0, 1.3 * self._change_seconds))
        if kill and self._random.random() < 1 / 2:
            self._witness.act("the operator was killed in a rotation")
            self._operator.kill()
            self.done["operators killed"] += 1
            self.done[f"killed {self._go_on(change)} it was written"] += 1
        else:
            if kill:
                self._witness.act("a worker was killed in a rotation")
                self._scratch.kill_worker(self._random.randrange(64))
                self.done["workers killed"] += 1
            answer = self._operator.hear()
            if "unavailable" in answer:
                self._go_on(change)
            elif "refused" in answer:
                raise CannotRehearse(f"a rotation was refused: {answer['refused']}")
            self._change_seconds = time.monotonic() - asked_at
        self.done["rotations"] += 1
        self._pace.changed()

    def _go_on(self, change: Mapping[str, Any]) -> str:
        """Ask again where nobody knows whether it was done: it was wholly done, or not at all."""
        answer = self.ask(**change)
        if "refused" not in answer:
            return "before"
        keys = self.ask(do="ring")["keys"]
        active = sum(key["state"] == "active" for key in keys)
        if active != 1 or len(keys) != self._keys_by_now() + 1:
            self._witness.fault(
                f"a change that was broken off is neither whole nor undone: {answer['refused']}"
            )
        return "after"

    def _keys_by_now(self) -> int:
        """The first key and its standby, and one for each change so far."""
        return 2 + self.done["rotations"] + self.done["keys revoked"]

    def _standby(self) -> Mapping[str, Any]:
        keys: list[dict[str, Any]] = self.ask(do="ring")["keys"]
        return next(key for key in keys if key["state"] == "announced")

    def _emergency(self) -> None:
        # A thief does not wait. A standby so young that caches lack it is another story, told on the page.
        self._pace.pass_until(self._known_from(self._standby()))
        stolen = next(key["kid"] for key in self.ask(do="ring")["keys"] if key["state"] == "active")
        self._witness.act("a key was revoked")
        self._witness.robbed(stolen)
        self.ask(do="revoke", kid=stolen)
        self._witness.ended[stolen] = time.monotonic() + ENDED
        self._pace.changed(ENDED)
        self._pace.pass_until(self._scratch.clock() + self._max_age + self._skew)
        self.done["keys revoked"] += 1
        for verifier in self.verifiers:
            if stolen not in verifier.refused_revoked:
                self._witness.fault(f"{verifier.name} did not refuse a token of the revoked key in time")

    def _known_from(self, standby: Mapping[str, Any]) -> int:
        """The first instant at which no cache that heeds max-age can lack the key."""
        known: int = standby["announced_at"] + self._max_age + self._skew
        return known
