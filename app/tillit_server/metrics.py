"""What is counted: every metric of a worker, on one page, with labels that nobody outside can choose.

A label's value comes from the code (an endpoint, an outcome, an OAuth code of ours, a step), never from a
request: nothing personal can be in it, and the number of series has a limit.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

OTHER: Final = "other"
NONE: Final = "none"
MAX_SERIES: Final = 400
"""Of one counter; what would be one more counts as ``other``."""

CODES: Final = frozenset({
    # RFC 6749 §4.1.2.1, §5.2; RFC 6750 §3.1
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
    "invalid_scope", "access_denied", "unsupported_response_type", "server_error",
    "temporarily_unavailable", "invalid_token", "insufficient_scope",
    # RFC 8707 §2, RFC 9101 §6.2, RFC 9396 §5, RFC 9449 §5 and §8
    "invalid_target", "invalid_request_object", "invalid_request_uri", "invalid_authorization_details",
    "invalid_dpop_proof", "use_dpop_nonce",
    # self-service of client keys
    "invalid_key",
    # OpenID Connect Core §3.1.2.6, Unmet Authentication Requirements 1.0
    "login_required", "unmet_authentication_requirements",
})  # fmt: skip
"""What we answer with (docs/errors.md); whatever else there may be counts as ``other``."""

_REQUEST_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_WRITE_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def outcome_of(status: int) -> str:
    """``answered``, ``refused``, ``limited`` or ``failed``."""
    if status < HTTPStatus.BAD_REQUEST:
        return "answered"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "limited"
    return "refused" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "failed"


class _Bounded:
    """A counter whose children are found fast, and are so many at most."""

    def __init__(self, counter: Counter, labels: int) -> None:
        self._counter = counter
        self._others = (OTHER,) * labels
        self._children: dict[tuple[str, ...], Any] = {}

    def count(self, *labels: str) -> None:
        child = self._children.get(labels)
        if child is None:
            if len(self._children) >= MAX_SERIES:
                labels = self._others
            child = self._children[labels] = self._counter.labels(*labels)
        child.inc()


class Meters:
    """The counters of one worker. Safe for threads."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        requests = Counter(
            "tillit_requests", "Requests answered.", ("endpoint", "outcome", "code"), registry=registry
        )
        refusals = Counter(
            "tillit_refusals",
            "Refusals, by the step that refused.",
            ("step", "code", "client"),
            registry=registry,
        )
        limited = Counter(
            "tillit_limited",
            "Requests over a limit, or not judged by it.",
            ("limit", "what"),
            registry=registry,
        )
        self._key_fetches = Counter(
            "tillit_client_key_fetches",
            "Fetches of keys that clients publish, by how they ended.",
            ("outcome",),
            registry=registry,
        )
        self._spans = Counter(
            "tillit_spans", "Spans of traces, by what became of them.", ("what",), registry=registry
        )
        self._seconds = Histogram(
            "tillit_request_seconds", "From a request that is here whole to its answer.", ("endpoint",),
            buckets=_REQUEST_SECONDS, registry=registry,
        )  # fmt: skip
        self._timed: dict[str, Any] = {}
        self._requests, self._refusals = _Bounded(requests, 3), _Bounded(refusals, 3)
        self._limited = _Bounded(limited, 2)
        settlements = Histogram(
            "tillit_settlement_seconds", "A settlement, with its wait for others.",
            buckets=_WRITE_SECONDS, registry=registry,
        )  # fmt: skip
        commits = Histogram(
            "tillit_commit_seconds", "One transaction of what lasts, until it is on disk.",
            buckets=_WRITE_SECONDS, registry=registry,
        )  # fmt: skip
        self.settled, self.committed = settlements.observe, commits.observe

    def answered(self, endpoint: str, status: int, code: str | None, seconds: float) -> None:
        """A request: where, with which status and OAuth code, after how long."""
        self._requests.count(endpoint, outcome_of(status), _code(code))
        timed = self._timed.get(endpoint)
        if timed is None:
            timed = self._timed[endpoint] = self._seconds.labels(endpoint)
        timed.observe(seconds)

    def refused(self, step: str, code: str, *, known: bool) -> None:
        """A refusal by a step of ours; ``known``: of a client that had proven itself."""
        self._refusals.count(step, _code(code), "known" if known else "stranger")

    def limited(self, limit: str, what: str) -> None:
        """A request over a limit (``refused``), or one that no limiter could judge (``unjudged``)."""
        self._limited.count(limit, what)

    def keys_fetched(self, outcome: str) -> None:
        """A fetch of a client's keys: ``fetched``, or which of our own words for failures."""
        self._key_fetches.labels(outcome).inc()

    def spans(self, what: str, count: int) -> None:
        """Spans that were ``sent``, ``failed`` or ``dropped``."""
        self._spans.labels(what).inc(count)

    def read(self) -> list[Metric]:
        """Every series as it stands."""
        return list(self._registry.collect())


def _code(code: str | None) -> str:
    return NONE if code is None else code if code in CODES else OTHER


def gauge(name: str, text: str, values: Mapping[str, float], label: str = "") -> Metric:
    """A reading: one value for each value of ``label``, or just one where there is no label."""
    family = GaugeMetricFamily(name, text, labels=[label] if label else [])
    for of, value in values.items():
        family.add_metric([of] if label else [], value)
    return family


def packed(metrics: Iterable[Metric]) -> list[dict[str, Any]]:
    """Metrics in a form that goes through JSON."""
    return [
        {
            "name": metric.name,
            "text": metric.documentation,
            "type": metric.type,
            "samples": [
                [sample.name, sample.labels, sample.value]
                for sample in metric.samples
                if not sample.name.endswith("_created")
            ],
        }
        for metric in metrics
    ]


class _Merged(Collector):
    def __init__(self, workers: Mapping[str, Iterable[Mapping[str, Any]]], own: Iterable[Metric]) -> None:
        self._workers = workers
        self._own = own

    def collect(self) -> Iterable[Metric]:
        yield from self._own
        families: dict[str, Metric] = {}
        for worker, metrics in self._workers.items():
            for metric in metrics:
                name = metric["name"]
                family = families.setdefault(name, Metric(name, metric["text"], metric["type"]))
                for sample, labels, value in metric["samples"]:
                    family.add_sample(sample, {**labels, "worker": worker}, value)
        yield from families.values()


def exposition(workers: Mapping[str, Iterable[Mapping[str, Any]]], own: Iterable[Metric]) -> bytes:
    """Prometheus' text: of each worker what it has ``packed``, under its number, and the service's own.

    A worker that was replaced begins again at zero, as any process does; its series are its own, so a sum of
    rates is right all the same.
    """
    registry = CollectorRegistry()
    registry.register(_Merged(workers, own))
    return generate_latest(registry)
