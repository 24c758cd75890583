"""Traces: what a span of a request says, what it never says, and that no request waits for a collector."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.backstage import SELF_SERVICE, Backstage, eventually
from support.collector import Collector, Seen, collecting
from support.ehr import attestation
from support.managed import ManagedService
from support.pages import DOCS, code_words, read, section, tables
from support.relying_party import RelyingParty
from support.service import http
from support.visitor import Visitor
from support.wire import FORM
from tillit_server.config import SettingsError, load_settings
from tillit_server.issuer.limiting import Addresses
from tillit_server.issuer.token_endpoint import TOKEN_STEPS
from tillit_server.serving import traces
from tillit_server.serving.otlp import MAX_SPANS, Traces
from tillit_server.tracing import TRACE
from tillit_server.web.door import Door

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"
PERSONS = ("14857527039", "05825031016", "KLAR", "SKOGSTJERNE", "DUGNAD")


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """A collector that is well."""
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[ManagedService]:
    """A service behind a proxy on loopback, which sends its traces there."""
    settings = {"traces_url": collector.url, "traces_from_proxy": True, "trusted_proxies": ["127.0.0.1"]}
    running = ManagedService(tmp_path_factory.mktemp("traced"), workers=1, settings=settings, patience=5.0)
    running.environment |= {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_RESOURCE_ATTRIBUTES": "region=north"}
    with running:
        yield running


@pytest.fixture(scope="module")
def behind(service: ManagedService) -> Iterator[Backstage]:
    """Registers clients of it."""
    opened = Backstage(service)
    yield opened
    opened.close()


def asked(
    behind: Backstage, collector: Collector, trace: str = TRACE_ID, **form: Any
) -> tuple[Any, list[Seen]]:
    """The answer to a request for a token, and the spans that it left."""
    ehr = behind.client()
    headers = {"traceparent": TRACEPARENT.replace(TRACE_ID, trace)}
    answer = ehr.send(
        ehr.form(ehr.assertion(), **{"scope": SELF_SERVICE, **form}), ehr.proof(), headers=headers
    )
    return answer, collector.whole(trace)


def test_a_request_is_a_span_with_its_steps(behind: Backstage, collector: Collector):
    """A token: the proxy's trace goes on, every step is an event in its order, the settlement a span within."""
    answer, (request, *within) = asked(behind, collector, "a" * 32)
    assert answer.status == 200
    assert (request.name, request.parent.hex()) == ("POST token", PARENT_ID)
    assert request.events == [step.__name__ for step in TOKEN_STEPS]
    client_id = request.attributes.pop("tillit.client_id")
    assert client_id.startswith("client-")
    assert request.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "tillit.outcome": "answered",
        "tillit.grant_type": "client_credentials",
    }
    assert [(span.name, span.parent) for span in within] == [("settle", request.ident)]
    assert (request.resource["service.name"], request.resource["region"]) == ("tillit", "north")


def test_a_refusal_is_found_by_its_error_id(behind: Backstage, collector: Collector, service: ManagedService):
    """Error, error id and the step stand in the span, and the line of the log has the id of the trace."""
    answer, (request, *_) = asked(behind, collector, "b" * 32, scope="nhn:nothing/at-all")
    assert answer.status == 400
    assert request.attributes["tillit.error"] == answer.error == "invalid_scope"
    assert request.attributes["tillit.error_id"] == answer.headers["Error-Id"]
    assert request.attributes["tillit.refused_by"] == "narrowed_scope"
    assert request.attributes["tillit.outcome"] == "refused"
    assert "accepted_attestation" not in request.events
    error_id = answer.headers["Error-Id"]
    assert eventually(lambda: error_id in service.log())
    (line,) = [line for line in service.log().splitlines() if error_id in line]
    assert json.loads(line)["trace_id"] == "b" * 32


def test_g12_no_span_says_anything_about_a_person(
    behind: Backstage, collector: Collector, service: ManagedService
):
    """Canaries in every place of every request, logins included: none is in what the collector was sent."""
    ehr, canary = behind.client(), "canary"
    assert RelyingParty.development(service).tokens(Visitor(service)).status == 200
    ehr.token(attestation())
    ehr.token(attestation(practitioner__identifier__id="14857527038", canary=canary))
    ehr.token(scope=canary)
    ehr.token(grant_type=canary)
    ehr.send(ehr.form(ehr.assertion(jti=canary, sub=canary), client_id=canary), ehr.proof(jti=canary))
    ehr.send(ehr.form(ehr.assertion(header={"kid": canary})), ehr.proof(header={"canary": canary}))
    ehr.explain(attestation(patients__0__identifier__id="05825031017", canary=canary))
    headers = {
        "User-Agent": canary,
        "X-Forwarded-For": "203.0.113.77",
        "Content-Type": FORM,
        "Authorization": f"DPoP {canary}",
        "tracestate": f"vendor={canary}",
        "baggage": f"who={canary}",
        "traceparent": TRACEPARENT,
        "Cookie": f"__Host-tillit={canary}",
    }
    paths = ("authorize", "login", "login/callback", "endsession", "par", "introspect", "revocation", canary)
    for path in paths:
        for method, body in (("GET", None), ("POST", b"client_id=canary&token=canary"), ("CANARY", None)):
            http(method, f"{service.issuer}/connect/{path}?state={canary}", headers=headers, body=body)
    http("GET", f"{service.issuer}/connect/userinfo", headers=headers)
    _, last = asked(behind, collector, "c" * 32)
    assert collector.whole(TRACE_ID)

    sent = b"".join(collector.bodies)
    assert {"POST token", "GET authorize", "GET callback", "_OTHER login"} <= {
        s.name for s in collector.spans
    }
    for secret in (canary, canary.upper(), *PERSONS, "203.0.113.77", ehr.nonce(), "eyJ"):
        assert secret.encode() not in sent, secret
    rows = tables(section(read(DOCS / "operating.md"), "## Traces"))
    documented = {name for cells in rows for name in code_words(cells[0])}
    assert documented - {name for span in collector.spans for name in span.attributes} == {"tillit.failed"}
    assert {name for span in collector.spans for name in span.attributes} < documented
    assert last


def test_what_is_sent_is_counted(behind: Backstage, collector: Collector, service: ManagedService):
    """The metrics know how many spans were sent; the log has no line of the library."""
    asked(behind, collector, "d" * 32)
    assert eventually(lambda: service.total("tillit_spans_total", what="sent") >= 3)
    assert service.total("tillit_spans_total", what="dropped") == 0
    assert "opentelemetry" not in service.log()


def traces_to(url: str, **given: Any) -> tuple[Traces, dict[str, int]]:
    """Traces of this process, and what they count."""
    counted: dict[str, int] = {"sent": 0, "failed": 0, "dropped": 0}

    def count(what: str, number: int) -> None:
        counted[what] += number

    return Traces(url, **{"sampled": 1.0, "proxies": None, "count": count, **given}), counted


def door_with(kept: Traces | None) -> Door:
    """A door whose application answers at once."""

    def app(_: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b""]

    return Door(app, places=4, judged=(), names={"/x": "token"}, traces=kept)


def ask(door: Door, **more: str) -> None:
    """One request."""
    door({"REQUEST_METHOD": "GET", "PATH_INFO": "/x", "CONTENT_LENGTH": "", **more}, lambda *_: None)


@pytest.mark.parametrize("trouble", ["hangs", "refuses", "away"])
def test_no_request_waits_for_a_collector(trouble: str, monkeypatch: pytest.MonkeyPatch):
    """One that hangs, refuses or is away: all requests are answered, and what was not sent is counted."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with collecting(status=400 if trouble == "refuses" else 200) as collector:
        if trouble == "hangs":
            collector.answers.clear()
        kept, counted = traces_to(collector.url if trouble != "away" else "http://127.0.0.1:9/v1/traces")
        door, wanted = door_with(kept), 2 * MAX_SPANS if trouble == "hangs" else 600
        begun = time.monotonic()
        for _ in range(wanted):
            ask(door)
        took = time.monotonic() - begun
        if trouble == "hangs":
            # All but those that wait and those under way; a slow machine has given some up meanwhile.
            assert counted["dropped"] + counted["failed"] >= MAX_SPANS - 2 * 512
        else:
            assert eventually(lambda: counted["failed"] > 0, seconds=20)
        assert counted["sent"] == 0
        assert took < 60  # a second of each would be an hour
        begun = time.monotonic()
        kept.close()
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("peer", "header", "goes_on"),
    [
        ("10.0.0.1", TRACEPARENT, True),
        ("192.0.2.9", TRACEPARENT, False),
        ("10.0.0.1", TRACEPARENT + "," + TRACEPARENT, False),
        ("10.0.0.1", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", False),
        ("10.0.0.1", "canary", False),
        ("10.0.0.1", "\u0660" * 55, False),
    ],
)
def test_x5_only_a_trusted_proxy_continues_a_trace(peer: str, header: str, goes_on: bool):
    """A ``traceparent`` of anybody else, and one that is none, begins nothing but a new trace."""
    with collecting() as collector:
        kept, _ = traces_to(collector.url, proxies=Addresses(["10.0.0.0/8"]))
        ask(door_with(kept), REMOTE_ADDR=peer, HTTP_TRACEPARENT=header)
        kept.close()
        (span,) = collector.spans
    assert (span.trace == TRACE_ID) == goes_on
    assert bool(span.parent) == goes_on


def test_what_is_not_sampled_is_not_sent_and_has_an_id():
    """With a share of nothing no span leaves, and a line of the log can still be found by its request."""
    with collecting() as collector:
        kept, counted = traces_to(collector.url, sampled=0.0)
        environ = {"REQUEST_METHOD": "GET"}
        with kept.request(environ, "token") as trace:
            assert TRACE.get() is trace
            assert len(trace.id) == 32
            trace.passed("known_grant", None)
            with trace.part("settle"):
                pass
            trace.end(200, None, None)
        assert TRACE.get() is None
        kept.close()
    assert (collector.spans, counted["sent"]) == ([], 0)


def test_parts_of_threads_do_not_mix():
    """Requests of many threads at once: every part is in the span of its own request."""
    with collecting() as collector:
        kept, _ = traces_to(collector.url)

        def serve() -> None:
            for _ in range(20):
                with kept.request({"REQUEST_METHOD": "GET"}, "token") as trace:
                    with trace.part("settle"), trace.part("redis spend"):
                        pass
                    trace.end(200, None, None)

        threads = [threading.Thread(target=serve) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        kept.close()
        spans = {span.ident: span for span in collector.spans}
    assert len(spans) == 480
    for span in spans.values():
        if span.name == "redis spend":
            settle = spans[span.parent]
            assert (settle.name, spans[settle.parent].trace) == ("settle", span.trace)


def test_nothing_is_loaded_where_nobody_wants_traces():
    """The service without the setting never imports the library."""
    program = (
        "import sys, tillit_server.serving.service, tillit_server.wiring;"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_traces_without_the_library_stop_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """One line with the command; and the standard switch turns traces off."""
    settings = load_settings(
        flags={"dev": True, "data": tmp_path, "traces_url": "http://127.0.0.1:4318/v1/traces"}
    )
    assert traces.wants_traces(settings)
    monkeypatch.setattr(traces, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r'pip install "tillit\[server,otel\]"'):
        traces.wants_traces(settings)
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not traces.wants_traces(settings)


@pytest.mark.parametrize(
    "given",
    [
        {"traces_url": "collector:4318"},
        {"traces_url": "http://user:canary@collector/v1/traces"},
        {"traces_url": "http://collector/v1/traces?key=canary"},
        {"traces_url": "http://[canary/v1"},
        {"traces_url": "http://collector:port/"},
        {"traces_sampled": "2"},
        {"traces_sampled": "nan"},
        {"traces_from_proxy": "true"},
    ],
)
def test_settings_of_traces_are_checked(given: dict[str, str], tmp_path: Path):
    """An address that cannot be one, a share that is none, trust in nobody: one line, which repeats no address."""
    with pytest.raises(SettingsError) as refused:
        load_settings(flags={"dev": True, "data": tmp_path, **given})
    (fault,) = refused.value.faults
    assert fault.startswith(next(iter(given)))
    assert "canary" not in fault
