"""Foreign clients against the running service: Nimbus in Java, x/oauth2 and go-oidc in Go, openid-client in JavaScript.

The libraries are as their makers published them; the few lines around them are ours.
"""

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from support.backstage import ATTESTATION_SCOPE, SELF_SERVICE, WARD_LIST, Backstage
from support.ehr import ATTESTATION, attestation
from support.foreign_logins import AFTER_LOGOUT, DOCTOR, LOGIN, REDIRECT_URI, ForeignBrowser
from support.foreign_programs import EXAMPLES, go_program, java_program, node_program, running
from support.service import PHR, Service, free_port
from support.sources import DocumentSource
from support.tls import TRUST, Terminator, make_certificate
from tillit.protocol.jose import generate_key, private_jwk

pytestmark = pytest.mark.xdist_group("journeys")


class Foreign:
    """A registered client whose key lies in a file for a program of another language."""

    def __init__(self, backstage: Backstage, place: Path, alg: str, **members: Any) -> None:
        self.issuer = backstage.service.issuer
        self.client_id = f"foreign-{secrets.token_hex(4)}"
        self.key = generate_key(alg, kid=f"{secrets.token_hex(9)}+/=")
        backstage.register(self.client_id, self.key, **members)
        self.key_file = place / "key.json"
        self.key_file.write_text(json.dumps({**private_jwk(self.key), "alg": alg}), encoding="utf-8")
        self.place = place

    def details(self, value: Any = ATTESTATION) -> str:
        """A file that holds what is to be attested."""
        file = self.place / "details.json"
        file.write_text(json.dumps(value), encoding="utf-8")
        return str(file)

    def arguments(self, mode: str, scope: str, *more: str) -> list[str]:
        """The arguments of the programs in Java and Go."""
        return [mode, self.issuer, self.client_id, str(self.key_file), scope, *more]


def claims(token: str) -> dict[str, Any]:
    """What a token says, not verified: the programs have verified what they can."""
    return dict(jwt.decode(token, options={"verify_signature": False}))


def test_2_nimbus_sends_one_assertion_twice(backstage: Backstage, tmp_path: Path):
    """Nimbus resolves the metadata, is challenged, and gets a bound token with the very same assertion; a third use fails."""
    program = java_program()
    client = Foreign(backstage, tmp_path, "ES384")
    with running([*program, *client.arguments("machine", PHR, client.details())]) as java:
        dance = java.heard("dance")
        token = java.heard("token")
    assert dance == {
        "step": "dance",
        "first": "use_dpop_nonce",
        "nonce": True,
        "second": 200,
        "third": "invalid_client",
    }
    assert (token["lifetime"], token["scope"]) == (600, PHR)
    assert claims(token["access_token"])["nhn:tillitsrammeverk:parameters"]["patients"]


def test_14_go_finds_its_way_with_an_empty_secret(backstage: Backstage, tmp_path: Path):
    """In the legacy profile the first try, with a Basic header without a secret, is good; the tolerance is written down."""
    program = go_program()
    client = Foreign(backstage, tmp_path, "PS256", profile="legacy")
    with running([*program, *client.arguments("machine", SELF_SERVICE)]) as go:
        token = go.heard("token")
        end = go.heard("end")
    assert token["token_type"] == "Bearer"
    assert claims(token["access_token"])["client_id"] == client.client_id
    assert end["authenticated_by"] == ["basic with a secret of 0"]
    (used,) = backstage.awaited("issuer.tolerance.used", client_id=client.client_id)
    assert set(used.public["tolerances"]) == {
        "empty_basic_header",
        "one_element_audience",
        "token_endpoint_audience",
        "bearer_token",
    }


@pytest.fixture(scope="module")
def under_a_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backstage]:
    """A service whose issuer has a path, and its installation."""
    with Service(tmp_path_factory.mktemp("path"), workers=1, path="/samsvar/5e1b7c1a") as running:
        opened = Backstage(running)
        yield opened
        opened.close()


@pytest.fixture
def behind_tls(tmp_path: Path) -> Iterator[Backstage]:
    """A service that is known by an https address, and its installation."""
    service = Service(tmp_path / "data", workers=1)
    with Terminator(make_certificate(tmp_path), service.port) as tls:
        service.issuer = f"https://localhost:{tls.port}"
        service.arguments = ["--issuer", service.issuer]
        with service:
            opened = Backstage(service)
            yield opened
            opened.close()


@pytest.mark.parametrize("place", ["backstage", "under_a_path"])
def test_nimbus_logs_in_with_one_assertion_for_two_requests(
    place: str, request: pytest.FixtureRequest, tmp_path: Path
):
    """Pushed, back with state and issuer, the code twice with the same assertion, ID token valid, one patient by refresh, out."""
    backstage: Backstage = request.getfixturevalue(place)
    program = java_program()
    client = Foreign(backstage, tmp_path, "PS256", profile="helseid", **LOGIN)
    scope = f"openid profile offline_access {WARD_LIST} {ATTESTATION_SCOPE}"
    details = client.details(attestation(practitioner__identifier=...))
    browser = ForeignBrowser()
    with running([*program, *client.arguments("login", scope, details, REDIRECT_URI, AFTER_LOGOUT)]) as java:
        java.tell(browser.open(java.heard("authorize")["url"], REDIRECT_URI))
        for step in ("token", "refreshed"):
            dance = java.heard("dance")
            assert (dance["first"], dance["second"], dance["third"]) == (
                "use_dpop_nonce",
                200,
                "invalid_client",
            )
            token = claims(java.heard(step)["access_token"])
            assert ("nhn:tillitsrammeverk:parameters" in token) is (step == "refreshed")
            if step == "token":
                identity = java.heard("id_token")["claims"]
                assert identity["sub"] == token["sub"] == java.heard("userinfo")["claims"]["sub"]
            else:
                assert java.heard("refreshed_id_token")["same_refresh_token"] is True
        left = browser.page(java.heard("logout")["url"])
    assert left.headers["Location"].startswith(f"{AFTER_LOGOUT}?state=")


@pytest.mark.parametrize("place", ["backstage", "behind_tls"])
def test_14_go_logs_in_from_the_address(place: str, request: pytest.FixtureRequest, tmp_path: Path):
    """The request object says everything twice, the code goes with an empty secret, go-oidc verifies an RS256 ID token."""
    backstage: Backstage = request.getfixturevalue(place)
    program = go_program()
    members = LOGIN | {"profile": "legacy", "id_token_signed_response_alg": "RS256"}
    client = Foreign(backstage, tmp_path, "PS256", **members)
    browser = ForeignBrowser(trusts=os.environ.get(TRUST))
    scope = f"openid profile {WARD_LIST}"
    with running([*program, *client.arguments("login", scope, REDIRECT_URI, AFTER_LOGOUT)]) as go:
        go.tell(browser.open(go.heard("authorize")["url"], REDIRECT_URI))
        token = go.heard("token")
        assert token["token_type"] == "Bearer"
        assert token["id_token"]["name"]
        assert go.heard("userinfo")["subject"] == token["id_token"]["sub"]
        left = browser.page(go.heard("logout")["url"])
        assert go.heard("end")["authenticated_by"] == ["basic with a secret of 0"]
    assert (left.status_code, left.headers["Location"]) == (303, AFTER_LOGOUT)


def example(service: Service, **arguments: object) -> list[str]:
    """The command that runs the example in JavaScript."""
    members = {
        "issuer": service.issuer,
        "client-id": "dev-login",
        "key": service.data / "clients/dev-login.jwk",
        **{name.replace("_", "-"): value for name, value in arguments.items()},
    }
    return [*node_program("ehr-client.mjs"), *(f"--{name}={value}" for name, value in members.items())]


def test_the_example_in_javascript_logs_in_and_attests_twice(service: Service, tmp_path: Path):
    """openid-client, which is certified for FAPI 2.0, does everything: two patients, two tokens, documents, one login."""
    first_file = EXAMPLES / "attestation-specialist-care.json"
    other_patient = json.loads(first_file.read_text(encoding="utf-8"))
    other_patient["patients"][0]["identifier"]["id"] = "63714815050"
    second_file = tmp_path / "attestation.json"
    second_file.write_text(json.dumps(other_patient), encoding="utf-8")
    with DocumentSource(service, tmp_path) as source:
        command = example(service, **{"as": DOCTOR}, url=f"{source.url}/documents/search")
        command += [f"--attestation={file}" for file in (first_file, second_file)]
        with running(command) as node:
            assert node.heard("discovered")["issuer"] == service.issuer
            assert set(node.heard("authorize")) == {"step", "url"}
            assert node.heard("back")["parameters"] == ["code", "iss", "state"]
            first = node.heard("tokens")
            assert node.heard("documents")["status"] == 200
            user = node.heard("userinfo")["claims"]
            second = node.heard("refreshed")
            assert node.heard("documents")["status"] == 200
            node.heard("logout")
        assert len(source.written_down()) == 2
    assert (first["token_type"], first["expires_in"]) == ("dpop", 600)
    assert user["sub"] == first["id_token"]["sub"] == second["id_token"]["sub"]
    tokens = [claims(answer["access_token"]) for answer in (first, second)]
    assert tokens[0]["cnf"] == tokens[1]["cnf"]
    patients = [
        token["nhn:tillitsrammeverk:parameters"]["patients"][0]["identifier"]["id"] for token in tokens
    ]
    assert patients == ["05825031016", "63714815050"]


def test_the_example_in_javascript_attests_at_login(service: Service, tmp_path: Path):
    """openid-client signs the request and pushes it; the attestation in it is in the first token and is used."""
    with DocumentSource(service, tmp_path) as source:
        command = example(service, **{"as": DOCTOR}, url=f"{source.url}/documents/search")
        command += ["--at-login", f"--attestation={EXAMPLES / 'attestation-specialist-care.json'}"]
        with running(command) as node:
            said = {
                step: node.heard(step) for step in ("discovered", "authorize", "back", "tokens", "documents")
            }
            node.heard("userinfo")
            node.heard("logout")
    assert said["documents"]["status"] == 200
    attested = claims(said["tokens"]["access_token"])["nhn:tillitsrammeverk:parameters"]
    assert attested["patients"][0]["identifier"]["id"] == "05825031016"


@pytest.mark.parametrize("place", ["backstage", "under_a_path", "behind_tls"])
def test_the_example_in_javascript_waits_for_a_browser(place: str, request: pytest.FixtureRequest):
    """Without the shortcut it listens where the browser is to come back to, and goes on from there; HTTPS or not."""
    service = request.getfixturevalue(place).service
    redirect_uri = f"http://127.0.0.1:{free_port()}/callback"
    browser = ForeignBrowser(trusts=os.environ.get(TRUST))
    command = example(service, redirect_uri=redirect_uri, scope="openid profile")
    with running(command) as node:
        node.heard("discovered")
        back = browser.open(node.heard("authorize")["url"], redirect_uri)
        assert browser.page(back).status_code == 200
        for step in ("back", "tokens", "userinfo", "logout"):
            node.heard(step)
