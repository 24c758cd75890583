"""The metadata modules of all plans, and the shipped configuration that a suite is pointed at, behind real TLS.

Each test of a module has its name. What the suite would read from its own configuration is read from the files
in `config/conformance`.
"""

import json
import re
import ssl
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest

from support.certification import (
    BASE,
    CONFIGURATION,
    SCOPE,
    Certification,
    CertifiedParty,
    certification,
)
from support.ehr import ATTESTATION
from support.granted import revoke
from support.service import clean_environment, http
from tillit.protocol.dpop import make_proof
from tillit.protocol.gate import read_jws
from tillit.protocol.jose import load_private_jwk, load_public_jwks, verify
from tillit.protocol.scope import parse_scope
from tillit_server.issuer.claims import CLAIMS_OF_SCOPE

pytestmark = pytest.mark.xdist_group("certification")

OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"
FAPI_ALGORITHMS = {"PS256", "ES256", "EdDSA", "Ed25519"}
LANGUAGE_TAG = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
# The members that the suite knows, as far as we publish any of them.
KNOWN = {
    *("issuer", "jwks_uri", "authorization_endpoint", "token_endpoint", "userinfo_endpoint"),
    *("end_session_endpoint", "pushed_authorization_request_endpoint", "introspection_endpoint"),
    *("revocation_endpoint", "response_types_supported", "response_modes_supported"),
    *("grant_types_supported", "subject_types_supported", "scopes_supported", "claims_supported"),
    *("code_challenge_methods_supported", "token_endpoint_auth_methods_supported", "prompt_values_supported"),
    *("token_endpoint_auth_signing_alg_values_supported", "id_token_signing_alg_values_supported"),
    *("dpop_signing_alg_values_supported", "request_object_signing_alg_values_supported"),
    *("request_parameter_supported", "request_uri_parameter_supported", "claims_parameter_supported"),
    *("authorization_response_iss_parameter_supported", "require_pushed_authorization_requests"),
    *("authorization_details_types_supported", "acr_values_supported", "ui_locales_supported"),
    *("introspection_endpoint_auth_methods_supported", "revocation_endpoint_auth_methods_supported"),
    *(
        "introspection_endpoint_auth_signing_alg_values_supported",
        "introspection_signing_alg_values_supported",
    ),
    "revocation_endpoint_auth_signing_alg_values_supported",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certification]:
    """The shipped configuration, running."""
    with certification(tmp_path_factory.mktemp("certification")) as running:
        yield running


def fetched(run: Certification, path: str = OPENID) -> dict[str, Any]:
    """A document that is published, as the suite demands it: 200, JSON, no redirect."""
    status, headers, body = http("GET", run.service.issuer + path)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    return dict(json.loads(body))


@pytest.fixture(scope="module")
def metadata(run: Certification) -> dict[str, Any]:
    """The metadata."""
    return fetched(run)


def suite(name: str) -> dict[str, Any]:
    """A configuration file of the suite."""
    return dict(json.loads((CONFIGURATION / "suite" / f"{name}.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("plan", ["openid_connect", "plain_oauth", "fapi_client_credentials_grant", "signed"])
def test_fapi2_security_profile_final_discovery_end_point_verification(
    plan: str, run: Certification, metadata: dict[str, Any]
):
    """Section 6.1 of every variant: issuer, endpoints, algorithms, PKCE, PAR and the issuer in the response."""
    path = OAUTH if plan == "plain_oauth" else OPENID
    document = fetched(run, path)
    assert document == metadata  # both places hold the same
    assert document["issuer"] == run.service.issuer == (run.service.issuer + path).removesuffix(path)
    assert urlsplit(document["issuer"]).scheme == "https"
    assert document["response_types_supported"] == ["code"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert document["require_pushed_authorization_requests"] is True
    assert document["claims_parameter_supported"] is False
    assert {"authorization_code", "refresh_token", "client_credentials"} <= set(
        document["grant_types_supported"]
    )
    algorithms = [name for name in document if "_signing_alg_values_supported" in name]
    assert len(algorithms) >= 5
    for name in algorithms:
        assert FAPI_ALGORITHMS & set(document[name]), name
        assert not {"none", "HS256", "HS384", "HS512"} & set(document[name]), name
    assert document["dpop_signing_alg_values_supported"][0] in FAPI_ALGORITHMS
    assert "openid" in document["scopes_supported"]
    assert all(parse_scope(scope) == (scope,) for scope in document["scopes_supported"])
    assert document["subject_types_supported"] == ["pairwise"]
    if plan == "signed":
        assert document["request_parameter_supported"] is True
        assert document["request_uri_parameter_supported"] is False


def test_oidcc_discovery_endpoint_verification(metadata: dict[str, Any]):
    """The Config plan: RS256 for ID tokens, https everywhere, lists that are lists, no member of our own making."""
    assert "RS256" in metadata["id_token_signing_alg_values_supported"]
    assert "RS256" in metadata["request_object_signing_alg_values_supported"]
    for name, value in metadata.items():
        if name.endswith(("_endpoint", "_uri")) or name == "available_idps":
            assert urlsplit(value).scheme == "https", name
        if name.endswith("_supported"):
            assert isinstance(value, bool) or (value and all(isinstance(word, str) for word in value)), name
    assert metadata["userinfo_endpoint"]
    assert {"sub", "name", "helseid://claims/identity/pid"} <= set(metadata["claims_supported"])
    assert all(LANGUAGE_TAG.fullmatch(tag) for tag in metadata["ui_locales_supported"])
    allowed = set(suite("oidcc-config")["server"]["allow_unexpected_metadata_fields"])
    assert set(metadata) - KNOWN == allowed
    # A published client copies such members into its requests.
    assert not {"response_mode", "nonce", "prompt", "login_hint", "scope"} & set(metadata)


def test_oidcc_rp_initiated_logout_discovery_endpoint_verification(metadata: dict[str, Any]):
    """`end_session_endpoint`, https; nothing is said of logout by other channels, which is not there."""
    assert urlsplit(metadata["end_session_endpoint"]).scheme == "https"
    assert not [name for name in metadata if "channel_logout" in name or name == "check_session_iframe"]


def test_the_key_set_fits_the_algorithms(run: Certification, metadata: dict[str, Any]):
    """Section 6.2: https, distinct ids, sizes, public members only, and a key for each algorithm that is listed."""
    path = metadata["jwks_uri"].removeprefix(run.service.issuer)
    keys = fetched(run, path)["keys"]
    assert len({key["kid"] for key in keys}) == len(keys)
    assert {key["alg"] for key in keys} == set(metadata["id_token_signing_alg_values_supported"])
    assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & {name for key in keys for name in key}
    assert len(load_public_jwks({"keys": keys}, algorithms=("ES256", "PS256", "RS256"))) == len(keys)


def test_every_endpoint_that_is_named_is_there(run: Certification, metadata: dict[str, Any]):
    """No address of the metadata is a 404, by the method that belongs to it."""
    for name, url in metadata.items():
        if name.endswith(("_endpoint", "_uri")) or name == "available_idps":
            statuses = {http("GET", url)[0], http("POST", url, body=b"")[0]}
            assert 404 not in statuses, name
            assert statuses != {405}, name


def test_every_identity_scope_that_is_named_is_granted(run: Certification, metadata: dict[str, Any]):
    """What `scopes_supported` says beside the scopes of APIs stands for claims, or for what a client may send."""
    meant = {"openid", "offline_access", *CLAIMS_OF_SCOPE, "accounts"}
    assert set(metadata["scopes_supported"]) - meant == {
        "nhn:tillitsrammeverk:parameters",
        "nhn:sfm:journal-id",
    }


def test_the_providers_can_be_named(run: Certification, metadata: dict[str, Any]):
    """`available_idps` names the test provider as `acr_values` would."""
    (idp,) = fetched(run, metadata["available_idps"].removeprefix(run.service.issuer))["idps"]
    assert idp["acr_values"] == f"idp:{idp['name']}"
    assert idp["security_levels"] == ["3", "4"]


def test_the_details_have_a_schema(run: Certification, metadata: dict[str, Any]):
    """Each type of authorization details has a JSON Schema, which the attestation of the tests fits."""
    path = metadata["authorization_details_types_metadata_endpoint"].removeprefix(run.service.issuer)
    types = fetched(run, path)
    assert sorted(types) == metadata["authorization_details_types_supported"]
    for described in types.values():
        jsonschema.Draft202012Validator.check_schema(described["schema"])
    jsonschema.validate(ATTESTATION, types["nhn:tillitsrammeverk:parameters"]["schema"])


def test_nothing_before_tls_1_2(run: Certification):
    """The terminator of these tests speaks 1.2 and 1.3; so does the one that is shipped."""
    assert run.service.tls._context.minimum_version == ssl.TLSVersion.TLSv1_2
    shipped = (CONFIGURATION / "nginx.conf").read_text(encoding="utf-8")
    assert re.search(r"ssl_protocols TLSv1.2 TLSv1.3;", shipped)
    suites = re.search(r"ssl_ciphers ([^;]+);", shipped)
    assert suites
    assert all(
        name.startswith("ECDHE-") and name.endswith(("GCM-SHA256", "GCM-SHA384"))
        for name in suites[1].split(":")
    )


@pytest.mark.parametrize(
    ("client", "redirect_uri"),
    [("fapi-1", f"{BASE}/callback"), ("fapi-2", f"{BASE}/callback?dummy1=lorem&dummy2=ipsum")],
)
def test_happy_flow_with_the_shipped_clients(client: str, redirect_uri: str, run: Certification):
    """From PAR through the test provider to the resource: scheme in any case, interaction id, registered query."""
    party = run.client(client, redirect_uri)
    back = party.log_in(run.visitor(), scope=SCOPE)
    assert back.location.startswith(redirect_uri)
    assert back.parameters["iss"] == run.service.issuer
    answer = party.redeem(back.code)
    assert (answer.status, answer.json["token_type"]) == (200, "DPoP")
    jws = read_jws(answer.json["id_token"])
    assert jws.header["alg"] == "PS256"
    keys = load_public_jwks(fetched(run, f"{OPENID}/jwks"), algorithms=("ES256", "PS256", "RS256"))
    verify(jws, keys, algorithms=("PS256",))
    token, interaction = answer.json["access_token"], str(uuid.uuid4())
    called = run.ask(party, token, scheme="dpOp", **{"x-fapi-interaction-id": interaction})
    assert (called.status, called.headers["x-fapi-interaction-id"]) == (200, interaction)
    assert called.headers["Date"]
    assert len(called.json["accounts"]) == 2
    assert party.refresh(answer.json["refresh_token"]).status == 200


def test_the_resource_sees_a_revocation_at_once(run: Certification):
    """A token that was given up is refused by the resource, which asks."""
    party = run.client("fapi-1")
    token = party.redeem(party.log_in(run.visitor(), scope=SCOPE).code).json["access_token"]
    assert run.ask(party, token).status == 200
    assert revoke(party, token).status == 200
    assert run.ask(party, token).status == 401


def test_machines_reach_the_resource(run: Certification):
    """Client credentials: a token without a user, no refresh token."""
    party = run.client("fapi-cc-1")
    form = party.form(party.assertion(), scope="accounts")
    answer = party.send(form, party.proof())
    assert answer.status == 200, answer.body
    assert "refresh_token" not in answer.json
    assert run.ask(party, answer.json["access_token"]).status == 200


def machine_token(run: Certification) -> tuple[CertifiedParty, str]:
    """A client of the client credentials plan, and its token."""
    party = run.client("fapi-cc-1")
    answer = party.send(party.form(party.assertion(), scope="accounts"), party.proof())
    return party, answer.json["access_token"]


def test_access_token_type_header_case_sensitivity(run: Certification):
    """The resource compares the scheme without regard to case, for a machine too."""
    party, token = machine_token(run)
    assert run.ask(party, token, scheme="dpOp").status == 200


@pytest.mark.parametrize(
    "module", ["ensure-dpopproof-with-iat-10seconds-before", "ensure-dpopproof-with-iat-10seconds-after"]
)
def test_ensure_dpopproof_with_iat_10seconds(module: str, run: Certification):
    """Clocks that differ by ten seconds back, or eight ahead, at the token endpoint and at the resource."""
    offset = -10 if module.endswith("before") else 8
    party = run.client("fapi-cc-2")
    at = int(run.service.now()) + offset
    answer = party.send(party.form(party.assertion(), scope="accounts"), party.proof(iat=at))
    assert answer.status == 200, answer.body
    token = answer.json["access_token"]
    proof = make_proof(party.dpop_key, "GET", run.accounts, now=at, access_token=token)
    called = http("GET", run.accounts, headers={"Authorization": f"DPoP {token}", "DPoP": proof})
    assert called[0] == 200


def test_test_claims_parameter_identity_claims(metadata: dict[str, Any]):
    """The module is skipped, as the suite does where the parameter is not offered: we say that it is not."""
    assert metadata["claims_parameter_supported"] is False


def test_the_signing_clients_must_sign(run: Certification):
    """Message Signing: a plain request is refused, a signed one leads to a code."""
    party = run.client("fapi-ms-1")
    assert party.push(scope=SCOPE).error == "invalid_request"
    answer = party.push_signed(scope=SCOPE)
    assert answer.status == 201, answer.body
    assert 60 <= answer.json["expires_in"] <= 90


@pytest.mark.parametrize("what", ["token in the query", "no proof", "Bearer", "another key", "no token"])
def test_the_resource_refuses(what: str, run: Certification):
    """400 or 401 and nothing else, for what the negative modules send."""
    party = run.client("fapi-cc-1")
    form = party.form(party.assertion(), scope="accounts")
    token = party.send(form, party.proof()).json["access_token"]
    good = make_proof(party.dpop_key, "GET", run.accounts, now=run.service.now(), access_token=token)
    headers = {
        "token in the query": {"DPoP": good},
        "no proof": {"Authorization": f"DPoP {token}"},
        "Bearer": {"Authorization": f"Bearer {token}"},
        "another key": {
            "Authorization": f"DPoP {token}",
            "DPoP": make_proof(
                run.client("fapi-2").dpop_key, "GET", run.accounts, now=run.service.now(), access_token=token
            ),
        },
        "no token": {},
    }[what]
    query = f"?access_token={token}" if what == "token in the query" else ""
    assert http("GET", run.accounts + query, headers=headers)[0] in {400, 401}


SUITES = sorted(path.stem for path in (CONFIGURATION / "suite").glob("*.json"))


def test_the_suite_gets_the_keys_that_the_service_has_made(run: Certification, tmp_path: Path):
    """One private key for each client, with `kid`, `use` and `alg`; the clients of a plan have different ones."""
    command = [sys.executable, str(CONFIGURATION / "fill.py"), "--data", str(run.service.data)]
    subprocess.run([*command, "--output", str(tmp_path)], check=True, env=clean_environment(), timeout=30)
    assert sorted(path.stem for path in tmp_path.iterdir()) == SUITES
    for name in SUITES:
        file = tmp_path / f"{name}.json"
        assert file.stat().st_mode & 0o077 == 0
        document = json.loads(file.read_bytes())
        assert "key of" not in file.read_text(encoding="utf-8")
        clients = [document[part] for part in ("client", "client2") if part in document]
        kids = [key["kid"] for client in clients for key in client["jwks"]["keys"]]
        assert len(set(kids)) == len(clients)
        for client in clients:
            (key,) = client["jwks"]["keys"]
            assert (key["alg"], key["use"]) == ("PS256", "sig")
            assert load_private_jwk({n: v for n, v in key.items() if n != "use"}).kid == key["kid"]


@pytest.mark.parametrize("name", SUITES)
def test_the_suites_configuration_fits_the_service(name: str):
    """Its addresses are those of the settings, its clients are registered, with the redirect URIs of the alias."""
    document = suite(name)
    settings = tomllib.loads((CONFIGURATION / "tillit.toml").read_text(encoding="utf-8"))
    clients = tomllib.loads((CONFIGURATION / "clients" / "suite.toml").read_text(encoding="utf-8"))["client"]
    registered = {client["id"]: client for client in clients}
    assert document["server"]["discoveryUrl"] == settings["issuer"] + OPENID
    assert document["alias"] == "tillit"
    for part, uri in (("client", "/callback"), ("client2", "/callback?dummy1=lorem&dummy2=ipsum")):
        if part not in document:
            continue
        client = registered[document[part]["client_id"]]
        assert set(document[part]["scope"].split()) <= set(client["scopes"])
        if "authorization_code" in client["grants"]:
            assert BASE + uri in client["redirect_uris"]
    assert json.dumps(document).count("http://127.0.0.1:9080/") == json.dumps(document).count("http://")


def test_it_starts_from_the_root_of_the_repository(run: Certification):
    """With the shipped settings file as it is, every client of a run is registered, its keys made."""
    for client in ("fapi-1", "fapi-2", "fapi-ms-1", "fapi-ms-2", "fapi-cc-1", "fapi-cc-2", "accounts"):
        assert client in run.service.registered
