"""D6: a bound token opens a resource of ours only with its own proof, found by the service's own table of routes."""

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from support.backstage import Backstage
from support.ehr import Answer
from support.granted import Granted, grant, introspect, login_client
from support.service import http
from support.tokens import key_for
from tillit.protocol.challenge import parse_challenge
from tillit.protocol.dpop import make_proof
from tillit_server.issuer.explain import ExplainLimit
from tillit_server.web.pages import Pages
from tillit_server.web.refusing import RefusalForms
from tillit_server.web.routes import Doors, framework_app

METHODS = ("GET", "POST")


@pytest.fixture(scope="module")
def routes(backstage: Backstage) -> list[tuple[str, str]]:
    """Method and path of everything that the service answers, but for the token endpoint's own door."""
    doors = Doors("", {}, 0, ExplainLimit(1, time.monotonic))
    refusals = RefusalForms(Pages(backstage.services.issuer))
    rules = list(framework_app(backstage.services, doors, refusals).url_map.iter_rules())
    return [(method, str(rule)) for rule in rules for method in METHODS if method in (rule.methods or ())]


@pytest.fixture(scope="module")
def granted(backstage: Backstage) -> Granted:
    """A login, and its token that is bound to a key."""
    return grant(backstage, login_client(backstage))


def shown(
    granted: Granted, method: str, path: str, token: str, proof: str | None, *, scheme: str = "DPoP"
) -> Answer:
    """The answer of a route to a token in the header."""
    headers = {"Authorization": f"{scheme} {token}"} | ({} if proof is None else {"DPoP": proof})
    url = granted.behind.service.issuer + path
    return Answer(*http(method, url, headers=headers, body=b"" if method == "POST" else None))


def proof(granted: Granted, method: str, path: str, token: str | None, **more: object) -> str:
    """A proof for a route."""
    key = more.pop("key", granted.ehr.dpop_key)
    given = {"now": granted.behind.service.now(), "access_token": token, **more}
    return make_proof(key, method, granted.behind.service.issuer + path, **given)


@pytest.fixture(scope="module")
def protected(granted: Granted, routes: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The routes that a bound token with its proof opens, and nothing opens without credentials."""
    found = []
    for method, path in routes:
        token = granted.access_token()
        good = shown(granted, method, path, token, proof(granted, method, path, token))
        url = granted.behind.service.issuer + path
        bare = http(method, url, body=b"" if method == "POST" else None)[0]
        if good.status == 200 and bare == 401:
            found.append((method, path))
    return found


def test_d6_the_protected_routes_are_these(routes: list[tuple[str, str]], protected: list[tuple[str, str]]):
    """What the table says today; a new resource of ours shows itself here, and is tried below."""
    assert len(routes) > 10
    assert protected == [
        ("GET", "/connect/userinfo"),
        ("POST", "/connect/userinfo"),
    ]


@pytest.mark.parametrize(
    "what",
    [
        "another key",
        "Bearer",
        "Bearer with proof",
        "no proof",
        "wrong ath",
        "no ath",
        "other address",
        "two proofs",
    ],
)
def test_d6_without_its_own_proof_a_token_opens_nothing(
    what: str, granted: Granted, protected: list[tuple[str, str]]
):
    """With another key, as Bearer, without a proof or with one for something else: 401 and a challenge, everywhere."""
    for method, path in protected:
        token = granted.access_token()
        good = proof(granted, method, path, token)
        sent = {
            "another key": proof(granted, method, path, token, key=key_for("ES256", 6)),
            "Bearer": None,
            "Bearer with proof": good,
            "no proof": None,
            "wrong ath": proof(granted, method, path, granted.access_token()),
            "no ath": proof(granted, method, path, None),
            "other address": proof(granted, method, path + "/x", token),
            "two proofs": f"{good},{proof(granted, method, path, token)}",
        }[what]
        scheme = "Bearer" if what.startswith("Bearer") else "DPoP"
        answer = shown(granted, method, path, token, sent, scheme=scheme)
        assert answer.status == 401, (method, path, answer.body)
        challenge = parse_challenge(answer.headers["WWW-Authenticate"])[0]
        assert challenge.scheme == "DPoP"
        assert challenge.error == ("invalid_token" if scheme == "Bearer" else "invalid_dpop_proof")
        assert challenge.error == answer.error
        assert "ES256" in challenge.attributes["algs"].split()
        assert "DPoP-Nonce" not in answer.headers
        assert shown(granted, method, path, token, good).status == 200  # nothing of it was spent


def test_d6_a_proof_opens_one_request(granted: Granted, protected: list[tuple[str, str]]):
    """The same proof again is refused, by whichever worker."""
    for method, path in protected:
        token = granted.access_token()
        once = proof(granted, method, path, token)
        assert shown(granted, method, path, token, once).status == 200
        for _ in range(4):
            answer = shown(granted, method, path, token, once)
            assert (answer.status, answer.error) == (401, "invalid_dpop_proof")


def at_once(ask: Callable[[], int], times: int) -> list[int]:
    """What several threads are told that ask in the same instant."""
    barrier, told = threading.Barrier(times), []

    def go() -> None:
        barrier.wait(20)
        told.append(ask())

    threads = [threading.Thread(target=go) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return told


def test_d2_a_proof_32_times_at_once_opens_one_request(granted: Granted, protected: list[tuple[str, str]]):
    """Of 32 requests with one proof in the same instant, over both workers, exactly one is answered."""
    for method, path in protected:
        token = granted.access_token()
        once = proof(granted, method, path, token)
        ask = partial(shown, granted, method, path, token, once)
        assert sorted(at_once(lambda ask=ask: ask().status, 32)) == [200, *[401] * 31]


@pytest.mark.parametrize(("name", "seconds"), [("old", -61), ("ahead", 20), ("an hour", -3600)])
def test_d6_a_proof_is_of_this_moment(
    name: str, seconds: int, granted: Granted, protected: list[tuple[str, str]]
):
    """At our own resources proofs are as old as anywhere: a minute back, ten seconds ahead."""
    now = granted.behind.service.now()
    for method, path in protected:
        token = granted.access_token()
        late = proof(granted, method, path, token, now=now + seconds)
        assert shown(granted, method, path, token, late).status == 401
        for fine in (-9, 8):
            good = proof(granted, method, path, token, now=granted.behind.service.now() + fine)
            assert shown(granted, method, path, token, good).status == 200


def test_d6_what_is_refused_costs_nothing(granted: Granted, protected: list[tuple[str, str]]):
    """A scope that is missing spends no proof."""
    for method, path in protected:
        poor = granted.access_token(scopes=["profile"])
        good = proof(granted, method, path, poor)
        assert {shown(granted, method, path, poor, good).status for _ in range(2)} == {403}


def test_d6_introspection_tells_who_is_allowed_about_the_key(granted: Granted):
    """At introspection no proof is shown: the answer carries the key, so that the API can demand it."""
    token = granted.access_token()
    jkt = granted.ehr.dpop_key.public.thumbprint
    assert introspect(granted.ehr, token).json["cnf"] == {"jkt": jkt}
    for scheme in ("DPoP", "Bearer"):
        for path in ("/connect/introspect", "/connect/revocation"):
            answer = shown(granted, "POST", path, token, proof(granted, "POST", path, token), scheme=scheme)
            assert answer.status in {401, 415}
    assert introspect(granted.ehr, token).json["active"]
