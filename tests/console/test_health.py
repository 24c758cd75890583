"""Readiness, from what workers tell: who counts, and who does not."""

import pytest

from tillit_server.console.health import HealthPart, NotWell, parts_of_health, readiness
from tillit_server.storage.ports import StorageUnavailable

WELL, UNWELL = {"store": "ok", "keys": "ok"}, {"store": "the disk is full", "keys": "ok"}


@pytest.mark.parametrize(
    ("workers", "draining", "ready"),
    [
        ([WELL, WELL], False, True),
        ([WELL, "starting"], False, True),
        ([WELL, UNWELL], False, False),
        ([WELL, "no answer"], False, False),
        (["starting", "starting"], False, False),
        ([], False, False),
        ([WELL, WELL], True, False),
    ],
)
def test_ready_is_who_can_serve_every_request(
    workers: list[dict[str, str] | str], draining: bool, ready: bool
):
    """All that listen are well, there is one at least, and nobody has been told to stop."""
    said, report = readiness(workers, draining=draining)
    assert said is ready
    assert (report["status"] == "ready") is ready


def test_a_part_is_shown_as_its_worst_worker_sees_it():
    """One worker that has lost the store is enough for the report to say so."""
    assert readiness([WELL, UNWELL, WELL], draining=False)[1]["parts"] == UNWELL


def test_u5_a_part_tells_its_own_reasons_and_nobody_elses():
    """What our own rooms say is shown in a line; of an exception that nobody foresaw, only its kind."""

    def fails(error: Exception) -> HealthPart:
        def look() -> None:
            raise error

        return HealthPart(type(error).__name__, look)

    errors = (StorageUnavailable("the disk\nis full"), NotWell(""), ValueError("canary 05825031016"))
    told = parts_of_health([*map(fails, errors), HealthPart("fine", lambda: None)])
    assert list(told.values()) == ["the disk is full", "NotWell", "ValueError", "ok"]
