"""A collector of traces for tests: a real OTLP/HTTP receiver that reads what it is sent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from support.backstage import eventually


@dataclass(frozen=True)
class Seen:
    """A span as it came."""

    name: str
    trace: str
    ident: bytes
    parent: bytes
    attributes: dict[str, Any]
    events: list[str]
    resource: dict[str, Any]


@dataclass
class Collector:
    """``answers`` is cleared to make it hang, ``status`` is what it answers."""

    status: int = 200
    bodies: list[bytes] = field(default_factory=list)
    spans: list[Seen] = field(default_factory=list)
    answers: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def take(self, body: bytes) -> None:
        """Read a batch."""
        self.bodies.append(body)
        for batch in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _values(batch.resource.attributes)
            self.spans += [
                Seen(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id,
                    span.parent_span_id,
                    _values(span.attributes),
                    [event.name for event in span.events],
                    resource,
                )
                for scope in batch.scope_spans
                for span in scope.spans
            ]

    def whole(self, trace: str) -> list[Seen]:
        """The spans of a trace, the request's own first, as soon as that has come."""

        def found() -> list[Seen]:
            spans = [span for span in self.spans if span.trace == trace]
            spans.sort(key=lambda span: bool(span.attributes.get("http.request.method")), reverse=True)
            return spans if spans and "http.request.method" in spans[0].attributes else []

        spans = eventually(found, seconds=20)
        assert spans, trace
        return spans

    def requests(self, **attributes: Any) -> list[Seen]:
        """Requests whose spans have these attributes; dots are written as two underscores."""
        wanted = {name.replace("__", "."): value for name, value in attributes.items()}
        return [span for span in self.spans if wanted.items() <= span.attributes.items()]


def _values(attributes: Any) -> dict[str, Any]:
    return {
        attribute.key: getattr(attribute.value, attribute.value.WhichOneof("value"))
        for attribute in attributes
    }


@contextmanager
def collecting(**given: Any) -> Iterator[Collector]:
    """One that listens."""
    collector = Collector(**given)
    collector.answers.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.answers.wait(60)
            if collector.status == 200:
                collector.take(body)
            self.send_response(collector.status)
            self.send_header("Content-Type", "application/x-protobuf")
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    collector.url = f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
    try:
        yield collector
    finally:
        collector.answers.set()
        server.shutdown()
        server.server_close()
