"""FAPI 2.0 Security Profile (Final), negative modules at the token endpoint and the resource: one test a module.

Each test has the name of its module, without the plan's prefix ``fapi2-security-profile-final-``.
"""

import pytest

from support.backstage import Timeline
from support.conformance_client import ConformanceClient
from support.ehr import Answer
from support.login import LoginEhr, Reception
from support.redeeming import claims_of
from support.service import http
from support.tokens import compact
from support.wire import exchange
from tillit.protocol.jose import SigningKey, generate_key, load_private_jwk, private_jwk


@pytest.fixture(scope="module")
def keys() -> tuple[SigningKey, SigningKey]:
    """The keys of both clients: PS256, as certification runs have them."""
    return generate_key("PS256", rsa_bits=2048), generate_key("PS256", rsa_bits=2048)


@pytest.fixture(scope="module")
def one(reception: Reception, keys: tuple[SigningKey, SigningKey]) -> ConformanceClient:
    """Client 1."""
    return party(reception, keys[0])


@pytest.fixture(scope="module")
def two(reception: Reception, keys: tuple[SigningKey, SigningKey]) -> ConformanceClient:
    """Client 2."""
    return party(reception, keys[1])


def party(reception: Reception, key: SigningKey) -> ConformanceClient:
    """A client with a key of its own."""
    ehr = reception.client()
    reception.backstage.register(
        ehr.client_id,
        key,
        replace=True,
        grants=["authorization_code", "refresh_token"],
        scopes=sorted(reception.registered(ehr).scopes),
    )
    return ConformanceClient(reception, LoginEhr(ehr.service, ehr.client_id, key))


def assert_error(answer: Answer, *codes: str, statuses: tuple[int, ...] = (400,)) -> None:
    """A JSON error with one of the codes; 401 belongs to ``invalid_client`` alone."""
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.status in statuses, answer.body
    assert answer.error in codes, answer.body
    assert answer.status != 401 or answer.error == "invalid_client"


def test_ensure_client_id_in_token_endpoint(one: ConformanceClient, two: ConformanceClient):
    """Client 2's ``client_id`` and assertion, signed by client 1, with client 1's code."""
    forged = two.ehr.assertion(key=one.ehr.key)
    form = one.code_form(one.code(), forged, client_id=two.ehr.client_id)
    assert_error(one.ehr.send(form, one.ehr.proof()), "invalid_client", statuses=(400, 401))


def test_ensure_holder_of_key_required(one: ConformanceClient):
    """A token request without a proof is refused as that; a nonce demand would be the wrong answer."""
    assert_error(one.ehr.send(one.code_form(one.code()), None), "invalid_dpop_proof")


def test_ensure_authorization_code_is_bound_to_client(one: ConformanceClient, two: ConformanceClient):
    """Client 2 cannot redeem client 1's code."""
    form = two.code_form(one.code(), code_verifier=one.ehr.verifier)
    assert_error(two.ehr.send(form, two.ehr.proof()), "invalid_grant")


def test_attempt_reuse_authorization_code_after_one_second(timeline: Timeline):
    """A second later the code is refused, and the token of the first redemption is dead at the resource."""
    instant = timeline.moment()
    timed = ConformanceClient(Reception(timeline.backstage), Reception(timeline.backstage).client())
    code = timed.code()
    token = timed.redeem(code).json["access_token"]
    assert timed.call(token).status == 200
    timeline.at(instant + 1)
    assert_error(timed.redeem(code), "invalid_grant")
    assert timed.call(token).status == 401


def test_ensure_token_endpoint_fails_with_expired_auth_code(timeline: Timeline):
    """After 62 seconds a code is refused."""
    instant = timeline.moment()
    timed = ConformanceClient(Reception(timeline.backstage), Reception(timeline.backstage).client())
    code = timed.code()
    timeline.at(instant + 62)
    assert_error(timed.redeem(code), "invalid_grant")


def test_ensure_pkce_code_verifier_required(one: ConformanceClient):
    """Without a verifier: ``invalid_grant`` exactly."""
    assert_error(one.redeem(one.code(), code_verifier=...), "invalid_grant")


def test_incorrect_pkce_code_verifier_rejected(one: ConformanceClient):
    """With a wrong verifier: ``invalid_grant`` exactly."""
    assert_error(one.redeem(one.code(), code_verifier="incorrect" * 6), "invalid_grant")


def test_ensure_signed_client_assertion_with_rs256_fails(one: ConformanceClient):
    """The same RSA key with RS256 does not authenticate."""
    key = load_private_jwk({**private_jwk(one.ehr.key), "alg": "RS256"})
    form = one.code_form(one.code(), one.ehr.assertion(key=key))
    assert_error(one.ehr.send(form, one.ehr.proof()), "invalid_client", statuses=(400, 401))


def test_ensure_client_assertion_in_token_endpoint(one: ConformanceClient):
    """A ``client_id`` alone does not authenticate."""
    form = one.code_form(
        one.code(), client_assertion=..., client_assertion_type=..., client_id=one.ehr.client_id
    )
    assert_error(
        one.ehr.send(form, one.ehr.proof()), "invalid_client", "invalid_request", statuses=(400, 401)
    )


def test_ensure_client_assertion_with_exp_is_5_minutes_in_past_fails(one: ConformanceClient):
    """An assertion that expired five minutes ago does not authenticate."""
    now = int(one.ehr.service.now())
    old = one.ehr.assertion(iat=now - 360, nbf=now - 360, exp=now - 300)
    assert_error(
        one.ehr.send(one.code_form(one.code(), old), one.ehr.proof()), "invalid_client", statuses=(400, 401)
    )


def test_ensure_client_assertion_with_wrong_aud_fails(one: ConformanceClient):
    """An assertion for another server does not authenticate."""
    foreign = one.ehr.assertion(aud="https://www.other1.example/")
    form = one.code_form(one.code(), foreign)
    assert_error(one.ehr.send(form, one.ehr.proof()), "invalid_client", statuses=(400, 401))


def test_ensure_client_assertion_with_no_sub_fails(one: ConformanceClient):
    """An assertion without a subject does not authenticate."""
    form = one.code_form(one.code(), one.ehr.assertion(sub=...))
    assert_error(one.ehr.send(form, one.ehr.proof()), "invalid_client", statuses=(400, 401))


def test_ensure_token_endpoint_fails_with_mismatched_dpop_proof_jkt(one: ConformanceClient):
    """A proof with one key at PAR and with another at the token endpoint."""
    pushed = one.ehr.proof(nonce=..., htu=one.ehr.par)
    answer = one.redeem(one.code(pushed), key=generate_key("ES256"))
    assert_error(answer, "invalid_dpop_proof", "invalid_grant", "invalid_request")
    assert one.redeem(one.code(one.ehr.proof(nonce=..., htu=one.ehr.par))).status == 200


def test_ensure_token_endpoint_fails_with_mismatched_dpop_jkt(one: ConformanceClient):
    """``dpop_jkt`` of one key in the request, a proof with another at the token endpoint."""
    code = one.code(dpop_jkt=one.ehr.dpop_key.public.thumbprint)
    answer = one.redeem(code, key=generate_key("ES256"))
    assert_error(answer, "invalid_dpop_proof", "invalid_grant", "invalid_request")
    assert one.redeem(code).status == 200


def test_dpop_negative_tests(one: ConformanceClient):
    """At the resource every broken proof is 400 or 401, and the closing good call is answered."""
    token = one.redeem(one.code()).json["access_token"]
    key, now = one.ehr.dpop_key, int(one.ehr.service.now())
    good = {"jti": "a" + one.nonce, "htm": "GET", "htu": one.resource, "iat": now}
    good["ath"] = _ath(one, token)
    header = {"typ": "dpop+jwt", "alg": key.alg, "jwk": key.public.bare_jwk}
    broken = {"not a JWT": "this is not a JWT"}
    broken |= {f"no {name}": compact(header, _without(good, name), key) for name in good}
    broken |= {f"no {name}": compact(_without(header, name), good, key) for name in header}
    private = {**key.public.bare_jwk, "d": "AAAA"}
    changes = {
        "another typ": ({**header, "typ": "JWT"}, good),
        "a private key": ({**header, "jwk": private}, good),
        "RS256": ({**header, "alg": "RS256"}, good),
        "another htm": (header, {**good, "htm": "POST"}),
        "another htu": (header, {**good, "htu": one.resource + "/other"}),
        "an hour ago": (header, {**good, "iat": now - 3600}),
        "in an hour": (header, {**good, "iat": now + 3600}),
        "another ath": (header, {**good, "ath": "A" * 43}),
    }
    broken |= {name: compact(*parts, key) for name, parts in changes.items()}
    broken["none"] = compact({**header, "alg": "none"}, good)
    broken["a broken signature"] = compact(header, good, key)[:-8] + "AAAAAAAA"
    broken["another key"] = one.proof(token, key=generate_key("ES256"))
    for name, proof in broken.items():
        answer = one.call(token, proof)
        assert answer.status in {400, 401}, name
        assert answer.headers["WWW-Authenticate"].startswith("DPoP "), name
    headers = {"Authorization": f"DPoP {token}"}
    assert http("GET", one.resource, headers=headers)[0] in {400, 401}
    assert one.call(token, scheme="Bearer").status in {400, 401}
    assert http("GET", one.resource, headers={"Authorization": f"Bearer {token}"})[0] in {400, 401}
    assert _twice(one, token) in {400, 401}
    _accepted(one, token, header, good, key)


def _accepted(
    one: ConformanceClient, token: str, header: dict[str, object], good: dict[str, object], key: SigningKey
) -> None:
    """What the same module demands to be accepted: query and fragment in ``htu``, extra members, a first use."""
    more = {**header, "extra": "header"}
    for name, changed in {
        "query and fragment": {"htu": one.resource + "?a=b#c"},
        "upper case": {"htu": one.resource.replace("http://", "HTTP://")},
        "extra members": {"extra": ["claim"]},
        "nothing else": {},
    }.items():
        proof = compact(more, {**good, **changed, "jti": name + one.nonce}, key)
        assert one.call(token, proof).status == 200, name
        assert one.call(token, proof).status == 401, f"{name}, twice"
    assert one.call(token, scheme="dpOp").status == 200


def _twice(one: ConformanceClient, token: str) -> int:
    proof = one.proof(token)
    request = f"GET /connect/userinfo HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: DPoP {token}\r\n"
    answer = exchange(one.ehr.service, f"{request}DPoP: {proof}\r\nDPoP: {one.proof(token)}\r\n\r\n".encode())
    assert answer is not None
    return answer.status


def _without(members: dict[str, object], name: str) -> dict[str, object]:
    return {key: value for key, value in members.items() if key != name}


def _ath(one: ConformanceClient, token: str) -> object:
    return claims_of(one.proof(token))["ath"]
