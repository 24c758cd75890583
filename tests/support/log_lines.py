"""The log of a service, held against its promise: one short JSON object a line, nothing a terminal obeys."""

import json
import unicodedata

LONGEST_LINE = 20_000
LEVELS = frozenset({"debug", "info", "warning", "error", "critical"})
AWKWARD = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs"})


def lines_of(text: str) -> list[dict[str, object]]:
    """The log, line by line; asserts that each line is one short JSON object that no terminal obeys."""
    entries = []
    for line in text.split("\n")[:-1]:
        assert len(line) < LONGEST_LINE, line[:200]
        assert not [c for c in line if unicodedata.category(c) in AWKWARD], line[:200]
        entry = json.loads(line)
        assert {"time", "level", "logger", "message"} <= entry.keys(), line
        assert entry["level"] in LEVELS
        entries.append(entry)
    return entries
