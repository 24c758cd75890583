"""Questions to workers and their answers, over real pipes."""

import threading
from typing import Any

from support.backstage import eventually
from tillit_server.serving.reports import Line, answer_questions, ask_all


def test_a_worker_is_asked_once_it_is_built():
    """Before it has said so it is not waited for; afterwards it answers each question."""
    line = Line()
    assert ask_all([line]) == [None]
    assert not line.built
    answer_questions(line.theirs, lambda: {"parts": {}})
    assert eventually(lambda: ask_all([line]) == [{"parts": {}}])
    assert line.built
    assert ask_all([line]) == [{"parts": {}}]


def test_questions_to_one_who_stands_still_do_not_pile_up():
    """Ten thousand looks at a worker that gives no answer send it one question, and its late answer misleads nobody."""
    line, go, asked = Line(), threading.Event(), []

    def report() -> dict[str, Any]:
        asked.append(len(asked))
        go.wait()
        return {"parts": {"n": str(len(asked))}}

    answer_questions(line.theirs, report)
    assert eventually(lambda: ask_all([line], patience=0) == [None] and line.built)
    for _ in range(10_000):
        assert ask_all([line], patience=0) == [None]
    go.set()
    assert eventually(lambda: ask_all([line], patience=1)[0])
    assert len(asked) <= 3


def test_a_worker_that_cannot_tell_how_it_is_is_not_well():
    """A fault in the report itself is an answer: not well; the next question is answered too."""
    line = Line()

    def report() -> dict[str, Any]:
        raise ValueError("canary")

    answer_questions(line.theirs, report)
    expected = {"parts": {"report": "ValueError"}, "metrics": []}
    assert eventually(lambda: ask_all([line]) == [expected])
    assert ask_all([line]) == [expected]


def test_the_end_of_a_worker_is_no_answer():
    """A worker whose end of the pipe is closed is asked in vain, without a fault."""
    line = Line()
    line.theirs.close()
    line.built = True
    assert ask_all([line, line], patience=0.1) == [None, None]
