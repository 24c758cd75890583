"""Traces by OpenTelemetry: a span for each request, sent to a collector by OTLP over HTTP.

Loaded only where ``traces_url`` is set (the extra ``otel``). What a span may say stands here, on one page,
and each value is ours: a name of the code, a status, an id that we made or an operator registered. Nothing of
a request's address, headers or body, no person and no token gets into one. No request waits for the
collector: what it does not take in time is dropped, and counted.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tillit import __version__
from tillit_server.issuer.client_authentication import AuthenticatedClient
from tillit_server.issuer.grants import GRANTS
from tillit_server.issuer.limiting import Addresses
from tillit_server.metrics import outcome_of
from tillit_server.tracing import TRACE

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_SPANS: Final = 2_048
"""That wait to be sent; what comes then is dropped."""

_METHODS: Final = frozenset({"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"})
_GRANT_NAMES: Final = {grant: name for name, grant in GRANTS.items()}
_CLOSING: Final = 1.0
_FAULT: Final = 500

_log = logging.getLogger("tillit.traces")

Count = Callable[[str, int], None]


class RequestTrace:
    """`tracing.Trace` as a span; for one thread. One that is not sampled has an id and says nothing."""

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self.id = f"{span.get_span_context().trace_id:032x}"
        self.span = span
        self._tracer = tracer
        self._within = span
        self._recording = span.is_recording()

    def passed(self, step: str, fact: object) -> None:
        """An event; of the facts, the client that has proven itself and its grant."""
        if not self._recording:
            return
        self.span.add_event(step)
        if isinstance(fact, AuthenticatedClient):
            self.span.set_attribute("tillit.client_id", fact.client.id)
        elif step == "known_grant" and fact in _GRANT_NAMES:
            self.span.set_attribute("tillit.grant_type", _GRANT_NAMES[fact])

    def refused(self, step: str) -> None:
        """An attribute: there is one at most."""
        self.span.set_attribute("tillit.refused_by", step)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A span within that of whatever is under way."""
        if not self._recording:
            yield
            return
        around = self._within
        span = self._within = self._tracer.start_span(name, set_span_in_context(around))
        try:
            yield
        except Exception as error:
            # By its kind alone: the text of an exception may echo input.
            span.set_attribute("tillit.failed", type(error).__name__)
            raise
        finally:
            self._within = around
            span.end()

    def end(self, status: int, code: str | None, error_id: str | None) -> None:
        """The answer is known."""
        if self._recording:
            told = {"tillit.error": code, "tillit.error_id": error_id}
            self.span.set_attributes({
                "http.response.status_code": status,
                "tillit.outcome": outcome_of(status),
                **{name: value for name, value in told.items() if value},
            })  # fmt: skip
            if status >= _FAULT:
                self.span.set_status(Status(StatusCode.ERROR))
            self.span.end()


class Traces:
    """The traces of one worker. ``count`` hears how many spans were ``sent``, ``failed`` or ``dropped``.

    ``sampled``: which share of the requests. ``proxies``: whose ``traceparent`` (W3C Trace Context) is taken
    over, with its word on sampling; nobody's if None. The standard variables ``OTEL_EXPORTER_OTLP_…``
    (headers, certificates, timeout, compression), ``OTEL_SERVICE_NAME``, ``OTEL_RESOURCE_ATTRIBUTES`` and
    ``OTEL_BSP_SCHEDULE_DELAY`` are heeded.
    """

    def __init__(self, url: str, *, sampled: float, proxies: Addresses | None, count: Count) -> None:
        # Both say every few seconds that a collector is away; we say it once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        resource = Resource.create({"service.version": __version__})
        if "service.name" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
            name = os.environ.get("OTEL_SERVICE_NAME") or "tillit"
            resource = resource.merge(Resource({"service.name": name}))
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sampled)),
            resource=resource,
            span_limits=SpanLimits(max_span_attributes=32, max_events=64, max_span_attribute_length=256),
            shutdown_on_exit=False,
        )
        session = requests.Session()
        session.trust_env = False  # no proxy and no password of the environment
        self._provider.add_span_processor(_Bounded(OTLPSpanExporter(url, session=session), count))
        self._tracer = self._provider.get_tracer("tillit", __version__)
        self._proxies = proxies
        self._parent = TraceContextTextMapPropagator()

    @contextmanager
    def request(self, environ: "WSGIEnvironment", endpoint: str) -> Iterator[RequestTrace]:
        """The trace of a request at ``endpoint``, which is a name of ours; this thread's while it lasts."""
        context = None
        if self._proxies is not None and self._proxies.passed(environ):
            # Without its tracestate, which may hold anything.
            context = self._parent.extract({"traceparent": environ.get("HTTP_TRACEPARENT", "")})
        method = environ["REQUEST_METHOD"]
        method = method if method in _METHODS else "_OTHER"
        span = self._tracer.start_span(f"{method} {endpoint}", context, SpanKind.SERVER)
        span.set_attribute("http.request.method", method)
        trace = RequestTrace(self._tracer, span)
        token = TRACE.set(trace)
        try:
            yield trace
        finally:
            TRACE.reset(token)

    def close(self) -> None:
        """Send what waits, for a second at most."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(_CLOSING)


class _Sending(SpanExporter):
    """An exporter that counts, and says once when a collector goes away."""

    def __init__(self, exporter: SpanExporter, taken: Callable[[int], None], count: Count) -> None:
        self._exporter = exporter
        self._taken = taken
        self._count = count
        self._away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._taken(len(spans))
        try:
            result = self._exporter.export(spans)
        except Exception:  # noqa: BLE001 (whatever it is, they were not sent)
            result = SpanExportResult.FAILURE
        sent = result is SpanExportResult.SUCCESS
        self._count("sent" if sent else "failed", len(spans))
        if self._away is sent:
            self._away = not sent
            _log.log(
                logging.INFO if sent else logging.WARNING, "traces are %s", "sent" if sent else "not sent"
            )
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _Bounded(BatchSpanProcessor):
    """The library's processor, whose queue cannot overflow unseen."""

    def __init__(self, exporter: SpanExporter, count: Count) -> None:
        self._mutex = threading.Lock()
        self._waiting = 0
        self._count = count
        super().__init__(_Sending(exporter, self._taken, count), max_queue_size=MAX_SPANS)

    def on_end(self, span: ReadableSpan) -> None:
        """Have it sent some time, or drop it; waits for nobody."""
        with self._mutex:
            dropped = self._waiting >= MAX_SPANS
            self._waiting += not dropped
        if dropped:
            self._count("dropped", 1)
        else:
            super().on_end(span)

    def _taken(self, spans: int) -> None:
        with self._mutex:
            self._waiting -= spans
