"""The page of evidence: what the ledger of long runs proves, beside what was asked; run as a program, it writes it."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from support.evidence import LEDGER
from support.storms import STORMS
from support.two_hosts import STORES

PAGE = LEDGER.with_name("README.md")
Counts = Mapping[str, Any]
Line = Mapping[str, Any]

_HEAD = """# Evidence

The long runs (`make test-long`, `make fuzz`) append what they found to [the ledger](ledger.jsonl), one line each.
This page is made from it by `make docs`.
A run takes as long as `TILLIT_BUDGET` allows (seconds, for each proof), and records how far it came; without it, the full count is run.
Every run stands against the commit that it ran on; `+` says that the application had changes that were not committed.

## What was asked, and how far it is proven

A failure is whatever the proof says must not happen: a wrong answer, a 5xx, a second winner, something acknowledged that is lost.
Where the longest run without a failure is shorter than what was asked, that is a gap: no such run has been made yet.

"""
_RUNS = """
## What the failures were

- G1 and G2 on Redis and PostgreSQL, at `22bba20e15bf` and `5f2bdb7a980f`: answers of 503 while forty processes shared the two cores, ours with the least right to them.
  The way to Redis waited for an answer for half a second whatever `storage_timeout` said. Since `061e243618e1` it heeds that.
  There was no wrong answer beside them, and one winner in each round.
  The soak was ended early, so its senders had not told of the last 425 tokens that are in the audit.
  Of its connections 16 broke: the service closes one that lies idle for 5 s, or waits for 8 s.
- G4 until `43c42cafcf7c`: how long the first token took is not to be quoted where a run says "first token after".
  That clock began before the first of several deaths, so after "both hosts" it was the second host that answered, a moment before it died too.
  What was lost, which the proof is about, does not rest on it.
- G4 on SQLite, before `2833279f0ef7`: two runs that ended early, and so have no line here, found that of two workers killed together one may not serve again.
  It was forked while another thread wrote the log, and waited for the lock of a buffer. Since then the log has no buffer, and a worker that does not come up is replaced.
  Two runs on Redis and PostgreSQL ended early for reasons of the test bed, and were made anew once it was mended.
- G8 on SQLite, the first run: restarts under load broke connections. The three runs since then, one of the full count, broke none.

## Every run

"""
_COLUMNS = (
    "Proof",
    "Store",
    "Asked",
    "Longest clean run",
    "All clean runs",
    "Runs with a failure",
    "Commit",
    "Gap",
)
_ALL_COLUMNS = ("When (UTC)", "What", "Commit", "Seconds", "Found")


@dataclass(frozen=True)
class Proof:
    """What was asked: so many of something, in runs whose name matches, with no failure."""

    title: str
    store: str
    named: str
    asked: int
    counted: str
    failures: Callable[[Counts], int]

    def runs(self, lines: Sequence[Line]) -> list[Line]:
        """The lines of the ledger that speak of it."""
        return [
            line
            for line in lines
            if re.fullmatch(self.named, line["what"]) and self.counted in line["counts"]
        ]


def total(*names: str) -> Callable[[Counts], int]:
    """The sum of members that should be 0."""
    return lambda counts: sum(int(counts.get(name, 0)) for name in names)


def all_but(of: str, *good: str) -> Callable[[Counts], int]:
    """What of a count is not one of the good ones."""
    return lambda counts: int(counts[of]) - sum(int(counts.get(name, 0)) for name in good)


def others(counts: Counts) -> int:
    """What came of a race beside what must come of it."""
    due = {"rounds", "at once", "one winner", "one head", "refused", "in the audit", "ended"}
    due |= {"ms from first to last start", "reuses in the audit"}
    return sum(int(number) for name, number in counts.items() if name not in due)


LOST = (
    *("tokens out without an entry", "acknowledged but not spent", "in the audit but not spent"),
    *("accepted twice", "flaws of the chain"),
)


def proofs() -> Iterator[Proof]:
    """Every proof with a count that was asked for."""
    for store in STORES:
        end = f", .*, {re.escape(store)}"
        soaked = all_but("requests", "good", "hostile")
        yield Proof(
            "G1, X3 requests, one in ten hostile", store, f"G1 soak{end}", 1_000_000, "requests", soaked
        )
        for name in STORMS:
            yield Proof(
                f"G2 {name}, 64 at once", store, f"G2 {re.escape(name)}{end}", 10_000, "rounds", others
            )
        yield Proof(
            "G4, S8, U4 kill -9 under load", store, f"G4 kill -9 under load{end}", 500, "kills", total(*LOST)
        )
        yield Proof(
            "T3 tokens revoked just before a kill",
            store,
            f"G4 kill -9 under load{end}",
            1_500,
            "revoked tokens tried",
            total("of these good"),
        )
        yield Proof(
            "G8, X1 rolling restarts under load",
            store,
            f"X1 .*restarts under load{end}",
            200,
            "restarts",
            total("0", *LOST),
        )
    yield Proof(
        "G8, X1 rolling restarts of two hosts behind nginx, under load",
        "Redis + PostgreSQL",
        "rolling restarts of two hosts behind nginx",
        200,
        "restarts",
        total("failed", "not stopped in good order"),
    )
    yield Proof(
        "G6, S3 failovers with a cut link",
        "Redis",
        "G6 Redis failovers.*",
        100,
        "failovers",
        total("accepted_twice"),
    )
    yield Proof(
        "G6, S3 failovers by three Sentinels, cut links between hosts",
        "Redis + PostgreSQL",
        "G6 failovers by three Sentinels.*",
        100,
        "failovers",
        total("replays accepted"),
    )


def gap(asked: int, longest: int) -> str:
    """How much of what was asked has never been run in one go."""
    if longest >= asked:
        return "none"
    return f"{100 * (1 - longest / asked):.3g} %" if longest else "all of it"


def row(proof: Proof, lines: Sequence[Line]) -> tuple[str, ...]:
    """The cells of a proof."""
    runs = proof.runs(lines)
    clean = [line for line in runs if not proof.failures(line["counts"])]
    reached = [int(line["counts"][proof.counted]) for line in clean]
    longest = max(reached, default=0)
    commit = commit_of(clean[reached.index(longest)]) if clean else "no run"
    found = [f"{number:,}" for number in (proof.asked, longest, sum(reached))]
    failed = f"{len(runs) - len(clean)} of {len(runs)}"
    return (proof.title, proof.store, *found, failed, commit, gap(proof.asked, longest))


def commit_of(line: Line) -> str:
    """The commit of a run, marked when it was not all."""
    return f"`{line['commit']}`{'+' if line['changed'] else ''}"


def said(counts: Counts) -> str:
    """The counts of a run in words."""
    return " · ".join(f"{name}: {_number(value)}" for name, value in counts.items()).replace("|", "/")


def _number(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_number(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_number, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def lines_of(ledger: str) -> list[Line]:
    """The lines of a ledger."""
    return [json.loads(line) for line in ledger.splitlines()]


def page_of(ledger: str) -> str:
    """The page for a ledger."""
    lines = lines_of(ledger)
    runs = [
        (
            line["at"][:16].replace("T", " "),
            line["what"],
            commit_of(line),
            f"{line['seconds']:,}",
            said(line["counts"]),
        )
        for line in reversed(lines)
    ]
    asked = [row(proof, lines) for proof in proofs()]
    return _HEAD + table(_COLUMNS, asked) + _RUNS + table(_ALL_COLUMNS, runs)


if __name__ == "__main__":
    PAGE.write_text(page_of(LEDGER.read_text(encoding="utf-8")), encoding="utf-8")
