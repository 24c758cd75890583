"""What will happen to the keys and when, if nobody does anything: read off the ring. Pure."""

from collections.abc import Collection
from dataclasses import dataclass

from tillit_server.signing.keyring import DESTROY_AFTER, Entry, KeyRing, Policy

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that will happen at ``at`` (Unix seconds) to ``kid``; empty for a key that is not made yet.

    ``what``: ``signs``, ``leaves``, ``revoked``, ``destroyed`` or ``announced``; ``text`` says it plainly.
    """

    at: int
    alg: str
    kid: str
    what: str
    text: str


def timeline(ring: KeyRing, now: float, policy: Policy, algorithms: Collection[str]) -> tuple[Moment, ...]:
    """Everything that is planned after ``now``, in order of time."""
    moments = [moment for entry in ring.entries for moment in _life(ring, entry) if moment.at > now]
    for alg in algorithms:
        chain = ring.chain(alg)
        if chain:
            at = max(chain[-1].active_from - policy.announce, int(now) + 1)
            text = "the next standby is made and published"
            moments.append(Moment(at, alg, "", "announced", text))
    return tuple(sorted(moments, key=lambda moment: moment.at))


def span(seconds: float) -> str:
    """A duration in its two largest units: ``90 d``, ``1 h 1 min``, ``6 s``."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for size, unit in _UNITS:
        if left >= size and len(parts) < 2:  # noqa: PLR2004  (two units are exact enough to read)
            parts.append(f"{left // size} {unit}")
            left %= size
        elif parts:
            break
    return " ".join(parts) or "0 s"


def _life(ring: KeyRing, entry: Entry) -> list[Moment]:
    def moment(at: int, what: str, text: str) -> Moment:
        return Moment(at, entry.alg, entry.kid, what, text)

    revoked, moments = entry.revoked_at, []
    if revoked is None:
        before = _predecessor(ring, entry)
        instead = f" instead of {before.kid}" if before else ""
        moments.append(moment(entry.active_from, "signs", f"signs{instead}"))
        if entry.gone_at is not None:
            moments.append(moment(entry.gone_at, "leaves", "leaves the key set: its last token has died"))
    else:
        moments.append(moment(revoked, "revoked", "is revoked: signs no more, not published, tokens fail"))
    ends = [at for at in (revoked, entry.gone_at) if at is not None]
    if ends and entry.private is not None:
        moments.append(moment(min(ends) + DESTROY_AFTER, "destroyed", "its private half is destroyed"))
    return moments


def _predecessor(ring: KeyRing, entry: Entry) -> Entry | None:
    same = (e for e in ring.entries if e.alg == entry.alg and e.retire_from is not None)
    return next((e for e in same if e.retire_from == entry.active_from), None)
