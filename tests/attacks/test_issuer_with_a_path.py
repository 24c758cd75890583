"""An issuer with a path: every address, audience and proof has it, and nothing works without."""

from collections.abc import Iterator

import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr
from support.intakes import ASSERTION, PROOF, proper_refusal
from support.service import Service, http, http_json
from support.tokens_seen import verified
from tillit.client import Client
from tillit.verifier import Verifier

pytestmark = pytest.mark.xdist_group("issuer with a path")

PATH = "/sub/idp"


@pytest.fixture(scope="module")
def backstage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backstage]:
    """A service whose issuer has a path."""
    with Service(tmp_path_factory.mktemp("path"), path=PATH) as running:
        opened = Backstage(running)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def ehr(backstage: Backstage) -> SwiftEhr:
    """A client of that service."""
    return backstage.client()


@pytest.mark.parametrize(
    "address",
    [
        f"{PATH}/.well-known/openid-configuration",
        f"{PATH}/.well-known/oauth-authorization-server",
        f"/.well-known/oauth-authorization-server{PATH}",
    ],
)
def test_metadata_is_where_each_standard_puts_it(address: str, backstage: Backstage):
    """OpenID appends the well-known part, RFC 8414 puts it before the path; the document is the same."""
    service = backstage.service
    status, headers, document = http_json("GET", service.origin + address)
    assert status == 200
    assert document["issuer"] == service.issuer
    assert document["token_endpoint"] == f"{service.issuer}/connect/token"
    assert document["jwks_uri"].startswith(service.issuer + "/")
    assert http_json("GET", document["jwks_uri"])[2]["keys"]
    assert "max-age" in headers["Cache-Control"]


@pytest.mark.parametrize(
    "address", ["/connect/token", "/.well-known/openid-configuration", "/sub/connect/token"]
)
def test_nothing_answers_outside_the_path(address: str, backstage: Backstage):
    """Without its path an address does not exist."""
    assert http("POST", backstage.service.origin + address, body=b"")[0] == 404
    assert http("GET", backstage.service.origin + address)[0] == 404


def test_audience_and_proof_have_the_path(ehr: SwiftEhr):
    """The audience is the issuer with its path, the address of a proof the endpoint with it; less is refused."""
    assert verified(ehr.service, ehr.token(), audience="nhn:phr")["iss"] == ehr.service.issuer
    form = ehr.form(ehr.assertion(aud=ehr.service.origin), scope=SELF_SERVICE)
    assert proper_refusal(ASSERTION, ehr.send(form, ehr.proof())) is None
    bare = ehr.proof(htu=f"{ehr.service.origin}/connect/token")
    form = ehr.form(ehr.assertion(), scope=SELF_SERVICE)
    assert proper_refusal(PROOF, ehr.send(form, bare)) is None
    assert ehr.send(form, ehr.proof()).status == 200


def test_explain_lives_under_the_path_too(ehr: SwiftEhr):
    """What is explained is a request for the token endpoint with its path."""
    assert ehr.explain().json["verdict"] == "accepted"


def test_client_and_verifier_find_their_way(ehr: SwiftEhr, backstage: Backstage):
    """Both ends of the library need nothing but the issuer."""
    client = Client(ehr.service.issuer, ehr.client_id, ehr.key, synthetic_identifiers=True)
    verifier = Verifier(ehr.service.issuer, "nhn:phr", accept_established_by={"legal_entity"})
    assert verifier.ping() >= 1
    assert client.issuer == backstage.service.issuer
