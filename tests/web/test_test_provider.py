"""The test provider is a real provider towards us, lets nobody real in, and is nowhere but on loopback."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.backstage import Backstage
from support.login import LoginEhr, Reception
from support.relying_party import RelyingParty, authorize_url
from support.service import Service, http
from support.visitor import Page, Returned, Visitor
from tillit.protocol.client_assertion import ASSERTION_TYPE, make_assertion
from tillit.protocol.jose import generate_key, load_private_jwk
from tillit.protocol.pkce import challenge_of, make_verifier
from tillit_server.config import SHIPPED_CONFIG
from tillit_server.issuer.login.idps import IdpError, IdpRegistry
from tillit_server.web.test_provider.provider import (
    DevelopmentProvider,
    idp_of_test_provider,
    read_practitioners,
)


class Direct:
    """Somebody who speaks to the test provider with our key there."""

    def __init__(self, house: Any) -> None:
        self.issuer = house.service.issuer + "/test-provider"
        self.callback = house.service.issuer + "/connect/login/callback"
        self.now = house.service.now
        self.key = load_private_jwk(json.loads((house.service.data / "idps" / "test.jwk").read_bytes()))
        self.verifier = make_verifier()
        self.visitor = Visitor(house.service)

    def assertion(self, **changes: Any) -> str:
        """A good assertion."""
        arguments = {"key": self.key, "client_id": "tillit", "audience": self.issuer, "now": self.now()}
        return make_assertion(**{**arguments, **changes})

    def post(self, path: str, form: dict[str, str]) -> tuple[int, Any]:
        """Send a form."""
        fields = {
            "client_id": "tillit",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion(),
        }
        answer = self.visitor._send("POST", self.issuer + path, data={**fields, **form})
        return answer.status_code, answer.json()

    def push(self, **changes: str) -> tuple[int, Any]:
        """Push a request."""
        return self.post(
            "/par",
            {
                "response_type": "code",
                "redirect_uri": self.callback,
                "scope": "openid",
                "state": "s",
                "nonce": "n",
                "code_challenge": challenge_of(self.verifier),
                "code_challenge_method": "S256",
                **changes,
            },
        )

    def page(self) -> Page:
        """The page for a good request."""
        status, pushed = self.push()
        assert status == 201, pushed
        page = self.visitor.open(
            f"{self.issuer}/authorize?client_id=tillit&request_uri={pushed['request_uri']}"
        )
        assert isinstance(page, Page)
        return page

    def code(self) -> str:
        """A code for the anaesthetist."""
        form = {**self.page().form("other").fields, "number": "14857527039"}
        answer = self.visitor._send("POST", self.issuer + "/authorize", data=form)
        assert answer.status_code == 303
        return str(answer.headers["Location"].partition("code=")[2].partition("&")[0])

    def redeem(self, code: str, **changes: str) -> tuple[int, Any]:
        """Redeem a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.callback,
            "code_verifier": self.verifier,
        }
        return self.post("/token", {**form, **changes})


@pytest.fixture
def direct(house: Any) -> Direct:
    """Somebody who speaks to the test provider with our key there."""
    return Direct(house)


def test_a_good_code_gives_an_id_token(direct: Direct) -> None:
    """The whole way by hand, so that the refusals below are refused for what they are."""
    status, answer = direct.redeem(direct.code())
    assert status == 200
    assert answer["id_token"].count(".") == 2


def test_a_code_is_good_once(direct: Direct) -> None:
    """The second time it is invalid_grant."""
    code = direct.code()
    assert direct.redeem(code)[0] == 200
    status, answer = direct.redeem(code)
    assert (status, answer["error"]) == (400, "invalid_grant")


def test_a_code_needs_its_verifier(direct: Direct) -> None:
    """PKCE holds here too."""
    status, answer = direct.redeem(direct.code(), code_verifier=make_verifier())
    assert (status, answer["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "changes", [{"redirect_uri": "https://evil.example"}, {"code_challenge_method": "plain"}]
)
def test_a_request_that_is_not_ours(direct: Direct, changes: dict[str, str]) -> None:
    """Another redirect URI, or PKCE without a hash, is refused."""
    status, answer = direct.push(**changes)
    assert (status, answer["error"]) == (400, "invalid_request")


def test_an_assertion_is_good_once(direct: Direct) -> None:
    """Client authentication is as strict as everywhere else."""
    assertion = direct.assertion()
    assert direct.push(client_assertion=assertion)[0] == 201
    status, answer = direct.push(client_assertion=assertion)
    assert (status, answer["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    "changes",
    [{"key": generate_key("ES256")}, {"audience": "http://127.0.0.1"}, {"client_id": "other"}],
    ids=["key", "audience", "client"],
)
def test_only_the_service_itself_is_its_client(direct: Direct, changes: dict[str, Any]) -> None:
    """Another key, another audience or another client is invalid_client."""
    status, answer = direct.push(client_assertion=direct.assertion(**changes))
    assert (status, answer["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    "number",
    [
        "",
        "1",
        "abc",
        "14857527038",
        "01010112345",
        "<b>",
        "80000000098",
        # The check digits fit, and the tax administration could have given it to somebody.
        "01010150074",
        "13116900216",
    ],
)
def test_nobody_who_could_be_real(direct: Direct, number: str) -> None:
    """A number that is none, or that could be somebody's, is refused on the page, which stays."""
    page = direct.visitor.submit(direct.page(), "other", number=number)
    assert isinstance(page, Page)
    assert page.status == 400
    assert "fault" in page.texts
    assert isinstance(direct.visitor.submit(page, "other", number="14857527039"), Page | Returned)


@pytest.mark.parametrize("level", ["", "level2", "level5", "4"])
def test_no_level_of_its_own(direct: Direct, level: str) -> None:
    """A level that the page does not offer is refused."""
    page = direct.visitor.submit(direct.page(), "people", person="14857527039", level=level)
    assert isinstance(page, Page)
    assert page.status == 400


def test_an_unknown_reference_is_a_page(direct: Direct) -> None:
    """A request that was never pushed is a page that says so, by GET and by POST."""
    for answer in (
        direct.visitor._send("GET", direct.issuer + "/authorize?client_id=tillit&request_uri=x"),
        direct.visitor._send("POST", direct.issuer + "/authorize", data={"client_id": "tillit"}),
        direct.visitor._send("GET", direct.issuer + "/authorize?request_uri=a&request_uri=b"),
    ):
        assert answer.status_code == 400
        assert "TEST" in answer.text


def test_everybody_of_the_register_is_offered(direct: Direct) -> None:
    """The page has a button for every practitioner of the development register."""
    page = direct.page()
    people = read_practitioners(SHIPPED_CONFIG / "registers")
    assert len(people) >= 6
    for person in people:
        assert person.name in page.html
        assert f'id="person-{person.hpr_number}"' in page.html


@pytest.mark.parametrize("host", ["tillit.example.no", "192.0.2.1", "10.0.0.1", "[2001:db8::1]", "127.0.0.1.example"])  # fmt: skip
def test_it_refuses_a_public_address(tmp_path: Path, host: str) -> None:
    """Whatever the settings say, it is not built for an address that others can reach."""
    with pytest.raises(IdpError):
        DevelopmentProvider(
            idp_of_test_provider(f"https://{host}", tmp_path),
            keys=tmp_path,
            callback="https://x",
            practitioners=(),
            store=None,
            clock=lambda: 0.0,
        )


def test_its_keys_are_made_once_and_for_the_owner_only(house: Any) -> None:
    """Both keys lie in the data directory, readable by nobody else."""
    for name in ("test.jwk", "test-provider.jwk"):
        assert (house.service.data / "idps" / name).stat().st_mode & 0o777 == 0o600


def test_an_issuer_with_a_path(tmp_path: Path) -> None:
    """Under an issuer with a path everything lies below it, the test provider too, and a login goes through."""
    with Service(tmp_path / "service", path="/hjemme/her") as service:
        party = RelyingParty.development(service)
        visitor = Visitor(service)
        returned = party.log_in(visitor)
        assert returned.code
        assert returned.parameters["iss"] == service.issuer
        assert all("/hjemme/her/" in answer.url for answer in visitor.seen)
        assert http("GET", service.issuer + "/connect/tillit.css")[0] == 200
        assert http("GET", service.origin + "/test-provider/jwks")[0] == 404


def test_a_house_without_providers(tmp_path: Path) -> None:
    """Where no provider is configured the client hears access_denied, and nobody is left on a page."""
    from werkzeug.test import Client

    from tillit_server.issuer.explain import ExplainLimit
    from tillit_server.web.routes import Doors, make_app

    with Service(tmp_path / "service") as service:
        backstage = Backstage(service)
        client: LoginEhr = Reception(backstage).client()
        uri = client.request_uri(state="s")
        doors = Doors(
            path="", metadata={}, max_age=1, explain_limit=ExplainLimit(1, service.now), idps=IdpRegistry()
        )
        answer = Client(make_app(backstage.services, doors)).get(
            authorize_url(client, uri).removeprefix(service.issuer), headers={"Host": "localhost"}
        )
        backstage.close()
    assert answer.status_code == 303
    assert "error=access_denied" in answer.headers["Location"]
    assert "state=s" in answer.headers["Location"]


def test_a_login_survives_a_restart_of_the_service(tmp_path: Path) -> None:
    """What belongs to a login lies in the store, so that no worker is needed twice."""
    with Service(tmp_path / "service", workers=1) as service:
        party, visitor = RelyingParty.development(service), Visitor(service)
        page = visitor.open(authorize_url(party, party.request_uri()))
        assert isinstance(page, Page)
        service.stop()
        service.start()
        returned = visitor.submit(page, "people", person="14857527039")
        assert isinstance(returned, Returned)
        assert returned.code
