"""K6: a client says where its keys are; the service goes there with care, or not at all."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.backstage import Backstage, SwiftEhr
from support.key_publisher import KeyPublisher, jwks
from support.service import Service
from tillit.protocol.jose import SigningKey, generate_key
from tillit_server.issuer.clients.client import check_installed
from tillit_server.issuer.clients.rules import ClientError

KEY = generate_key("ES256")


@pytest.fixture
def publisher() -> Iterator[KeyPublisher]:
    """The server of a client, which the test makes evil."""
    with KeyPublisher(KEY) as running:
        yield running


def client_at(backstage: Backstage, uri: str, key: SigningKey = KEY) -> SwiftEhr:
    """A new client that publishes its keys at ``uri``; its nonce was another's, which is as good."""
    return backstage.client(key, keys=(), jwks_uri=uri)


def ask(ehr: SwiftEhr) -> tuple[int, str | None]:
    """What a request without a proof gets: past authentication, that is a challenge or a missing proof."""
    answer = ehr.send(ehr.form(), None)
    return answer.status, answer.error


GOOD = (400, "invalid_dpop_proof")
AWAY = (503, "temporarily_unavailable")
REFUSED = (401, "invalid_client")


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "data:application/jwk-set+json,{}",
        "http://keys.example/jwks",
        "http://169.254.169.254/latest/meta-data",
        "https://0x7f.1/jwks",
        "https://2130706433/jwks",
        "https://0177.0.0.1/jwks",
        "https://user:canary@keys.example/jwks",
        "https://keys.example/jwks#part",
        "",
        7,
    ],
)
def test_k6_an_address_that_cannot_be_registered(backstage: Backstage, uri: object):
    """Other schemes than https, and spellings of addresses that only some understand, are refused by name."""
    with pytest.raises(ClientError, match=r"^jwks_uri: ") as refused:
        backstage.client(KEY, keys=(), jwks_uri=uri)
    assert "canary" not in str(refused.value)


def test_k6_keys_come_from_one_place(backstage: Backstage):
    """Keys are registered or published, never both, and never neither (RFC 7591 §2)."""
    for members, fault in (
        ({"jwks_uri": "https://keys.example/"}, "jwks_uri: not beside keys"),
        ({"keys": ()}, "keys: 1 to"),
    ):
        with pytest.raises(ClientError, match=fault):
            backstage.client(KEY, **members)


def test_k6_loopback_is_for_development(backstage: Backstage):
    """Plain http on loopback is a convenience of development mode; production registers no such client."""
    ehr = client_at(backstage, "http://127.0.0.1:9/jwks")
    client = backstage.services.clients.find(ehr.client_id)
    assert client is not None
    with pytest.raises(ClientError, match="jwks_uri: https needed"):
        check_installed(client, backstage.services.apis, {"ES256": None}, dev=False)


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "10.1.2.3", "[fe80::1]", "[fd00::1]", "[64:ff9b::7f00:1]", "0.0.0.1"]
)
def test_k6_an_address_inside_is_not_asked(service: Service, backstage: Backstage, host: str):
    """An address that is not public gets no request, whatever answers there; the log names it by its host."""
    ehr = client_at(backstage, f"https://{host}/canary?canary")
    assert ask(ehr) == AWAY
    lines = [line for line in service.log().splitlines() if ehr.client_id in line and '"client keys"' in line]
    assert len(lines) == 1
    assert '"outcome":"forbidden_address"' in lines[0]


EVILS: dict[str, Callable[[KeyPublisher], None]] = {
    "redirect": lambda to: to.says(b"", status=302, headers=[("Location", "http://127.0.0.1:9/jwks")]),
    "5 MB": lambda to: to.says(b" " * 5_000_000),
    "10,000 keys": lambda to: to.says(b'{"keys":[' + b",".join([b"{}"] * 10_000) + b"]}"),
    "500": lambda to: to.says(b"", status=500),
    "wrong type": lambda to: to.says(jwks(KEY), media_type="text/html"),
    "truncated": lambda to: to.says(jwks(KEY)[:-5], length=len(jwks(KEY))),
    "packed": lambda to: to.says(jwks(KEY), headers=[("Content-Encoding", "gzip")]),
    "kid twice": lambda to: to.says(jwks(KEY, KEY)),
    "private": lambda to: to.publishes(KEY, d="x" * 43),
    "nothing": lambda to: to.says(b""),
}


@pytest.mark.parametrize("name", EVILS)
def test_k6_an_evil_answer(backstage: Backstage, publisher: KeyPublisher, name: str):
    """Whatever an evil server answers, its client has no keys, and the service does what it did before."""
    ehr = client_at(backstage, publisher.uri)
    EVILS[name](publisher)
    assert ask(ehr) == AWAY
    assert publisher.asked == ["/jwks"]
    assert ask(ehr) == AWAY
    assert publisher.asked == ["/jwks"]


def test_k6_a_drip_stops_nobody_else(backstage: Backstage, attacker: SwiftEhr, publisher: KeyPublisher):
    """While ten requests hang on a server that drips, others get their tokens, and the ten get 503 in time."""
    dripping = client_at(backstage, publisher.uri)
    publisher.drips()
    begun = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        hanging = [pool.submit(ask, dripping) for _ in range(10)]
        assert [attacker.token().status for _ in range(5)] == [200] * 5
        assert {each.result(30) for each in hanging} == {AWAY}
    assert time.monotonic() - begun < 20
    assert len(publisher.asked) == 1


def test_k6_j5_a_stranger_costs_a_client_one_fetch(backstage: Backstage, publisher: KeyPublisher):
    """Whoever names a client and unknown keys has its keys fetched once by all workers, and gets the same 401."""
    ehr, stranger = client_at(backstage, publisher.uri), generate_key("ES256")
    assert ask(ehr) == GOOD
    for number in range(40):
        forged = ehr.assertion(key=stranger, header={"kid": f"unknown-{number}"})
        answer = ehr.send(ehr.form(forged), None)
        assert (answer.status, answer.error) == REFUSED
    assert len(publisher.asked) == 2
    assert ask(ehr) == GOOD


def test_k6_j5_what_is_wrong_in_itself_costs_no_fetch(backstage: Backstage, publisher: KeyPublisher):
    """An assertion that is expired, for somebody else, or of an algorithm not allowed has no keys fetched."""
    ehr = client_at(backstage, publisher.uri)
    past = int(ehr.service.now()) - 600
    for broken in (
        {"aud": "https://other.example"},
        {"iat": past, "nbf": past, "exp": past + 30},
        {"jti": ...},
    ):
        answer = ehr.send(ehr.form(ehr.assertion(**broken)), None)
        assert (answer.status, answer.error) == REFUSED
    assert publisher.asked == []
