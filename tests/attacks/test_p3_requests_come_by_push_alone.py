"""P3: a request comes by POST to the pushed-request endpoint, holds no address to fetch, and nothing is fetched."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlencode

import pytest

from support.backstage import Backstage
from support.intakes import well_formed
from support.login import CALLBACK, LoginEhr, Reception
from support.relying_party import authorize_url
from support.visitor import Page, Visitor


@pytest.fixture(scope="module")
def ehr(reception: Reception) -> LoginEhr:
    """A client whose users log in."""
    return reception.client()


class Spy:
    """A listening socket that counts who connects."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/request.jwt"
        self.connections = 0
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            try:
                with closing(self._listening.accept()[0]):
                    self.connections += 1
            except OSError:
                return

    def close(self) -> None:
        """Stop listening."""
        self._listening.close()


@pytest.fixture
def spy() -> Iterator[Spy]:
    """An address that nobody should ever connect to."""
    listening = Spy()
    yield listening
    listening.close()


def test_p3_a_request_uri_is_never_pushed(ehr: LoginEhr, spy: Spy):
    """In the form it is ``invalid_request``, in a request object ``invalid_request_object``; nobody connects."""
    for uri in (spy.url, ehr.request_uri(), "x"):
        answer = ehr.push(request_uri=uri)
        assert (answer.status, answer.error) == (400, "invalid_request")
        answer = ehr.push_signed(request_uri=uri)
        assert (answer.status, answer.error) == (400, "invalid_request_object")
        beside = ehr.signed_form(ehr.request_object(), request_uri=uri)
        assert ehr.send(beside, None, url=ehr.par).error == "invalid_request"
    nested = ehr.push_signed(request=ehr.request_object())
    assert (nested.status, nested.error) == (400, "invalid_request_object")
    assert spy.connections == 0


def test_p3_a_request_uri_of_somebody_elses_is_not_fetched(ehr: LoginEhr, reception: Reception, spy: Spy):
    """An address in the place of a pushed request leads to an error page, whatever the client's profile."""
    for client in (ehr, reception.client(profile="legacy")):
        for url in (spy.url, spy.url.replace("http:", "HTTP:"), "file:///etc/passwd", "data:,x"):
            page = Visitor(ehr.service).open(authorize_url(client, url))
            assert isinstance(page, Page)
            assert (page.status, page.error) == (400, "invalid_request_uri")
    assert spy.connections == 0


@pytest.mark.parametrize("profile", ["fapi2", "helseid"])
def test_p3_nobody_asks_in_the_front_channel(profile: str, reception: Reception):
    """Ordinary parameters, or a good request object, straight at the authorization endpoint: an error page."""
    ehr = reception.client(profile=profile)
    ordinary = {"client_id": ehr.client_id, **ehr.parameters()}
    signed = {"client_id": ehr.client_id, "request": ehr.request_object()}
    for parameters in (ordinary, signed, {**ordinary, **signed}, {"client_id": ehr.client_id}):
        url = f"{ehr.service.issuer}/connect/authorize?{urlencode(parameters)}"
        page = Visitor(ehr.service).open(url)
        assert isinstance(page, Page)
        assert (page.status, page.error) == (400, "invalid_request")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_p3_requests_are_pushed_by_post_alone(method: str, ehr: LoginEhr):
    """Every other method is 405 with the one that is allowed, in JSON."""
    body = b"" if method in {"GET", "HEAD"} else urlencode(ehr.pushed_form()).encode()
    answer = ehr.send(body, None, url=ehr.par, method=method)
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    if method != "HEAD":
        assert answer.error == "invalid_request"
        assert well_formed(answer)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"client_assertion": "x"}, 401),
        ({"client_assertion": ...}, 401),
        ({"client_assertion_type": ...}, 401),
        ({"scope": "nobody/knows"}, 400),
        ({"scope": ...}, 400),
        ({"response_type": "token"}, 400),
        ({"redirect_uri": CALLBACK + "/"}, 400),
        ({"resource": "nhn:nothing"}, 400),
        ({"request": "x"}, 400),
        ({"dpop_jkt": "x"}, 400),
    ],
)
def test_p3_every_refusal_is_json(change: dict[str, object], status: int, ehr: LoginEhr):
    """401 comes with ``invalid_client`` alone; whatever is wrong, the answer is an object with ``error``."""
    answer = ehr.push(**change)
    assert answer.status == status, answer.body
    assert (answer.error == "invalid_client") == (status == 401)
    assert well_formed(answer)


def test_p3_a_client_without_the_grant_cannot_push(backstage: Backstage):
    """A machine client is ``unauthorized_client``."""
    machine = Reception(backstage).client(grants=["client_credentials"])
    answer = machine.push()
    assert (answer.status, answer.error) == (400, "unauthorized_client")
