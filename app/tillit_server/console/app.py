"""Every URL of the management port, on one page."""

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger("tillit.console")

LIVE_PATH: Final = "/health/live"
READY_PATH: Final = "/health/ready"
METRICS_PATH: Final = "/metrics"
_JSON: Final = "application/json"
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"

Page = Callable[[], tuple[str, str, bytes]]
Report = Callable[[], tuple[bool, dict[str, Any]]]


def make_console(*, live: Report, ready: Report, metrics: Callable[[], bytes]) -> "WSGIApplication":
    """The application of the management port: three documents to be read, nothing to be changed.

    ``live``, ``ready``: whether, and the report; 200 or 503. ``metrics``: in Prometheus' text format.
    """
    pages: dict[str, Page] = {
        LIVE_PATH: lambda: _report(live),
        READY_PATH: lambda: _report(ready),
        METRICS_PATH: lambda: ("200 OK", _TEXT, metrics()),
    }

    def console(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        page = pages.get(environ["PATH_INFO"])
        extra: list[tuple[str, str]] = []
        if page is None:
            status, kind, body = "404 Not Found", _JSON, b'{"error":"not_found"}'
        elif environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            status, kind, body = "405 Method Not Allowed", _JSON, b'{"error":"method_not_allowed"}'
            extra = [("Allow", "GET, HEAD")]
        else:
            try:
                status, kind, body = page()
            except Exception:  # noqa: BLE001 (the one place that turns whatever it is into an answer)
                _log.exception("fault in the console")
                status, kind, body = "500 Internal Server Error", _JSON, b'{"error":"server_error"}'
        start_response(
            status,
            [
                ("Content-Type", kind),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
                ("Server", "tillit"),  # else the library tells its own name and version, and Python's
                *extra,
            ],
        )
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    return console


def _report(look: Report) -> tuple[str, str, bytes]:
    well, report = look()
    return ("200 OK" if well else "503 Service Unavailable"), _JSON, orjson.dumps(report)
