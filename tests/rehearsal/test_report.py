"""The report of a drill says PASS only when everything that was planned was seen, and nothing was wrong."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tillit_server.rehearsal.drill import Plan, Rehearsed
from tillit_server.rehearsal.report import judged, page
from tillit_server.rehearsal.witnesses import SeenKey, Witness

NOW = 1_768_465_800


def key(number: int, state: str, revoked_at: int | None = None) -> dict[str, Any]:
    """A key as the operator tells of it."""
    members = {"announced_at": NOW, "active_from": NOW + 86_400, "retire_from": None}
    return {"kid": f"key-{number:02}-of-the-drill", "state": state, "revoked_at": revoked_at, **members}


def good(rotations: int = 2) -> Rehearsed:
    """A drill that went well."""
    keys = [key(n, "gone") for n in range(rotations)]
    keys += [key(90, "gone", NOW), key(91, "active"), key(92, "announced")]
    keys = keys[1:]  # the first key is among those that were rotated away
    witness = Witness(counts=Counter(tokens=100))
    witness.keys = {k["kid"]: SeenKey(NOW, NOW, NOW, 7) for k in keys[:-1]}
    witness.gaps = {"a rotation": 0.0123}
    verifier = SimpleNamespace(name="PyJWT", verifications=500, failed=0, fetches=3, oldest_cache=599.4)
    return Rehearsed(
        plan=Plan(rotations, 1, 7, {}),
        witness=witness,
        verifiers=[verifier],
        ring={"keys": [key(89, "gone"), *keys], "policy": {"max_age": 600}},
        audit={"intact": True, "entries": 321, "done": {"signing.key.rotated": rotations + 1}},
        done=Counter({"rotations": rotations, "keys revoked": 1, "workers killed": 1}),
        seconds=12.34,
        service_seconds=172_800,
    )


def seen(drill: Rehearsed) -> Rehearsed:
    """The first key signed, too."""
    drill.witness.keys["key-89-of-the-drill"] = SeenKey(NOW, NOW, NOW, 1)
    return drill


def test_a_good_drill_passes_and_its_page_says_what_was_seen():
    """The verdict, what was rehearsed, the counts, each key with its instants, and the exit code."""
    report = judged(seen(good()))
    assert report["faults"] == []
    assert report["passed"]
    text = page(report)
    assert text.startswith("Drill of key changes: PASS\n")
    for told in (
        "a rotation  0.01 s",
        "PyJWT  500            0       3                599",
        "key-91-of-…  active     2026-01-15T08:30:00Z  2026-01-16T08:30:00Z",
        "2 d",
        "Audit: intact, 321 entries",
        "0 of 500 verifications failed; exit code 0",
    ):
        assert told in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_of_many_keys_the_page_shows_the_first_and_the_last():
    """A thousand rotations still fit on a page; the program's report has every key."""
    report = judged(seen(good(1000)))
    assert len(report["keys"]) == 1003
    assert len(page(report).splitlines()) < 60
    assert "and 991 between them" in page(report)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (lambda d: d.witness.fault("PyJWT refused a good token"), "PyJWT refused a good token"),
        (lambda d: d.witness.counts.update({"asked again: broken": 11}), "ask again 11 times for 100 tokens"),
        (lambda d: d.witness.keys.pop("key-91-of-the-drill"), "key-91-of-the-drill had its time"),
        (lambda d: d.ring["keys"].pop(), "left 4 keys"),
        (lambda d: d.audit["done"].clear(), "the audit tells of 0 rotations"),
        (lambda d: d.audit.update(intact=False), "the audit is not intact"),
        (lambda d: setattr(d.verifiers[0], "verifications", 0), "PyJWT verified nothing"),
    ],
)
def test_whatever_is_wrong_fails_the_drill_and_is_named(what: Any, told: str):
    """One thing that is not as it should be is a FAIL, with the reason on the page and exit code 1."""
    drill = replace(seen(good()))
    what(drill)
    report = judged(drill)
    assert not report["passed"]
    assert [fault for fault in report["faults"] if told in fault], report["faults"]
    assert page(report).startswith("Drill of key changes: FAIL")
    assert told in page(report)
    assert page(report).endswith("exit code 1")
