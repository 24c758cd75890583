"""The log: one JSON object per line on standard error, escaped and capped (threat X6).

It is for operation, not the audit: nothing personal and no token is ever written here.
"""

import logging
import os
import re
import sys
import threading
from types import TracebackType
from typing import Any

import orjson

from tillit_server.tracing import TRACE

_CAP = 2000
_MAX_INT = 2**53
_STANDARD_ERROR = 2
ROOT = "tillit"

# What a terminal obeys, what some readers take for the end of a line, what turns the direction of a text.
_AWKWARD = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


class JsonLines(logging.Formatter):
    """Renders a record as one line; ``extra={"event": {...}}`` adds members."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON: every control character is escaped, every text is capped."""
        line: dict[str, Any] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _capped(_message(record)),
        }
        if trace := TRACE.get():
            line["trace_id"] = trace.id
        event = getattr(record, "event", None)
        if isinstance(event, dict):
            line.update({str(name): _capped(value) for name, value in event.items() if value is not None})
        if record.exc_info and record.exc_info[0] is not None:
            # The text of an exception may echo input; its kind and place are enough to find the fault.
            line["exception"] = record.exc_info[0].__name__
            line["at"] = _place(record.exc_info[2])
        return _AWKWARD.sub(_escaped, orjson.dumps(line, option=orjson.OPT_NON_STR_KEYS).decode())


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        # A slip in a call of the log would cost the line, and write a traceback with its arguments instead.
        return str(record.msg)


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _capped(value: object) -> object:
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) <= _MAX_INT):
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


class _NotAboutThreads(logging.Filter):
    """Drops granian's advice on the number of threads: it is ours to choose, and we chose."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Configuration allows spawning up to")


class StandardError(logging.Handler):
    """Writes each line to standard error at once.

    Without a stream of Python's: the lock of its buffer, unlike that of a handler, stays held for good in a
    worker that is forked while another thread writes.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write all of the line."""
        try:
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
            while line:
                line = line[os.write(_STANDARD_ERROR, line) :]
        except Exception:  # noqa: BLE001 (as in the library's own handlers: no request fails for want of a log)
            self.handleError(record)


SERVER_LOGGING: dict[str, Any] = {
    "filters": {"quiet": {"()": _NotAboutThreads}},
    "formatters": {"lines": {"()": JsonLines}},
    "handlers": {
        "lines": {
            "()": StandardError,
            "formatter": "lines",
            "filters": ["quiet"],
        }
    },
    "loggers": {
        name: {"handlers": ["lines"], "level": "INFO", "propagate": False}
        for name in ("_granian", "granian.access")
    },
}
"""What the production server is told, so that its lines look like ours."""


def set_up_logging(level: int = logging.INFO) -> None:
    """Send the service's log to standard error as JSON lines.

    Warnings of libraries and exceptions that nobody caught go the same way: a traceback would break the
    lines, and could hold what a request held.
    """
    handler = StandardError()
    handler.setFormatter(JsonLines())
    service = logging.getLogger(ROOT)
    service.handlers[:] = [handler]
    service.setLevel(level)
    service.propagate = False
    logging.getLogger().handlers[:] = [handler]
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _uncaught(
    kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None
) -> None:
    if issubclass(kind, SystemExit | KeyboardInterrupt):
        return
    logging.getLogger(ROOT).critical("uncaught", exc_info=(kind, error or kind(), traceback))
