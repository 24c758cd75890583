"""Metrics of a running service: they count what happened, and no request can choose a label."""

import re
from collections.abc import Iterator

import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr, eventually
from support.ehr import attestation
from support.managed import ManagedService, managed
from support.pages import DOCS, code_words, read, section, tables
from support.service import http
from support.wire import exchange
from tillit_server.issuer.login.authorization_steps import AUTHORIZATION_STEPS
from tillit_server.issuer.login.pushed_requests import PAR_STEPS
from tillit_server.issuer.token_endpoint import TOKEN_STEPS
from tillit_server.metrics import CODES, MAX_SERIES, NONE, OTHER, Meters, exposition, packed
from tillit_server.web.urls import endpoint_names

STEPS = {step.__name__ for step in (*TOKEN_STEPS, *PAR_STEPS, *AUTHORIZATION_STEPS)}
CLOSED = {
    "endpoint": {*endpoint_names("").values(), OTHER},
    "outcome": {"answered", "refused", "limited", "failed"},
    "code": {*CODES, NONE, OTHER},
    "step": {*STEPS, "settle", "translate", OTHER},
    "client": {"known", "stranger", OTHER},
    "worker": {"1", "2"},
    "state": {"wanted", "answering"},
    "part": {"store", "keys", "secrets", "audit", "clock"},
    "ring": {"signing", "secrets"},
    "limit": set(),
    "what": set(),
    "days": {"0", "1", "7", "14", "30"},
    "alg": {"ES256", "RS256"},
}
CANARIES = ("canary", "05825031016", "14857527039", "SKOGSTJERNE", "310000019")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagedService]:
    """A service with two workers and a management port."""
    with managed(tmp_path_factory.mktemp("metered")) as running:
        yield running


@pytest.fixture(scope="module")
def ehr(service: ManagedService) -> Iterator[SwiftEhr]:
    """A client whose id would be noticed."""
    backstage = Backstage(service)
    yield backstage.client(client_id="client-canary")
    backstage.close()


def test_every_answer_is_counted_once(service: ManagedService, ehr: SwiftEhr):
    """Tokens, refusals and settlements add up over both workers, with the code that was answered."""
    ehr.nonce()

    def totals() -> list[float]:
        endpoint = {"endpoint": "token"}
        return [
            service.total("tillit_requests_total", outcome="answered", **endpoint),
            service.total("tillit_requests_total", outcome="refused", code="invalid_scope", **endpoint),
            service.total("tillit_request_seconds_count", **endpoint),
            service.total("tillit_refusals_total", step="narrowed_scope", client="known"),
            service.total("tillit_refusals_total", step="unseen", client="known"),
            service.total("tillit_refusals_total", client="stranger", code="invalid_client"),
        ]

    before = totals()
    for _ in range(8):
        assert ehr.send(ehr.form(ehr.assertion(), scope=SELF_SERVICE), ehr.proof()).status == 200
    for _ in range(3):
        assert ehr.send(ehr.form(ehr.assertion(), scope="no:such"), ehr.proof()).status == 400
    form = ehr.form(ehr.assertion(), scope=SELF_SERVICE)
    assert ehr.send(form, ehr.proof()).status == 200
    assert ehr.send(form, ehr.proof()).status == 401
    assert ehr.send({**form, "client_id": "somebody"}, ehr.proof()).status == 401
    expected = [9, 3, 14, 3, 1, 1]
    assert eventually(lambda: [a - b for a, b in zip(totals(), before, strict=True)] == expected), totals()


def test_what_an_operator_watches_is_there(service: ManagedService):
    """Instants of keys, ages of rings, parts, writes and connections have plausible values from each worker."""
    assert eventually(lambda: service.total("tillit_workers", state="answering") == 2, seconds=15)
    assert service.total("tillit_ready") == 1
    assert service.total("tillit_keys_announced", alg="ES256") == 2  # one, seen by two workers
    for sample in service.samples():
        match sample.name:
            case "tillit_key_rotation_seconds":
                assert 0 < sample.value < 400 * 86_400
            case "tillit_ring_age_seconds":
                assert 0 <= sample.value < 86_400
            case "tillit_part_ok":
                assert sample.value == 1
            case "tillit_disk_free_bytes" | "tillit_audit_slot":
                assert sample.value > 0
            case "tillit_open_connections":
                assert 0 <= sample.value < 1_000
    names = {sample.name for sample in service.samples()}
    assert {"tillit_commit_seconds_sum", "tillit_settlement_seconds_count", "tillit_clock_seconds"} <= names
    assert "tillit_clients_expiring" in names


def test_u5_no_request_can_choose_a_label(service: ManagedService, ehr: SwiftEhr):
    """Whatever strangers and clients send, labels stay in their closed sets and nothing of a request is in them."""
    hostile = ('canary"}\n# HELP x', "canary\\", "0582503 1016", "\u202ecanary")
    for text in hostile:
        ehr.send(ehr.form(ehr.assertion(), client_id=text, grant_type=text, scope=text), ehr.proof())
        ehr.send(ehr.form(ehr.assertion(jti=text), grant_type=text), ehr.proof())
        ehr.send(ehr.form(ehr.assertion(), scope=text), ehr.proof())
    ehr.token(attestation(patients__0__identifier__id="05825031016"))
    ehr.token(attestation())
    for number in range(30):
        http("GET", f"{service.origin}/canary-{number}?canary={number}")
        http("POST", f"{service.origin}/connect/introspect", body=b"token=canary")
    for method in ("CANARY", "BREW"):
        exchange(service, f"{method} /canary HTTP/1.1\r\nHost: canary\r\nConnection: close\r\n\r\n".encode())
    body = http("GET", service.management + "/metrics")[2].decode()
    assert not [canary for canary in CANARIES if canary in body]
    for sample in service.samples():
        for label, value in sample.labels.items():
            if label == "le":
                assert re.fullmatch(r"[0-9.]+|\+Inf", value)
            elif label == "step":
                assert re.fullmatch("[a-z_]{3,40}", value), value
            else:
                assert value in CLOSED[label], (sample.name, label, value)
    series = [s for s in service.samples() if s.name == "tillit_requests_total"]
    assert len(series) < 2 * 60


def test_x3_the_number_of_series_has_a_limit():
    """Even if a step or an endpoint were named by a request, a counter has so many series and no more."""
    meters = Meters()
    for number in range(5 * MAX_SERIES):
        meters.refused(f"step-{number}", f"code-{number}", known=False)
        meters.limited(f"limit-{number}", "refused")
    lines = exposition({"1": packed(meters.read())}, []).decode().splitlines()
    for name in ("tillit_refusals_total", "tillit_limited_total"):
        series = [line for line in lines if line.startswith(name)]
        assert len(series) <= MAX_SERIES + 1
        assert sum(float(line.rpartition(" ")[2]) for line in series) == 5 * MAX_SERIES
    assert not [line for line in lines if "code-" in line]


def test_k6_fetches_of_published_keys_are_counted():
    """How many fetches of clients' keys have ended well, and how many in which way not."""
    meters = Meters()
    for outcome in ("fetched", "fetched", "timed_out"):
        meters.keys_fetched(outcome)
    text = exposition({"1": packed(meters.read())}, []).decode()
    assert 'tillit_client_key_fetches_total{outcome="fetched",worker="1"} 2.0' in text
    assert 'tillit_client_key_fetches_total{outcome="timed_out",worker="1"} 1.0' in text


def test_every_code_of_ours_has_its_label():
    """What the service answers with, as the catalogue of errors lists it, is counted under its own name."""
    rows = tables(section(read(DOCS / "errors.md"), "## Codes of the token service"))
    listed = {word for cells in rows for word in code_words(cells[0])}
    assert listed <= CODES <= {*listed, "invalid_token", "insufficient_scope"}


def test_one_worker_more_is_one_label_more():
    """Each worker's series stand beside the others', under one description."""
    one, two = Meters(), Meters()
    one.answered("token", 200, None, 0.01)
    two.answered("token", 200, None, 0.01)
    two.answered("token", 429, "temporarily_unavailable", 0.01)
    text = exposition({"1": packed(one.read()), "2": packed(two.read())}, []).decode()
    assert text.count("# TYPE tillit_requests_total counter") == 1
    assert 'code="none",endpoint="token",outcome="answered",worker="2"} 1.0' in text
    assert 'outcome="limited",worker="2"} 1.0' in text
