"""What a drill has shown: judged, as JSON for programs, and as a page for people."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tillit_server.rehearsal.drill import Rehearsed
from tillit_server.rehearsal.witnesses import SeenKey
from tillit_server.signing.key_moves import instant
from tillit_server.signing.timeline import span

ASKED_AGAIN = 0.1
"""The share of requests that may have to be repeated, for hours pass in an instant here."""
DONE = (
    "rotations",
    "rotations a day after the last",
    "rotations at the earliest instant",
    "operators killed",
    "killed before it was written",
    "killed after it was written",
    "workers killed",
    "keys revoked",
)
"""What a drill does, in the order of the report."""
_KEYS_SHOWN = 12
_SHORT = 10


def judged(drill: Rehearsed) -> dict[str, Any]:
    """The report as JSON: ``passed``, ``faults`` and what was seen. Instants are RFC 3339 in service time."""
    witness, plan = drill.witness, drill.plan
    again = {name: n for name, n in witness.counts.items() if "again" in name}
    keys = [_key(key, witness.keys.get(key["kid"], SeenKey())) for key in drill.ring["keys"]]
    faults = [*witness.faults, *_faults(drill, sum(again.values()))]
    return {
        "passed": not faults,
        "faults": faults,
        "seed": plan.seed,
        "seconds": round(drill.seconds, 1),
        "service_seconds": round(drill.service_seconds),
        "rehearsed": {name: drill.done[name] for name in DONE},
        "tokens": witness.counts["tokens"],
        "asked_again": again,
        "gaps": {act: round(gap, 3) for act, gap in sorted(witness.gaps.items())},
        "verifications": sum(v.verifications for v in drill.verifiers),
        "failed": sum(v.failed for v in drill.verifiers),
        "max_age": drill.ring["policy"]["max_age"],
        "verifiers": [
            {
                "name": v.name,
                "verifications": v.verifications,
                "failed": v.failed,
                "key_set_fetched": v.fetches,
                "oldest_cache": round(v.oldest_cache),
            }
            for v in drill.verifiers
        ],
        "keys": keys,
        "audit": {"intact": drill.audit["intact"], "entries": drill.audit["entries"]},
    }


def _faults(drill: Rehearsed, again: int) -> Iterable[str]:
    rotations, revoked = drill.done["rotations"], drill.done["keys revoked"]
    counts, told = drill.witness.counts, drill.audit["done"]
    if again > ASKED_AGAIN * counts["tokens"]:
        yield f"clients had to ask again {again} times for {counts['tokens']} tokens"
    unused = [k["kid"] for k in drill.ring["keys"] if k["state"] != "announced" and not _signed(drill, k)]
    if unused:
        yield f"{unused[0]} had its time and signed nothing that anybody saw"
    if len(drill.ring["keys"]) != rotations + revoked + 2:
        yield f"{rotations} rotations and {revoked} revocations left {len(drill.ring['keys'])} keys"
    if told.get("signing.key.rotated", 0) != rotations + revoked:
        yield f"the audit tells of {told.get('signing.key.rotated', 0)} rotations"
    if not drill.audit["intact"]:
        yield "the audit is not intact"
    yield from (f"{v.name} verified nothing" for v in drill.verifiers if not v.verifications)


def _signed(drill: Rehearsed, key: Mapping[str, Any]) -> int:
    seen = drill.witness.keys.get(key["kid"])
    return seen.signatures if seen else 0


def _key(key: Mapping[str, Any], seen: SeenKey) -> dict[str, Any]:
    def told(at: float | None) -> str | None:
        return None if at is None else instant(at)

    return {
        "kid": key["kid"],
        "state": "revoked" if key["revoked_at"] is not None else key["state"],
        "announced": told(key["announced_at"]),
        "published_first_seen": told(seen.published),
        "signs_from": told(key["active_from"]),
        "signature_first_seen": told(seen.signed),
        "signature_last_seen": told(seen.last_signed),
        "signatures": seen.signatures,
    }


def page(report: Mapping[str, Any]) -> str:
    """The report for people, with a line at its end that says what the exit code is."""
    done = report["rehearsed"]
    lines = [
        f"Drill of key changes: {'PASS' if report['passed'] else 'FAIL'}",
        "",
        "Rehearsed on an installation made for this and removed after it, under load, in accelerated time",
        *_pairs(
            {
                **done,
                "time here": f"{report['seconds']:.0f} s",
                "time of the service": span(report["service_seconds"]),
                "seed": report["seed"],
            }
        ),
        "",
        "What clients saw",
        *_pairs({"tokens": report["tokens"], **report["asked_again"]}),
        "",
        "Longest time without a signature",
        *_pairs({act: f"{gap:.2f} s" for act, gap in report["gaps"].items()}),
        "",
        f"What verifiers saw; each keeps the key set for as long as it may, {report['max_age']} s",
        *_table(report["verifiers"]),
        "",
        "The keys, in the service's time",
        *_table([_row(key) for key in _some(report["keys"])]),
    ]
    if len(report["keys"]) > _KEYS_SHOWN:
        lines.append(f"  and {len(report['keys']) - _KEYS_SHOWN} between them, in --output json")
    audit = report["audit"]
    lines += ["", f"Audit: {'intact' if audit['intact'] else 'NOT INTACT'}, {audit['entries']} entries"]
    if report["faults"]:
        lines += ["", "What went wrong", *(f"  {fault}" for fault in report["faults"][:20])]
    verdict = f"{report['failed']} of {report['verifications']} verifications failed"
    lines += ["", f"{verdict}; exit code {0 if report['passed'] else 1}"]
    return "\n".join(lines)


def _row(key: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kid": key["kid"][:_SHORT] + "…",
        "state": key["state"],
        "in the key set": key["published_first_seen"],
        "to sign from": key["signs_from"],
        "first signature": key["signature_first_seen"],
        "last signature": key["signature_last_seen"],
        "tokens": key["signatures"],
    }


def _some(keys: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The first and the last, when there are many."""
    return keys if len(keys) <= _KEYS_SHOWN else (*keys[: _KEYS_SHOWN // 2], *keys[-_KEYS_SHOWN // 2 :])


def _pairs(pairs: Mapping[str, object]) -> list[str]:
    width = max((len(name) for name in pairs), default=0)
    return [f"  {name:{width}}  {value}" for name, value in pairs.items()]


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    names = list(rows[0])
    cells = [[name.replace("_", " ") for name in names]]
    cells += [["" if row[name] is None else str(row[name]) for name in names] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
