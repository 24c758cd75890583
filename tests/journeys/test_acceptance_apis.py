"""APIs as the samples of the field have them: RS256 tokens, their scopes, and every claim that an API may ask for.

The names and types of the claims are those of chapter 5.1 of the national service's profile.
"""

import shutil
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from support.backstage import Backstage
from support.ehr import Answer
from support.foreign_clients import CSharpShaped, JavaShaped, registered
from support.foreign_logins import DOCTOR, IDENTITY, LOGIN, LoginClient
from support.service import Service
from tillit_server.config import SHIPPED_CONFIG

CLIENT, IDENTITY_CLAIM = "helseid://claims/client/", "helseid://claims/identity/"
CLAIMS = {
    "auth_time": int,
    "idp": str,
    "amr": list,
    "sid": str,
    "name": str,
    "given_name": str,
    "family_name": str,
    IDENTITY_CLAIM + "pid": str,
    IDENTITY_CLAIM + "pid_pseudonym": str,
    IDENTITY_CLAIM + "security_level": str,
    IDENTITY_CLAIM + "assurance_level": str,
    "helseid://claims/hpr/hpr_number": str,
    CLIENT + "client_name": str,
    CLIENT + "client_tenancy": str,
    CLIENT + "claims/orgnr_parent": str,
    CLIENT + "claims/orgnr_child": str,
    CLIENT + "claims/orgnr_supplier": str,
    "nhn:sfm:journal_id": str,
}
SAMPLE, PRESCRIBING = "nhn:test-public-samplecode", "nhn:sfm"
SCOPES = [f"{SAMPLE}/client-credentials", f"{SAMPLE}/authorization-code", f"{SAMPLE}/token-exhange-endpoint"]
APIS = f"""
[[api]]
audience = "{SAMPLE}"
scopes = {SCOPES}
claims = {sorted(CLAIMS)}
signing_algorithm = "RS256"

[[api]]
audience = "{PRESCRIBING}"
scopes = ["{PRESCRIBING}/prescribe"]
claims = ["nhn:sfm:journal_id", "{CLIENT}claims/orgnr_parent"]
"""
PARENT, UNIT, SUPPLIER = "310000019", "311540025", "314200772"
JOURNAL = "6b0c0f9e-0000-4000-8000-2f3b5c1d7e90"
JOURNAL_DETAIL = {"type": "nhn:sfm:journal-id", "value": {"journal_id": JOURNAL}}
IDENTIFIER = {"system": "urn:oid:1.0.6523", "type": "ENH", "value": f"NO:ORGNR:{PARENT}:{UNIT}"}
ORGANISATION = {
    "type": "helseid_authorization",
    "practitioner_role": {"organization": {"identifier": IDENTIFIER}},
}
SUPPLIERS = {
    "profile": "helseid",
    "tenancy": "multi",
    "legal_entities": [PARENT, SUPPLIER],
    "supplier": SUPPLIER,
    "name": "Acme EPJ",
}

pytestmark = pytest.mark.xdist_group("journeys")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backstage]:
    """An installation that knows the APIs of the samples."""
    place = tmp_path_factory.mktemp("samples")
    shutil.copytree(SHIPPED_CONFIG, place / "config")
    (place / "config/apis/samples.toml").write_text(APIS, encoding="utf-8")
    settings = place / "tillit.toml"
    settings.write_text(f'config = "{place / "config"}"\n', encoding="utf-8")
    with Service(place / "data", workers=1, arguments=["--config", str(settings)]) as service:
        opened = Backstage(service, settings)
        yield opened
        opened.close()


def read_by_an_api(service: Service, answer: Answer, audience: str) -> dict[str, Any]:
    """The claims of a token, judged as an API that knows RS256 alone judges them."""
    assert answer.status == 200, answer.body
    token = answer.json["access_token"]
    key = jwt.PyJWKClient(service.issuer + "/.well-known/openid-configuration/jwks").get_signing_key_from_jwt(
        token
    )
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
    required = ["iss", "nbf", "iat", "exp", "aud", "scope", "client_id", "jti", "cnf"]
    return dict(
        jwt.decode(
            token,
            key,
            algorithms=["RS256"],
            audience=audience,
            issuer=service.issuer,
            options={"require": required},
        )
    )


def test_every_claim_an_api_may_ask_for_has_its_type(samples: Backstage):
    """A user's token for an API that asks for everything, and beside it nothing that was not asked for."""
    scopes = [*SCOPES, *IDENTITY, "nhn:sfm:journal-id"]
    client = registered(LoginClient, samples, **LOGIN | SUPPLIERS | {"scopes": scopes})
    code = client.logged_in(f"openid profile {SCOPES[1]}")
    token = read_by_an_api(
        samples.service, client.redeem(code, details=[ORGANISATION, JOURNAL_DETAIL]), SAMPLE
    )
    assert {name: type(token[name]) for name in CLAIMS} == CLAIMS
    assert token[IDENTITY_CLAIM + "pid"] == DOCTOR
    assert token[IDENTITY_CLAIM + "security_level"] == "4"
    assert token[IDENTITY_CLAIM + "assurance_level"] == "high"
    assert token[IDENTITY_CLAIM + "pid_pseudonym"] == token["sub"]
    assert token[CLIENT + "client_tenancy"] == "multi-tenant"
    assert [token[CLIENT + f"claims/orgnr_{who}"] for who in ("parent", "child", "supplier")] == [
        PARENT,
        UNIT,
        SUPPLIER,
    ]
    envelope = {"iss", "nbf", "iat", "exp", "aud", "scope", "client_id", "client_amr", "jti", "cnf", "sub"}
    assert set(token) == envelope | set(CLAIMS)


def test_a_machine_is_told_nothing_about_a_user(samples: Backstage):
    """The same API's token without a login has the claims about the client, in RS256, and the misspelt scope."""
    scopes = [*SCOPES, "nhn:sfm:journal-id"]
    client = registered(CSharpShaped, samples, **SUPPLIERS | {"scopes": scopes})
    answer = client.token(SCOPES[2], assertion_details=[ORGANISATION, JOURNAL_DETAIL])
    token = read_by_an_api(samples.service, answer, SAMPLE)
    assert token["scope"] == [SCOPES[2]]
    assert {name for name in CLAIMS if name in token} == {
        name for name in CLAIMS if name.startswith((CLIENT, "nhn:sfm:"))
    }


def test_a_journal_is_named_alone(samples: Backstage):
    """One structure comes as an object; the claim has an underscore where the structure has a hyphen."""
    members = SUPPLIERS | {"scopes": [f"{PRESCRIBING}/prescribe", "nhn:sfm:journal-id"]}
    client = registered(JavaShaped, samples, **members)
    answer, _ = client.token(f"{PRESCRIBING}/prescribe", assertion_details=JOURNAL_DETAIL)
    assert (
        jwt.decode(answer.json["access_token"], options={"verify_signature": False})["nhn:sfm:journal_id"]
        == JOURNAL
    )
    other = registered(JavaShaped, samples, **members | {"scopes": [f"{PRESCRIBING}/prescribe"]})
    refused, _ = other.token(f"{PRESCRIBING}/prescribe", assertion_details=JOURNAL_DETAIL)
    assert (refused.status, refused.error) == (400, "invalid_scope")
