"""Foreign clients against the running service: Nimbus in Java, x/oauth2 and go-oidc in Go, openid-client in JavaScript.

The libraries are as their makers published them; the few lines around them are ours.
"""

import json
import secrets
from pathlib import Path
from typing import Any

import jwt
import pytest

from support.backstage import SELF_SERVICE, Backstage
from support.ehr import ATTESTATION
from support.foreign_programs import go_program, java_program, running
from support.service import PHR
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
        self.details = place / "details.json"
        self.details.write_text(json.dumps(ATTESTATION), encoding="utf-8")

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
    with running([*program, *client.arguments("machine", PHR, str(client.details))]) as java:
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
