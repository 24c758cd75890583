"""What a provider publishes is believed only as far as it is sound; everything else is a provider that is away."""

import html
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from werkzeug.test import Client

from support.house import House
from support.provider import NAME
from support.relying_party import authorize_url
from tillit.protocol.jose import generate_key
from tillit_server.issuer.explain import ExplainLimit
from tillit_server.issuer.login.idps import Idp, IdpRegistry
from tillit_server.web import upstream_calls
from tillit_server.web.pages import Pages
from tillit_server.web.refusing import RefusalForms
from tillit_server.web.routes import Doors, framework_app


@pytest.fixture
def worker(house: House) -> Callable[[], Client]:
    """Makes a worker that has read nothing yet, in this process, which knows the stand-in alone."""

    def make() -> Client:
        idp = Idp(
            name=NAME,
            title="Stand-in",
            issuer=house.standin.issuer,
            client_id="tillit-at-standin",
            key=generate_key("ES256"),
            levels={"high": "4"},
        )
        limit = ExplainLimit(1, time.monotonic)
        doors = Doors(path="", metadata={}, max_age=1, explain_limit=limit, idps=IdpRegistry(idp))
        services = house.backstage.services
        return Client(framework_app(services, doors, RefusalForms(Pages(services.issuer))))

    return make


def begin(house: House, worker: Client) -> Any:
    """Open the authorization endpoint there."""
    uri = authorize_url(house.client, house.client.request_uri())
    return worker.get(uri.removeprefix(house.service.issuer), headers={"Host": "localhost"})


def test_good_documents(house: House, worker: Callable[[], Client]) -> None:
    """With sound documents the browser goes to the provider."""
    answer = begin(house, worker())
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith(house.standin.issuer + "/authorize?")


UNSOUND: dict[str, dict[str, Any]] = {
    "another issuer": {"issuer": "https://other.example"},
    "an issuer with a slash": {"issuer": "http://127.0.0.1/"},
    "no issuer": {"issuer": None},
    "authorization over http": {"authorization_endpoint": "http://idp.example/authorize"},
    "a script for an address": {"authorization_endpoint": "javascript:alert(1)"},
    "token over http": {"token_endpoint": "http://idp.example/token"},
    "a user in the address": {"token_endpoint": "https://user@idp.example/token"},
    "no pushed requests": {"pushed_authorization_request_endpoint": None},
    "pushed requests over http": {"pushed_authorization_request_endpoint": "http://idp.example/par"},
    "a fragment": {"pushed_authorization_request_endpoint": "https://idp.example/par#x"},
    "keys over http": {"jwks_uri": "http://idp.example/jwks"},
    "unsigned tokens": {"id_token_signing_alg_values_supported": ["none"]},
    "very much": {"padding": "x" * 600_000},
}


@pytest.mark.parametrize("fault", UNSOUND)
def test_unsound_documents(house: House, worker: Callable[[], Client], fault: str) -> None:
    """The person reads that the login is not available, and nothing is sent to such an address."""
    house.standin.metadata_changes.update(UNSOUND[fault])
    before = len(house.standin.pushed)
    answer = begin(house, worker())
    assert answer.status_code == 503
    assert len(house.standin.pushed) == before


def test_metadata_cannot_change_how_we_connect(house: House, worker: Callable[[], Client]) -> None:
    """Members called like arguments of the library change nothing: not the checks, not the scope, not the client."""
    house.standin.metadata_changes.update(
        verify=False, trust_env=True, scope="all", client_id="x", proxies={"http": "http://192.0.2.1"}
    )
    answer = begin(house, worker())
    assert answer.status_code == 303
    pushed = house.standin.pushed[-1]
    assert (pushed["scope"], pushed["client_id"]) == ("openid profile", "tillit-at-standin")


def test_a_provider_that_hangs(
    house: House, worker: Callable[[], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for the provider waits for a limited time."""
    waiting = worker()
    assert begin(house, waiting).status_code == 303
    house.standin.pause = 2.0
    monkeypatch.setattr(upstream_calls, "SECONDS", 0.2)
    begun = time.monotonic()
    assert begin(house, waiting).status_code == 503
    assert time.monotonic() - begun < 1.5


def test_one_too_many_hears_so_at_once(
    house: House, worker: Callable[[], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only so many wait for a provider; the next sees the page of a provider that is away, and may try again."""
    monkeypatch.setattr(upstream_calls, "AT_ONCE", 1)
    crowded = worker()
    assert begin(house, crowded).status_code == 303
    house.standin.pause = 2.0
    with ThreadPoolExecutor(1) as other:
        first = other.submit(begin, house, Client(crowded.application))
        time.sleep(0.7)
        begun = time.monotonic()
        answer = begin(house, crowded)
        assert time.monotonic() - begun < 1.0
        assert answer.status_code == 503
        assert first.result().status_code == 303
    house.standin.pause = 0.0
    again = re.search(r'id="again" href="([^"]+)"', answer.text)
    assert again is not None
    assert crowded.get(html.unescape(again[1]), headers={"Host": "localhost"}).status_code == 303


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_provider_that_sends_us_elsewhere(house: House, worker: Callable[[], Client], status: int) -> None:
    """A redirect of the provider's own endpoints is not followed: our assertion and the code are for nobody else."""
    asking = worker()
    assert begin(house, asking).status_code == 303
    state = house.standin.pushed[-1]["state"]
    house.standin.status = status
    house.standin.location = house.standin.issuer + "/elsewhere/par"
    assert begin(house, asking).status_code == 503
    assert len(house.standin.pushed) == 1
    house.standin.location = house.standin.issuer + "/elsewhere/token"
    answer = asking.get(f"/connect/login/callback?code=c&state={state}", headers={"Host": "localhost"})
    assert (
        b'id="error">temporarily_unavailable' in answer.data
        or b"access_denied" in answer.headers["Location"].encode()
    )
    assert house.standin.redeemed == []


def test_p11_no_route_for_browsers_lacks_its_headers(house: House, worker: Callable[[], Client]) -> None:
    """Every GET route of the route table that answers with a page answers with the headers of pages."""
    client = worker()
    seen = 0
    for rule in client.application.url_map.iter_rules():
        if "GET" not in (rule.methods or ()):
            continue
        answer = client.get(rule.rule, headers={"Host": "localhost"})
        if answer.content_type.startswith("text/html"):
            seen += 1
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], rule.rule
            assert answer.headers["Cache-Control"] == "no-store", rule.rule
            assert answer.headers["Referrer-Policy"] == "no-referrer", rule.rule
            assert answer.headers["X-Content-Type-Options"] == "nosniff", rule.rule
    assert seen >= 4
