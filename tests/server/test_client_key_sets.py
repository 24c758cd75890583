"""Keys that clients publish themselves: when they are fetched, how long they serve, and what is not taken."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest

from support.backstage import eventually
from support.in_process import House
from support.key_publisher import KeyPublisher, jwks
from support.store_faults import Failing
from tillit.outbound.addresses import Reach
from tillit.outbound.guarded import Guarded
from tillit.outbound.transport import Request, Response, TransportError
from tillit.protocol.errors import OAuthError
from tillit.protocol.gate import UnverifiedJWS
from tillit.protocol.jose import PublicKey, generate_key
from tillit_server.issuer.clients import key_fetching
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.clients.key_fetching import FETCHED, ClientKeySets
from tillit_server.issuer.clients.key_sets import LEASE, MAX_STALE, RETRY, UNKNOWN_REST
from tillit_server.issuer.clients.keys import BY_OPERATOR
from tillit_server.issuer.clients.registration import register
from tillit_server.issuer.clients.renewal import KeyRefused, with_key
from tillit_server.storage.ports import StorageUnavailable

KEY, NEXT = generate_key("ES256"), generate_key("ES256")
IDS = count(1)
JWK_SET = (("Content-Type", "application/jwk-set+json"),)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """An installation whose clock the tests move."""
    opened = House(tmp_path_factory.mktemp("house"))
    yield opened
    opened.close()


@pytest.fixture
def publisher() -> Iterator[KeyPublisher]:
    """A client's server, which publishes one good key."""
    with KeyPublisher(KEY) as running:
        yield running


class Worker:
    """One worker's view of one client that publishes its keys."""

    def __init__(self, house: House, client: Client, sets: ClientKeySets, outcomes: list[str]) -> None:
        self.house, self.client, self.sets, self.outcomes = house, client, sets, outcomes

    def keys(self, kid: str | None = None) -> list[str]:
        """The ids of the keys that may have signed a token that names ``kid``."""
        return [key.kid for key in self.found(kid)]

    def found(self, kid: str | None = None) -> tuple[PublicKey, ...]:
        """The keys themselves."""
        header = {"alg": "ES256", **({} if kid is None else {"kid": kid})}
        keys: Any = self.sets.keys_of(self.client, self.house.now())
        found: tuple[PublicKey, ...] = keys(UnverifiedJWS(header, {}, b"", b""))
        return found

    def refused(self, kid: str | None = None) -> OAuthError:
        """The refusal while there are no keys."""
        with pytest.raises(OAuthError) as caught:
            self.found(kid)
        assert (caught.value.status, caught.value.code) == (503, "temporarily_unavailable")
        return caught.value

    def known(self) -> Any:
        """What is known of the set."""
        return self.sets.known_of(self.client)


def registered(house: House, uri: str, **members: Any) -> Client:
    """A new client that publishes its keys at ``uri``."""
    name = f"publisher-{next(IDS)}"
    house.client(name, keys=(), jwks_uri=uri, **members)
    client = house.services.clients.find(name)
    assert client is not None
    return client


def worker(house: House, client: Client, send: Callable[[Request], Response] | None = None) -> Worker:
    """A worker of the installation, with an own way out if it is given one."""
    outcomes: list[str] = []
    sets = ClientKeySets(
        house.services.store,
        house.services.audit,
        house.services.clock,
        send=send or Guarded(Reach(plain_loopback=True), total_seconds=2),
        waiting=2,
        on_fetch=outcomes.append,
    )
    return Worker(house, client, sets, outcomes)


@pytest.fixture
def one(house: House, publisher: KeyPublisher) -> Worker:
    """A worker that has not seen the keys yet."""
    return worker(house, registered(house, publisher.uri))


@pytest.mark.parametrize(("said", "kept"), [(None, 300), (1, 60), (120, 120), (31_536_000, 3600)])
def test_keys_are_kept_as_long_as_their_publisher_says(
    house: House, publisher: KeyPublisher, one: Worker, said: int | None, kept: int
):
    """For max-age, but a minute at least and an hour at most; then the next request has them fetched anew."""
    publisher.publishes(KEY, max_age=said)
    seen = []
    for wait in (0, kept - 1, 1):
        house.wait(wait)
        assert one.keys() == [KEY.kid]
        seen.append(len(publisher.asked))

    assert seen == [1, 1, 2]
    assert one.outcomes == [FETCHED] * 2


def test_nothing_is_fetched_before_it_is_needed(house: House, publisher: KeyPublisher):
    """A registration asks nobody, and neither does whoever looks at what is known."""
    client = registered(house, publisher.uri)

    assert worker(house, client).known().fetched_at is None
    assert publisher.asked == []


def test_j5_a_new_key_is_found_when_it_is_used(house: House, publisher: KeyPublisher, one: Worker):
    """An unknown key id has the keys fetched at once; a key that is gone signs no more."""
    one.keys()
    publisher.publishes(NEXT)

    assert one.keys(NEXT.kid) == [NEXT.kid]
    assert one.keys(KEY.kid) == [NEXT.kid]
    assert len(publisher.asked) == 2


def test_j5_ten_thousand_unknown_key_ids(house: House, publisher: KeyPublisher):
    """Unknown key ids have the keys fetched once in five minutes, by all workers together."""
    client = registered(house, publisher.uri)
    workers = [worker(house, client) for _ in range(2)]
    workers[0].keys()
    for number in range(10_000):
        assert workers[number % 2].keys(f"unknown-{number}") == [KEY.kid]
        if number % 100 == 0 and number < 2_900:
            house.wait(1)
    assert len(publisher.asked) == 2

    house.wait(UNKNOWN_REST - 29)
    for each in workers:
        each.keys("unknown")
    assert len(publisher.asked) == 3


def test_k6_the_last_good_set_serves_for_a_day(house: House, publisher: KeyPublisher, one: Worker):
    """While its server fails a client goes on with the last good keys, for a day; then it is refused, until 200."""
    one.keys()
    publisher.says(b"", status=500)
    house.wait(MAX_STALE - 1)
    assert one.keys() == [KEY.kid]
    house.wait(1)
    refusal = one.refused()
    assert dict(refusal.headers)["Retry-After"] == str(round(RETRY) - 1)
    assert "bad_status: 500" in refusal.detail

    publisher.publishes(NEXT)
    house.wait(RETRY)
    assert one.keys() == [NEXT.kid]


def test_k6_a_failing_server_is_left_in_peace(house: House, publisher: KeyPublisher, one: Worker):
    """After a failure nobody is asked for half a minute, whoever wants what."""
    publisher.says(b"", status=500)
    for kid in (None, "a", "b", None):
        one.refused(kid)
    assert len(publisher.asked) == 1
    house.wait(RETRY)
    one.refused()
    assert len(publisher.asked) == 2


def set_of(*entries: Any) -> bytes:
    """A key set with these entries."""
    return json.dumps({"keys": entries}).encode()


GOOD = dict(KEY.public.jwk)
PRIVATE = {"d": "x" * 43, "k": "x" * 43, "p": "AQAB", "oth": []}
BAD_SETS: dict[str, tuple[bytes, str]] = {
    "not JSON": (b"<html>", "bad_document: not valid JSON"),
    "truncated": (jwks(KEY)[:-3], "bad_document: not valid JSON"),
    "no set": (b"[]", "bad_document: not a JSON object"),
    "no keys": (b"{}", "bad_document: keys: not a JWK set"),
    "one key bare": (json.dumps(GOOD).encode(), "bad_document: keys: not a JWK set"),
    "empty": (set_of(), "bad_document: no usable key"),
    "no object": (set_of(7), "bad_document: keys[0]: not a JWK"),
    "a member twice": (jwks(KEY)[:-1] + b',"keys":[]}', "bad_document"),
    "deep": (b'{"keys":[{"x":' + b"[" * 60 + b"]" * 60 + b"}]}", "bad_document"),
    "10,000 keys": (b'{"keys":[' + b"{}," * 9_999 + b"{}]}", "bad_document: keys: too many keys"),
    "5 MB": (b" " * 5_000_000, "too_large"),
    "a key id twice": (
        set_of(GOOD, {**NEXT.public.jwk, "kid": KEY.kid}),
        "bad_document: keys[1].kid: key id used",
    ),
    "symmetric": (set_of(GOOD, {"kty": "oct", "kid": "s"}), "bad_document: jwk.kty: symmetric key"),
    "for encryption": (set_of({**GOOD, "use": "enc"}), "bad_document: no usable key"),
    "not ours to use": (set_of({**GOOD, "alg": "HS256"}, {"kty": "XX"}), "bad_document: no usable key"),
    **{
        f"private {name}": (set_of(GOOD, {**NEXT.public.jwk, name: value}), f"private_key: jwk.{name}")
        for name, value in PRIVATE.items()
    },
}


@pytest.mark.parametrize("name", BAD_SETS)
def test_k6_a_bad_set_changes_nothing(house: House, publisher: KeyPublisher, one: Worker, name: str):
    """Whatever is wrong with a set, the last good one stays, and what was wrong is known."""
    body, reason = BAD_SETS[name]
    one.keys()
    publisher.says(body)
    house.wait(300)

    assert one.keys(NEXT.kid) == [KEY.kid]
    assert one.known().failure.startswith(reason)
    assert one.known().failure.isprintable()


@pytest.mark.parametrize(
    "media_type", ["text/html", "text/plain", "application/jwk-set+jsonp", "", "application/jwt"]
)
def test_k6_only_a_key_set_is_a_key_set(house: House, publisher: KeyPublisher, one: Worker, media_type: str):
    """What does not say that it is a key set, or JSON at least, is not read (RFC 7517 §8.5.1)."""
    publisher.says(jwks(KEY), media_type=media_type)
    one.refused()
    assert one.known().failure.startswith("bad_document: Content-Type")


@pytest.mark.parametrize("media_type", ["application/json", "application/JWK-Set+json; charset=utf-8"])
def test_what_says_that_it_is_a_key_set(house: House, publisher: KeyPublisher, one: Worker, media_type: str):
    """The type is compared without regard to case and parameters."""
    publisher.says(jwks(KEY), media_type=media_type)
    assert one.keys() == [KEY.kid]


def test_j16_a_weak_key_is_left_out(
    house: House, publisher: KeyPublisher, one: Worker, caplog: pytest.LogCaptureFixture
):
    """A weak key, or one for something else, is not among the keys, and the log names it with the reason."""
    x = GOOD["x"]
    weak = [
        {"kty": "RSA", "kid": "short", "n": "v" * 170 + "w", "e": "AQAB"},
        {"kty": "RSA", "kid": "e3", "n": "v" * 341 + "w", "e": "Aw"},
        {**GOOD, "kid": "off-curve", "y": x},
        {**GOOD, "kid": "other-curve", "crv": "P-256K"},
        {"kty": "OKP", "kid": "low-order", "crv": "Ed25519", "x": "A" * 43},
        {**GOOD, "kid": "encrypts", "use": "enc"},
    ]
    publisher.says(set_of(*weak, GOOD))
    with caplog.at_level(logging.INFO, "tillit.client_keys"):
        assert one.keys() == [KEY.kid]
    reasons = [str(record.__dict__["event"].get("reason", "")) for record in caplog.records]
    assert [reason.split(":")[0].split(".")[0] for reason in reasons if reason] == [
        f"keys[{n}]" for n in range(6)
    ]
    assert "keys[0].n: RSA modulus of a size not allowed" in reasons


def test_u5_the_log_names_the_host_and_no_more(
    house: House, publisher: KeyPublisher, caplog: pytest.LogCaptureFixture
):
    """Path and query of the address are in no line, whether it went well or not."""
    client = registered(house, f"{publisher.uri}/canary-path?canary=query")
    each = worker(house, client)
    with caplog.at_level(logging.INFO, "tillit.client_keys"):
        each.keys()
        publisher.says(b"canary", media_type="canary/type")
        house.wait(300)
        each.keys()
    lines = [(record.getMessage(), record.__dict__["event"]) for record in caplog.records]
    assert [event["outcome"] for _, event in lines] == [FETCHED, "bad_document"]
    assert {event["host"] for _, event in lines} == {"127.0.0.1"}
    assert "canary" not in repr(lines)


def entries(house: House, event: str, client: Client) -> list[Any]:
    """What the audit has of one kind about a client."""
    found = [
        entry
        for head in house.services.store.journal.heads()
        for entry in house.services.audit.read(head.slot)
    ]
    return [e.public for e in found if e.event == event and e.public.get("client_id") == client.id]


def test_a_change_of_keys_is_in_the_audit(house: House, publisher: KeyPublisher, one: Worker):
    """Other keys than before leave an entry that names them; the same keys again leave none."""
    for keys in ([KEY], [KEY], [KEY, NEXT]):
        publisher.publishes(*keys)
        house.wait(300)
        one.keys()
    changes = entries(house, "registry.client_key.published", one.client)

    assert [entry["kids"] for entry in changes] == [[KEY.kid], [KEY.kid, NEXT.kid]]
    assert {entry["operator"] for entry in changes} == {"service"}


def test_k6_a_published_private_key_raises_an_alarm(house: House, publisher: KeyPublisher, one: Worker):
    """A set that shows a private key is refused, and the alarm is raised once and not at every fetch."""
    publisher.publishes(KEY, d="x" * 43)
    for _ in range(3):
        one.refused()
        house.wait(RETRY)
    assert len(publisher.asked) == 3
    assert [entry["where"] for entry in entries(house, "issuer.key.exposed", one.client)] == ["jwks"]


def test_what_one_worker_has_fetched_all_know(house: House, publisher: KeyPublisher):
    """Other workers, and the same one after a restart, have the keys without asking."""
    client = registered(house, publisher.uri)
    for each in [worker(house, client) for _ in range(3)]:
        assert each.keys() == [KEY.kid]

    assert len(publisher.asked) == 1


def test_many_at_once_fetch_once(house: House, publisher: KeyPublisher):
    """However many requests on however many workers want the keys in the same instant, one of them fetches."""
    client = registered(house, publisher.uri)
    workers = [worker(house, client) for _ in range(3)]
    together = threading.Barrier(6)

    def ask(each: Worker) -> list[str]:
        together.wait(30)
        return each.keys()

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, workers * 2)) == [[KEY.kid]] * 6
    assert len(publisher.asked) == 1


def test_a_worker_that_died_fetching_is_replaced(house: House, publisher: KeyPublisher, one: Worker):
    """Whoever set out and never came back is waited for no longer than its lease."""
    asking = one.known().asking(None, house.now())
    house.services.store.records.put("client_keys", one.client.id, asking.to_record(), expect=0)
    house.wait(LEASE)

    assert one.keys() == [KEY.kid]


def test_another_address_is_another_set(house: House, publisher: KeyPublisher, one: Worker):
    """A client that is registered anew with another address has no keys from the old one."""
    one.keys()
    with KeyPublisher(NEXT) as other:
        moved = registered(house, other.uri)
        client = Client(
            **{name: getattr(moved, name) for name in Client.__dataclass_fields__} | {"id": one.client.id}
        )
        register(house.services, client, replace=True, operator="test", reason="test")
        assert Worker(house, client, one.sets, []).keys() == [NEXT.kid]
        assert len(other.asked) == 1


def test_k6_a_slow_server_stops_nobody_else(
    house: House, publisher: KeyPublisher, monkeypatch: pytest.MonkeyPatch
):
    """Two requests may wait for keys; the next is refused at once, and another client's keys are used meanwhile."""
    monkeypatch.setattr(key_fetching, "WAIT_SECONDS", 60)
    released = threading.Event()
    well = Guarded(Reach(plain_loopback=True))

    def send(request: Request) -> Response:
        if request.url.startswith("http://127.0.0.1:9/"):
            assert released.wait(60)
            return Response(200, JWK_SET, jwks(KEY))
        return well(request)

    other = worker(house, registered(house, publisher.uri), send)
    other.keys()
    slow = Worker(house, registered(house, "http://127.0.0.1:9/jwks"), other.sets, [])
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(slow.keys) for _ in range(2)]
        assert eventually(lambda: not other.sets._waiting._value)
        assert slow.refused().headers == (("Retry-After", "2"),)
        assert other.keys() == [KEY.kid]
        released.set()
        assert [each.result(30) for each in waiting] == [[KEY.kid]] * 2


def test_k6_the_number_of_fetches_has_an_end(house: House, monkeypatch: pytest.MonkeyPatch):
    """When many servers are slow at once a further client is refused at once; no thread is made for it."""
    monkeypatch.setattr(key_fetching, "WAIT_SECONDS", 0.01)
    released = threading.Event()
    asked = []

    def send(request: Request) -> Response:
        asked.append(request.url)
        assert released.wait(60)
        raise TransportError(TransportError.TIMED_OUT)

    first = worker(house, registered(house, "http://127.0.0.1:9/0"), send)
    sets = first.sets
    for number in range(key_fetching.AT_ONCE + 3):
        Worker(house, registered(house, f"http://127.0.0.1:9/{number}"), sets, []).refused()
    assert eventually(lambda: len(asked) == key_fetching.AT_ONCE)
    released.set()
    assert eventually(lambda: first.outcomes == ["timed_out"] * key_fetching.AT_ONCE)


@pytest.mark.parametrize(("call", "fetches"), [(1, 0), (2, 0), (3, 0), (4, 1)])
def test_what_cannot_be_written_down_is_not_used(
    house: House, publisher: KeyPublisher, call: int, fetches: int
):
    """A store that is away when it is read, before the fetch or after it: 503, and nobody is asked twice."""
    each = worker(house, registered(house, publisher.uri))
    each.sets._store = Failing(each.sets._store, call)

    with pytest.raises((OAuthError, StorageUnavailable)):
        each.found()
    assert len(publisher.asked) == fetches


def test_a_client_that_publishes_its_keys_is_given_none(one: Worker):
    """Nobody adds a key to such a client, neither an operator nor itself: its keys come from one place."""
    with pytest.raises(KeyRefused, match=r"^jwks_uri: this client publishes its keys itself"):
        with_key(one.client, NEXT.public, now=one.house.now(), expires_at=None, origin=BY_OPERATOR)
