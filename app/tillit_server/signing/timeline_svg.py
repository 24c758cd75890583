"""The time line of the keys as a drawing: one row a key, one colour a state. Plain SVG, no dependency."""

import math
from collections.abc import Callable, Iterable, Iterator
from html import escape
from typing import TypeAlias

from tillit_server.signing.key_moves import instant
from tillit_server.signing.keyring import DAY, Entry, KeyRing, State

WIDTH, LEFT, TOP, ROW, BAR = 1040, 210, 84, 34, 18
RIGHT = WIDTH - 24
COLOURS = {State.ANNOUNCED: "#9fc5e8", State.ACTIVE: "#1b6e3c", State.RETIRING: "#e0a030"}
WORDS = {
    State.ANNOUNCED: "announced: published, not signing yet",
    State.ACTIVE: "active: signs",
    State.RETIRING: "retiring: published until its last token has died",
}
NEAR = 4
"""Short stretches, such as an hour's retirement in a drawing of months, are drawn so wide that they show."""


_Place: TypeAlias = Callable[[float], float]


def draw(ring: KeyRing, now: float) -> str:
    """An SVG document of the keys that are published at ``now``, from their announcement to their end."""
    rows = [entry for entry in ring.entries if entry.state(now) is not State.GONE]
    rows.sort(key=lambda entry: (entry.alg, entry.active_from))
    begin, end = _bounds(rows, now)
    scale = (RIGHT - LEFT) / (end - begin)

    def x(at: float) -> float:
        return round(LEFT + (min(max(at, begin), end) - begin) * scale, 1)

    bottom = TOP + ROW * len(rows)
    place = f'viewBox="0 0 {WIDTH} {bottom + 48}" role="img" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {place} font-family="system-ui, sans-serif">',
        f"<title>Signing keys as planned at {instant(now)}</title>",
        f'<rect width="{WIDTH}" height="{bottom + 48}" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="17" fill="#1a1a1a">Signing keys as planned at {instant(now)}</text>',
        *_legend(),
        *_ticks(begin, end, bottom, x),
    ]
    for number, entry in enumerate(rows):
        parts += _row(entry, TOP + ROW * number, end, now, x)
    mark = x(now)
    parts += [
        f'<line x1="{mark}" y1="{TOP - 12}" x2="{mark}" y2="{bottom}" stroke="#b00020" stroke-width="2"/>',
        f'<text x="{mark}" y="{TOP - 16}" text-anchor="middle" fill="#b00020">now</text>',
        "</svg>\n",
    ]
    return "\n".join(parts)


def _bounds(rows: Iterable[Entry], now: float) -> tuple[float, float]:
    known = [
        at
        for entry in rows
        for at in (entry.announced_at, entry.active_from, entry.retire_from, entry.gone_at)
        if at is not None
    ]
    begin, end = min([*known, now]), max([*known, now + DAY])
    margin = (end - begin) * 0.06
    # The past is told as far as it helps to read what comes.
    return max(begin, now - (end - now)) - margin, end + margin


def _legend() -> Iterator[str]:
    at = 16.0
    for state, words in WORDS.items():
        yield f'<rect x="{at}" y="40" width="14" height="14" rx="3" fill="{COLOURS[state]}"/>'
        yield f'<text x="{at + 20}" y="52" fill="#444444">{words}</text>'
        at += 44 + 6.3 * len(words)


def _ticks(begin: float, end: float, bottom: int, x: _Place) -> Iterator[str]:
    days = (end - begin) / DAY
    step = next((n for n in (1, 7, 14, 30, 60, 90, 180, 365) if days / n <= 8), 730) * DAY  # noqa: PLR2004 (lines)
    at = math.ceil(begin / DAY) * DAY
    while at < end:
        mark, day = x(at), instant(at)[:10]
        yield f'<line x1="{mark}" y1="{TOP - 8}" x2="{mark}" y2="{bottom}" stroke="#e4e4e4"/>'
        yield f'<text x="{mark}" y="{bottom + 18}" text-anchor="middle" fill="#666666">{day}</text>'
        at += step


def _row(entry: Entry, top: int, end: float, now: float, x: _Place) -> Iterator[str]:
    label = f"{entry.alg} {entry.kid[:10]}…"
    yield f'<text x="16" y="{top + 14}" fill="#1a1a1a" font-family="monospace">{escape(label)}</text>'
    stops = [entry.revoked_at, entry.gone_at]
    last = min([at for at in stops if at is not None], default=end)
    bounds = (entry.announced_at, entry.active_from, entry.retire_from or last, last)
    yield f"<g><title>{escape(_told(entry, now))}</title>"
    for state, first, until in zip(COLOURS, bounds, bounds[1:], strict=False):
        until = min(until, last)  # noqa: PLW2901  (a revoked key ends before its time)
        if until > first and x(until) >= x(first):
            width = round(max(x(until) - x(first), NEAR), 1)
            yield (
                f'<rect x="{x(first)}" y="{top}" width="{width}" height="{BAR}" rx="3" '
                f'fill="{COLOURS[state]}"/>'
            )
    yield "</g>"


def _told(entry: Entry, now: float) -> str:
    told = [
        f"{entry.kid} ({entry.alg}): {entry.state(now).value}",
        f"signs from {instant(entry.active_from)}",
    ]
    if entry.retire_from is not None:
        told.append(f"until {instant(entry.retire_from)}")
    if entry.gone_at is not None:
        told.append(f"published until {instant(entry.gone_at)}")
    if entry.revoked_at is not None:
        told.append(f"revoked from {instant(entry.revoked_at)}")
    return ", ".join(told)
