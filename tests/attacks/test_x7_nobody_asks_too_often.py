"""X7: limits for each client and each address; they fail open, and what must be sure does not."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from limits.storage import MemoryStorage

from support.backstage import SELF_SERVICE, Backstage, eventually
from support.managed import ManagedService, managed
from support.service import http, http_json
from support.wire import FORM
from tillit.protocol.errors import OAuthError
from tillit_server.issuer.limiting import Addresses, RateLimits, parse_limits
from tillit_server.issuer.request import Request
from tillit_server.issuer.shared_limits import MAX_COUNTED, SharedLimits
from tillit_server.issuer.steps import Refused
from tillit_server.issuer.token_endpoint import issue_token, judge_token_request
from tillit_server.issuer.worker_memory import WorkerMemory
from tillit_server.metrics import Meters
from tillit_server.storage.ports import StorageUnavailable
from tillit_server.storage.spending import Count

SETTINGS = {
    "client_limits": ["token=5/hour", "introspection=2/hour"],
    "address_limits": [
        "token=1000/hour",
        "authorize=3/hour",
        "par=3/hour",
        "explain=3/hour",
        "client_secret=3/hour",
        "end_session=3/hour",
    ],
    "trusted_proxies": ["127.0.0.1"],
}


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagedService]:
    """A service with one worker and small limits, behind a proxy on loopback."""
    with managed(tmp_path_factory.mktemp("limited"), workers=1, settings=SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def behind(strict: ManagedService) -> Iterator[Backstage]:
    """Registers clients of it."""
    opened = Backstage(strict)
    yield opened
    opened.close()


def said(status: int, headers: Mapping[str, str], body: dict[str, str]) -> bool:
    """Whether this is the answer to somebody who asks too often."""
    assert (status == 429) == ("Retry-After" in headers), (status, dict(headers))
    if status == 429:
        assert 1 <= int(headers["Retry-After"]) <= 3600
        assert body["error"] == "temporarily_unavailable"
        assert body["error_id"] == headers["Error-Id"]
        assert headers["Cache-Control"] == "no-store"
    return status == 429


def test_x7_a_client_that_asks_too_often_waits(behind: Backstage, strict: ManagedService):
    """After its share a client gets 429, with a way back and an id that the log knows; others are served."""
    busy, other = behind.client(), behind.client()
    for _ in range(5):
        assert busy.send(busy.form(busy.assertion(), scope=SELF_SERVICE), busy.proof(nonce=...)).status in {
            200,
            400,
        }
    answer = busy.send(busy.form(busy.assertion(), scope=SELF_SERVICE), busy.proof(nonce=...))
    assert said(answer.status, answer.headers, answer.json)
    assert eventually(lambda: answer.headers["Error-Id"] in strict.log())
    assert other.send(other.form(other.assertion(), scope=SELF_SERVICE), other.proof()).status == 200


def test_x7_nobody_uses_up_anothers_share(behind: Backstage):
    """Requests that only claim to be a client's, with a wrong signature, take nothing from it."""
    victim, forger = behind.client(), behind.client()
    victim.nonce()
    for _ in range(20):
        forged = forger.assertion(iss=victim.client_id, sub=victim.client_id)
        assert victim.send(victim.form(forged, scope=SELF_SERVICE), victim.proof()).status == 401
    assert victim.send(victim.form(victim.assertion(), scope=SELF_SERVICE), victim.proof()).status == 200


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/connect/par"), ("POST", "/explain"), ("POST", "/v1/client-secret")]
)
def test_x7_an_address_that_asks_too_often_waits(method: str, path: str, strict: ManagedService):
    """Three requests from an address are answered, the fourth not; another address is served, nothing is read."""

    def ask(address: str) -> bool:
        headers = {"X-Forwarded-For": address, "Content-Type": FORM}
        status, given, body = http(method, strict.origin + path, headers=headers, body=b"client_id=somebody")
        if given["Content-Type"] == "application/problem+json":
            return status == json.loads(body)["status"] == 429 and "Retry-After" in given
        return said(status, given, json.loads(body))

    name = f"2001:db8:{len(path):x}:{ord(path[-1]):x}::"
    assert [ask(f"{name}{number}") for number in range(1, 6)] == [False] * 3 + [True] * 2
    assert not ask("192.0.2.200")
    assert strict.total("tillit_limited_total", what="refused") >= 2


@pytest.mark.parametrize(("asked", "title"), [("nn,en;q=0.5", "Vent litt"), ("en", "Wait a little")])
@pytest.mark.parametrize("path", ["/connect/authorize", "/connect/endsession"])
def test_x7_a_person_who_asks_too_often_reads_a_page(
    path: str, asked: str, title: str, strict: ManagedService
):
    """At pages 429 is one, in both languages, with how long to wait and an id that the log knows."""
    headers = {"X-Forwarded-For": f"198.18.{len(path)}.{len(asked)}", "Accept-Language": asked}
    for _ in range(3):
        assert http("GET", strict.origin + path + "?client_id=canary", headers=headers)[0] != 429
    status, given, body = http("GET", strict.origin + path + "?client_id=canary", headers=headers)
    page = body.decode()
    assert (status, given["Content-Type"]) == (429, "text/html; charset=utf-8")
    assert (given["Cache-Control"], given["X-Frame-Options"]) == ("no-store", "DENY")
    assert f"<h1>{title}" in page
    assert f'<dd id="wait">{given["Retry-After"]}</dd>' in page
    assert f'<code id="error-id">{given["Error-Id"]}</code>' in page
    assert "canary" not in page
    assert eventually(lambda: given["Error-Id"] in strict.log())


def test_x7_x5_a_sender_cannot_choose_his_address(strict: ManagedService):
    """What the sender wrote into the header before the proxy did is not believed."""
    url, spent = strict.origin + "/connect/authorize", []
    for number in range(6):
        forwarded = f"198.51.100.{number}, 203.0.113.7, 127.0.0.1"
        spent.append(http("GET", url, headers={"X-Forwarded-For": forwarded})[0] == 429)
    assert spent == [False] * 3 + [True] * 3


def test_x7_what_has_no_limit_is_always_served(strict: ManagedService):
    """Keys and metadata, which have no limit here, are served however often somebody asks."""
    for _ in range(30):
        headers = {"X-Forwarded-For": "192.0.2.1"}
        assert (
            http_json("GET", strict.origin + "/.well-known/openid-configuration/jwks", headers=headers)[0]
            == 200
        )


def test_x7_introspection_has_its_own_count(behind: Backstage, strict: ManagedService):
    """A share is of one endpoint: the third introspection waits, a token does not."""
    ehr, statuses = behind.client(), []
    ehr.nonce()
    for _ in range(3):
        form = ehr.form(ehr.assertion(), token="x", grant_type=...)
        status, _, _ = http(
            "POST",
            strict.issuer + "/connect/introspect",
            headers={"Content-Type": FORM},
            body=urlencode(form).encode(),
        )
        statuses.append(status)
    assert (statuses[-1], 429 in statuses[:2]) == (429, False)
    assert ehr.send(ehr.form(ehr.assertion(), scope=SELF_SERVICE), ehr.proof()).status == 200


class Away(WorkerMemory):
    """A storage that fails while it is told to."""

    away = True

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count, or fail."""
        if self.away:
            raise ConnectionError("canary")
        return super().incr(key, expiry, amount)


def test_x7_a_limiter_that_cannot_count_lets_all_pass(caplog: pytest.LogCaptureFixture):
    """While its store is away nobody waits; that is counted each time and logged once, without a word of the fault."""
    storage, meters = Away(), Meters()
    limits = RateLimits(
        parse_limits(["token=1/hour"], ["token"]), names={"/token": "token"}, storage=storage, meters=meters
    )
    for _ in range(50):
        limits.require_client("https://a.example/token", "ehr")
    (unjudged,) = [s for m in meters.read() for s in m.samples if s.name == "tillit_limited_total"]
    assert (unjudged.value, unjudged.labels["what"]) == (50, "unjudged")
    assert [record.message for record in caplog.records] == ["limits cannot be counted, all pass"]
    storage.away = False
    limits.require_client("https://a.example/token", "ehr")
    with pytest.raises(OAuthError) as refused:
        limits.require_client("https://a.example/token", "ehr")
    assert refused.value.status == 429


def test_x7_replay_stays_closed_while_the_limiter_is_open(behind: Backstage):
    """With a limiter that fails, a repeated assertion is refused as ever."""
    limits = RateLimits(
        parse_limits(["token=1/hour"], ["token"]), names={"/connect/token": "token"}, storage=Away()
    )
    services, ehr = replace(behind.services, limits=limits), behind.client()
    form = ehr.form(ehr.assertion(), scope=SELF_SERVICE)
    requests = [Request(services.token_endpoint, form, dpop=(ehr.proof(),)) for _ in range(3)]
    issue_token(judge_token_request(requests[0], services))
    for again in requests[1:]:
        with pytest.raises(Refused) as refused:
            judge_token_request(again, services)
        assert refused.value.error.code == "invalid_client"


@pytest.mark.parametrize("storage", [WorkerMemory, MemoryStorage], ids=["ours", "the library's"])
def test_x7_windows_are_the_librarys(storage: type):
    """Our memory counts as the library's own does."""
    limits = RateLimits(parse_limits(["par=2/minute"], ["par"]), names={"/par": "par"}, storage=storage())
    for who in ("a", "b"):
        limits.require_client("/par", who)
        limits.require_client("/par", who)
        with pytest.raises(OAuthError):
            limits.require_client("/par", who)


def test_x7_a_window_ends():
    """At the end of the window, and not a second before, the share is whole again."""
    now = [0.0]
    memory = WorkerMemory(lambda: now[0])
    limits = RateLimits(
        parse_limits(["par=1/minute"], ["par"]), names={"/par": "par"}, storage=memory, now=lambda: now[0]
    )
    limits.require_client("/par", "a")
    now[0] = 59.9
    with pytest.raises(OAuthError) as refused:
        limits.require_client("/par", "a")
    assert dict(refused.value.headers)["Retry-After"] == "1"
    now[0] = 60.0
    limits.require_client("/par", "a")


def test_x3_x7_a_million_addresses_fit():
    """However many ask, so many are counted at a time."""
    memory = WorkerMemory()
    for number in range(MAX_COUNTED + 1_000):
        memory.incr(str(number), 60)
    assert memory.reset() == MAX_COUNTED


class Together:
    """What hosts tell each other, without the hosts: counts in windows that begin with their first count."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[list[Count]] = []
        self.answer: Any = None
        self._totals: dict[tuple[str, str], tuple[int, float]] = {}

    def __call__(self, counts: Sequence[Count]) -> Any:
        """Count, or give the answer that a test wants."""
        self.asked.append(list(counts))
        if self.answer is not None:
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer
        heard = []
        for count in counts:
            total, until = self._totals.get((count.name, count.who), (0, 0.0))
            total, until = (total, until) if self.now < until else (0, self.now + count.seconds)
            self._totals[count.name, count.who] = total + count.more, until
            heard.append((total + count.more, until - self.now))
        return heard

    def hosts(self, limit: str, number: int = 2) -> list[RateLimits]:
        """Workers of so many hosts with one limit at one endpoint."""
        return [
            RateLimits(
                parse_limits([limit], ["token"]),
                names={"/token": "token"},
                storage=WorkerMemory(lambda: self.now),
                now=lambda: self.now,
                shared=SharedLimits(self, lambda: self.now),
            )
            for _ in range(number)
        ]


def passes(host: RateLimits, who: str = "ehr") -> bool:
    """Whether one more request does."""
    try:
        host.require_client("/token", who)
    except OAuthError as refused:
        return not 1 <= int(dict(refused.headers)["Retry-After"]) <= 3600
    return True


def test_x7_two_hosts_share_one_count_and_one_window():
    """Ten an hour at one host are none at the other, until the window ends for both."""
    together = Together()
    first, second = together.hosts("token=10/hour")
    assert all(passes(first) for _ in range(10))
    assert passes(second)  # who comes for the first time is not known yet
    for host in (first, second):
        host.shared.tell()
    assert not passes(first)
    assert not passes(second)
    assert passes(second, "other")
    together.now = 3600.0
    assert passes(first)
    assert passes(second)


def test_x7_nobody_is_told_of_who_is_far_from_a_limit():
    """A sender is told of from a 64th of the limit on; until then nothing goes to the server."""
    together = Together()
    (host,) = together.hosts("token=64000/hour", 1)
    assert all(passes(host) for _ in range(999))
    host.shared.tell()
    assert together.asked == []
    assert passes(host)
    host.shared.tell()
    host.shared.tell()
    assert [(count.who, count.more) for (count,) in together.asked] == [("ehr", 1000)]


@pytest.mark.parametrize(
    "answer",
    [StorageUnavailable("away"), [], [(1, 1.0)] * 2, [("canary", 1.0)], [(1,)], 7, [(None, None)]],
    ids=str,
)
def test_x7_a_server_with_two_faces_takes_nothing_away(answer: Any, caplog: pytest.LogCaptureFixture):
    """Whatever it answers, the limits of each worker hold, nobody waits, and what was not told is told later."""
    together = Together()
    first, second = together.hosts("token=5/hour")
    together.answer = answer
    assert [passes(first) for _ in range(7)] == [True] * 5 + [False] * 2
    for _ in range(3):
        first.shared.tell()
    assert not first.shared.well
    assert passes(second)
    assert len([record for record in caplog.records if "not shared" in record.message]) == 1
    assert "canary" not in "".join(record.getMessage() for record in caplog.records)
    together.answer = None
    first.shared.tell()
    second.shared.tell()
    assert first.shared.well
    assert not passes(second)


@pytest.mark.parametrize("answer", [[(10**18, 10.0**18)], [(-(10**18), -1.0)], [(5, float("inf"))]], ids=str)
def test_x7_a_count_that_is_absurd_ends_with_its_window(answer: Any):
    """However many a server says there were, and for how long, after a window a sender is served again."""
    together = Together()
    (host,) = together.hosts("token=5/hour", 1)
    passes(host)
    together.answer = answer
    host.shared.tell()
    together.now = 3600.0
    assert passes(host)


def test_x3_x7_shared_counts_are_bounded():
    """However many senders come, so many are kept, and so many are told of at once."""
    together = Together()
    (host,) = together.hosts("token=1/hour", 1)
    for number in range(MAX_COUNTED + 10):
        host.shared.take(parse_limits(["token=1/hour"], ["token"])["token"], "client token", str(number))
    host.shared.tell()
    assert len(host.shared._shares) == MAX_COUNTED
    assert [len(asked) for asked in together.asked] == [1000]


@pytest.mark.parametrize(
    ("peer", "header", "counted_by"),
    [
        ("192.0.2.9", None, "192.0.2.9"),
        ("192.0.2.9", "203.0.113.7", "192.0.2.9"),
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("10.0.0.1", "2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.1", "::ffff:203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", None, None),
        ("10.0.0.1", "", None),
        ("10.0.0.1", "unknown", None),
        ("10.0.0.1", "203.0.113.7, \r\nx", None),
        ("", None, None),
    ],
)
def test_x5_x7_whose_address_it_is(peer: str, header: str | None, counted_by: str | None):
    """Only a trusted proxy is believed, only its own word, and IPv6 counts by network."""
    environ = {"REMOTE_ADDR": peer} | ({} if header is None else {"HTTP_X_FORWARDED_FOR": header})
    assert Addresses(["10.0.0.0/8"]).of(environ) == counted_by


def test_x7_a_proxy_that_was_not_named_is_not_everybody():
    """Without a trusted proxy, what comes from loopback is not counted: it would be everybody at once."""
    assert Addresses().of({"REMOTE_ADDR": "127.0.0.1"}) is None
    assert Addresses().of({"REMOTE_ADDR": "192.0.2.9", "HTTP_X_FORWARDED_FOR": "1.2.3.4"}) == "192.0.2.9"


def test_x7_limits_that_are_none_are_refused():
    """A limit for nobody, of nothing, or given twice does not start."""
    for words in (["tokens=5/minute"], ["token"], ["token=0/minute"], ["token=x"], ["token=1/minute"] * 2):
        with pytest.raises(ValueError, match=r".+"):
            parse_limits(words, {"token"})
