"""The log: one JSON object per line on standard error, escaped and capped (threat X6).

It is for operation, not the audit: nothing personal and no token is ever written here.
"""

import logging
import sys
from typing import Any

import orjson

_CAP = 2000
ROOT = "tillit"


class JsonLines(logging.Formatter):
    """Renders a record as one line; ``extra={"event": {...}}`` adds members."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON: every control character is escaped, every text is capped."""
        line: dict[str, Any] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _capped(record.getMessage()),
        }
        event = getattr(record, "event", None)
        if isinstance(event, dict):
            line.update({str(name): _capped(value) for name, value in event.items() if value is not None})
        if record.exc_info and record.exc_info[0] is not None:
            # The text of an exception may echo input; its kind and place are enough to find the fault.
            line["exception"] = record.exc_info[0].__name__
            line["at"] = _place(record.exc_info[2])
        return (
            orjson.dumps(line, option=orjson.OPT_NON_STR_KEYS)
            .decode()
            .replace("\u2028", "\\u2028")
            .replace("\u2029", "\\u2029")
        )


def _capped(value: object) -> object:
    if isinstance(value, int | float | bool):
        return value
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= _CAP else text[:_CAP] + "…"


def _place(traceback: Any) -> str:
    places: list[str] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    return " > ".join(places[-6:])


def set_up_logging(level: int = logging.INFO) -> None:
    """Send the service's log to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger(ROOT)
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
