"""FAPI 2.0 Security Profile (Final), module ``refresh-token``: one test for each of its demands."""

import re
from typing import Any

import pytest

from support.backstage import Timeline
from support.conformance_client import PLAIN, ConformanceClient
from support.login import Reception
from support.redeeming import claims_of
from support.service import http_json
from tillit.protocol.jose import generate_key

VSCHAR = re.compile(r"[\x20-\x7e]+")


@pytest.fixture(scope="module")
def one(reception: Reception) -> ConformanceClient:
    """Client 1."""
    return ConformanceClient(reception, reception.client())


@pytest.fixture(scope="module")
def two(reception: Reception) -> ConformanceClient:
    """Client 2."""
    return ConformanceClient(reception, reception.client())


def tokens(party: ConformanceClient, **fields: Any) -> dict[str, Any]:
    """The tokens of a new login, asked for as the module asks: with ``prompt=consent``."""
    answer = party.redeem(party.code(prompt="consent", **fields))
    assert answer.status == 200, answer.body
    return dict(answer.json)


@pytest.mark.parametrize("repeat_scope", [True, False], ids=["client-1", "client-2"])
def test_refresh_token_with_a_new_dpop_key(repeat_scope: bool, one: ConformanceClient):
    """A newly generated key is accepted, and the new access token is bound to it (RFC 9449 5)."""
    first, key = tokens(one), generate_key("ES256")
    fields = {"scope": PLAIN} if repeat_scope else {}
    answer = one.refresh(first["refresh_token"], key=key, **fields)
    assert answer.status == 200, answer.body
    token = answer.json["access_token"]
    assert claims_of(token)["cnf"]["jkt"] == key.public.thumbprint
    assert one.call(token, one.proof(token, key=key)).status == 200
    assert one.call(token).status == 401


def test_refresh_token_answer(timeline: Timeline):
    """JSON, ``no-store``, DPoP, printable and long; the ID token is the first one's, only newer."""
    instant = timeline.moment()
    reception = Reception(timeline.backstage)
    party = ConformanceClient(reception, reception.client())
    first = tokens(party)
    timeline.at(instant + 2)
    answer = party.refresh(first["refresh_token"])
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json
    assert body["token_type"] == "DPoP"
    assert type(body["expires_in"]) is int
    for name in ("access_token", "refresh_token"):
        assert VSCHAR.fullmatch(body[name])
        assert len(body[name]) >= 43
    assert body["rt_expires_in"] == first["rt_expires_in"] - 2
    before, after = claims_of(first["id_token"]), claims_of(body["id_token"])
    same = ("iss", "sub", "aud", "azp", "auth_time", "sid", "acr")
    assert [after.get(name) for name in same] == [before.get(name) for name in same]
    assert after["iat"] == before["iat"] + 2
    assert before["nonce"] == party.nonce
    assert "nonce" not in after


def test_refresh_token_is_not_rotated(timeline: Timeline):
    """The same refresh token comes back, and still works 30 seconds later."""
    instant = timeline.moment()
    reception = Reception(timeline.backstage)
    party = ConformanceClient(reception, reception.client())
    token = tokens(party)["refresh_token"]
    assert party.refresh(token).json["refresh_token"] == token
    timeline.at(instant + 31)
    assert party.refresh(token).status == 200


def test_refresh_token_without_client_authentication(one: ConformanceClient):
    """A proof without an assertion or ``client_id`` is not enough."""
    token = tokens(one)["refresh_token"]
    form = one.form("refresh_token", refresh_token=token, client_assertion=..., client_assertion_type=...)
    answer = one.ehr.send(form, one.ehr.proof())
    assert (answer.status, answer.error) == (401, "invalid_client")


def test_refresh_token_without_proof(one: ConformanceClient):
    """Client authentication without a proof is not enough, and no nonce is demanded instead."""
    token = tokens(one)["refresh_token"]
    answer = one.ehr.send(one.form("refresh_token", refresh_token=token), None)
    assert (answer.status, answer.error) == (400, "invalid_dpop_proof")


def test_refresh_token_of_another_client(one: ConformanceClient, two: ConformanceClient):
    """Client 2's refresh token in client 1's hands is ``invalid_grant``."""
    token = tokens(two)["refresh_token"]
    answer = one.refresh(token)
    assert (answer.status, answer.error) == (400, "invalid_grant")
    assert two.refresh(token).status == 200


def test_refresh_token_is_in_the_metadata(one: ConformanceClient):
    """``grant_types_supported`` lists what the token endpoint takes."""
    _, _, metadata = http_json("GET", one.ehr.service.issuer + "/.well-known/openid-configuration")
    assert {"authorization_code", "refresh_token", "client_credentials"} <= set(
        metadata["grant_types_supported"]
    )
