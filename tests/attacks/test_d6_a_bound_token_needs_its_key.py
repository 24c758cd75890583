"""D6: a token of the running service opens a source only with its own proof, and nothing at the service."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from support.backstage import Backstage, SwiftEhr
from support.ehr import ATTESTATION
from support.tokens import key_for
from tillit.protocol.dpop import make_proof
from tillit.protocol.jose import SigningKey
from tillit.verifier import Verifier
from tillit.verifier.adapters.flask import FlaskGuard
from tillit_server.issuer.discovery import TOKEN_PATH

BASE = "https://source.example"
PATIENT = "05825031016"


@pytest.fixture(scope="module")
def source(backstage: Backstage) -> FlaskClient:
    """A document source with several protected views, which trusts the running service."""
    service = backstage.service
    verifier = Verifier(
        service.issuer,
        "nhn:phr",
        accept_established_by={"legal_entity"},
        clock=service.now,
        algorithms=["ES256"],
    )
    guard = FlaskGuard(verifier, base_url=BASE)
    app = Flask("source", static_folder=None)
    guard.init_app(app)
    for name in ("/documents", "/documents/<number>", "/search"):
        app.add_url_rule(name, name, lambda **_: {"client": guard.access(patient=PATIENT).client_id})
    return app.test_client()


@pytest.fixture(scope="module")
def token(attacker: SwiftEhr) -> str:
    """An access token of the running service, bound to the attacker's DPoP key."""
    return str(attacker.token(ATTESTATION).json["access_token"])


def paths(source: FlaskClient) -> list[str]:
    """Every protected address, from the application's own table."""
    return [str(rule).replace("<number>", "1") for rule in source.application.url_map.iter_rules()]


def proof(source: FlaskClient, path: str, key: SigningKey, token: str | None, **changes: Any) -> str:
    method = changes.pop("method", "GET")
    return make_proof(key, method, BASE + path, now=changes.pop("now"), access_token=token, **changes)


@pytest.mark.parametrize(
    "what", ["another key", "Bearer", "no proof", "wrong ath", "no ath", "other address", "twice"]
)
def test_d6_without_its_own_proof_a_token_opens_nothing(
    what: str, source: FlaskClient, token: str, attacker: SwiftEhr
):
    """With another key, as Bearer, without a proof or with one for something else: 401 on every route."""
    now = attacker.service.now()
    for path in paths(source):
        good = proof(source, path, attacker.dpop_key, token, now=now)
        sent = {
            "another key": proof(source, path, key_for("ES256", 6), token, now=now),
            "wrong ath": proof(source, path, attacker.dpop_key, "another token", now=now),
            "no ath": proof(source, path, attacker.dpop_key, None, now=now),
            "other address": proof(source, path + "/x", attacker.dpop_key, token, now=now),
            "twice": f"{good},{good}",
            "Bearer": good,
            "no proof": None,
        }[what]
        headers = {"Authorization": f"{'Bearer' if what == 'Bearer' else 'DPoP'} {token}"}
        headers |= {"DPoP": sent} if sent else {}
        answer = source.get(path, headers=headers)
        assert answer.status_code == 401, (path, answer.data)
        assert answer.headers["WWW-Authenticate"].startswith("DPoP ")
        assert source.get(path, headers={"Authorization": f"DPoP {token}", "DPoP": good}).status_code == 200


def test_d6_a_proof_opens_one_request(source: FlaskClient, token: str, attacker: SwiftEhr):
    """The same proof again is refused at the source too."""
    headers = {"Authorization": f"DPoP {token}"}
    headers["DPoP"] = proof(source, "/documents", attacker.dpop_key, token, now=attacker.service.now())
    assert source.get("/documents", headers=headers).status_code == 200
    assert source.get("/documents", headers=headers).status_code == 401


def test_d6_an_access_token_is_no_way_into_the_service_itself(token: str, attacker: SwiftEhr):
    """No route of the service that takes a request takes an access token for client authentication."""
    url = attacker.service.issuer + TOKEN_PATH
    now = attacker.service.now()
    for scheme in ("DPoP", "Bearer"):
        headers = {"Authorization": f"{scheme} {token}"}
        own = make_proof(attacker.dpop_key, "POST", url, now=now, nonce=attacker.nonce(), access_token=token)
        form = {"grant_type": "client_credentials", "client_id": attacker.client_id}
        assert attacker.send(form, own, headers=headers).status == 401
        form = attacker.form(token)
        assert attacker.send(form, own).status == 401
