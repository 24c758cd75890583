"""Whatever a browser brings, the answer is a page, a redirect to where it should go, or a refusal; never a fault of ours."""

import time
from dataclasses import replace
from urllib.parse import quote_from_bytes, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import Client

from support.house import House
from support.visitor import Page, Visitor
from tillit_server.issuer.explain import ExplainLimit
from tillit_server.issuer.login.idps import IdpRegistry
from tillit_server.storage.ports import StorageUnavailable
from tillit_server.web.pages import Pages
from tillit_server.web.refusing import RefusalForms
from tillit_server.web.routes import Doors, framework_app

PATHS = ("/connect/authorize", "/connect/login", "/connect/login/callback", "/connect/login/cancel")
NAMES = (
    "client_id",
    "request_uri",
    "interaction",
    "state",
    "code",
    "iss",
    "error",
    "idp",
    "scope",
    "redirect_uri",
)


@pytest.fixture(scope="module")
def worker(shared_house: House) -> Client:
    """The doors for browsers, in this process."""
    doors = Doors(path="", metadata={}, max_age=1, explain_limit=ExplainLimit(1, time.monotonic))
    services = shared_house.backstage.services
    return Client(framework_app(services, doors, RefusalForms(Pages(services.issuer))))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(PATHS),
    pairs=st.lists(st.tuples(st.sampled_from(NAMES), st.binary(max_size=40)), max_size=5),
    cookie=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=";,"), max_size=60),
)
def test_p5_no_query_is_a_fault_of_ours(
    worker: Client, path: str, pairs: list[tuple[str, bytes]], cookie: str
) -> None:
    """Any octets in any parameter, and any cookie, give a page with an error code."""
    query = "&".join(f"{name}={quote_from_bytes(value)}" for name, value in pairs)
    headers = {"Host": "localhost", "Cookie": f"tillit-login={cookie}; tillit-session={cookie}"}
    answer = worker.get(f"{path}?{query}", headers=headers)
    assert answer.status_code == 400
    assert b'id="error">invalid_request' in answer.data


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.binary(max_size=80))
def test_p5_no_octets_are_a_fault_of_ours(worker: Client, query: bytes) -> None:
    """Nor do octets that are no query at all."""
    environ = {"QUERY_STRING": query.decode("latin-1"), "HTTP_HOST": "localhost"}
    answer = worker.get("/connect/authorize", environ_overrides=environ)
    assert answer.status_code == 400


def test_x5_no_header_changes_our_addresses(house: House) -> None:
    """Where a page leads is decided by the settings alone, not by what a browser or proxy says."""
    visitor = Visitor(
        house.service,
        **{
            "Host": "evil.example",
            "X-Forwarded-Host": "evil.example",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Prefix": "/evil",
            "Forwarded": "host=evil.example;proto=https",
        },
    )
    client = house.client
    uri = client.request_uri(acr_values="idp:test")
    page = visitor.open(
        f"{house.service.issuer}/connect/authorize?client_id={client.client_id}&request_uri={uri}"
    )
    assert isinstance(page, Page)
    assert "evil" not in page.html
    assert not any("evil" in str(answer.headers) for answer in visitor.seen)


class AwayStore:
    """A store that cannot be asked."""

    def __getattr__(self, name: str) -> "AwayStore":
        return self

    def __call__(self, *_: object, **__: object) -> None:
        """Whatever is asked."""
        raise StorageUnavailable("away")


@pytest.mark.parametrize("path", PATHS)
def test_s6_a_store_that_is_away_is_a_page(shared_house: House, path: str) -> None:
    """The person reads that the service cannot answer now, with an error id, and may try again."""
    services = replace(shared_house.backstage.services, store=AwayStore())
    doors = Doors(path="", metadata={}, max_age=1, explain_limit=ExplainLimit(1, time.monotonic))
    key = "A" * 43
    state = f"test.{key}"
    idps = IdpRegistry(*shared_house.backstage.idps)
    client = Client(framework_app(services, replace(doors, idps=idps), RefusalForms(Pages(services.issuer))))
    query = {
        "client_id": shared_house.client.client_id,
        "request_uri": f"urn:ietf:params:oauth:request_uri:{key}",
        "interaction": key,
        "state": state,
    }
    answer = client.get(f"{path}?{urlencode(query)}", headers={"Host": "localhost"})
    assert answer.status_code == 503
    assert b'id="error">temporarily_unavailable' in answer.data
    assert answer.headers["Error-Id"].encode() in answer.data
    assert answer.headers["Retry-After"]
