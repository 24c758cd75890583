"""FAPI 2.0, modules about pushed requests and the authorization endpoint: one test a module, over HTTP.

Each test has the name of its module, without the plan's prefix ``fapi2-security-profile-final-``. What runs in
both plans runs here in both ways to ask: in form parameters, and signed.
"""

import json
import secrets
from base64 import urlsafe_b64decode
from typing import Any
from urllib.parse import urlencode

import pytest

from support.backstage import Backstage, Timeline
from support.ehr import Answer
from support.login import LoginEhr, Reception
from support.relying_party import RelyingParty
from support.run_of_modules import CALLBACK, OTHER_CALLBACK, SCOPE, Runner, refusal, run_client, shown
from support.service import http_json
from support.visitor import Returned, Visitor
from tillit.protocol.errors import OAuthError
from tillit.protocol.jose import generate_key, load_private_jwk, private_jwk
from tillit_server.issuer.login.browser import LogIn

IN_PAR = (400, "invalid_request")
IN_OBJECT = (400, "invalid_request_object")


@pytest.fixture(scope="module")
def one(backstage: Backstage) -> RelyingParty:
    """Client 1."""
    return run_client(backstage, CALLBACK)


@pytest.fixture(scope="module")
def two(backstage: Backstage) -> RelyingParty:
    """Client 2: another key, and a redirect URI with a query."""
    return run_client(backstage, OTHER_CALLBACK)


@pytest.fixture(scope="module")
def signer(backstage: Backstage) -> RelyingParty:
    """Client 1 of a run in which requests are signed."""
    return run_client(backstage, CALLBACK, require_signed_request_object=True)


@pytest.fixture(params=["unsigned", "signed"])
def run(request: pytest.FixtureRequest, one: RelyingParty, signer: RelyingParty) -> Runner:
    """A run of either plan."""
    return Runner(signer, signed=True) if request.param == "signed" else Runner(one, signed=False)


@pytest.fixture
def signed(signer: RelyingParty) -> Runner:
    """A run of the plan for signed requests."""
    return Runner(signer, signed=True)


@pytest.fixture
def unsigned(one: RelyingParty) -> Runner:
    """A run of the plan for requests in form parameters."""
    return Runner(one, signed=False)


def id_token_of(answer: Answer) -> dict[str, Any]:
    payload = answer.json["id_token"].split(".")[1]
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def completed(run: Runner, back: Returned) -> Answer:
    """The code is good, and the answer is a token."""
    answer = run.client.redeem(back.code)
    assert answer.status == 200, answer.body
    assert answer.headers["Cache-Control"] == "no-store"
    return answer


# ── positive modules ──


def test_happy_flow(run: Runner, two: RelyingParty):
    """Both clients get in; state, nonce, issuer and the registered query come back as they were."""
    nonce, state = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
    back = run.returned(nonce=nonce, state=state)
    assert set(back.parameters) == {"code", "state", "iss"}
    assert (back.parameters["state"], back.parameters["iss"]) == (state, run.client.service.issuer)
    assert len(back.code) * 6 >= 128
    assert id_token_of(completed(run, back))["nonce"] == nonce

    second = Runner(two, run.signed)
    state, nonce = (secrets.token_urlsafe(96) + "-._~")[-128:], secrets.token_urlsafe(32)[:43]
    typ, iat = {"typ": "OAuth-AuthZ-Req+jwt"}, int(two.service.now())
    header = {"header": typ} if run.signed else {}
    back = second.returned(
        state=state, nonce=nonce, dpop_jkt=two.dpop_key.public.thumbprint, iat=iat, **header
    )
    assert back.location.startswith(OTHER_CALLBACK + "&")
    assert {"dummy1": "lorem", "dummy2": "ipsum", "state": state}.items() <= back.parameters.items()
    assert id_token_of(completed(second, back))["nonce"] == nonce


def test_ensure_request_object_with_multiple_aud_succeeds(signed: Runner):
    """The issuer among foreign audiences will do."""
    issuer = signed.client.service.issuer
    completed(signed, signed.returned(aud=["https://other1.example", issuer, "https://other2.example"]))


def test_ensure_authorization_request_without_state_success(run: Runner):
    """No state in, none out."""
    back = run.returned(state=...)
    assert set(back.parameters) == {"code", "iss"}
    completed(run, back)


def test_ensure_authorization_request_without_nonce_success(run: Runner):
    """No nonce in, none in the ID token."""
    assert "nonce" not in id_token_of(completed(run, run.returned(nonce=...)))


def test_ensure_authorization_request_with_64_char_nonce_success(run: Runner):
    """64 characters come back unchanged."""
    nonce = secrets.token_urlsafe(48)
    assert len(nonce) == 64
    assert id_token_of(completed(run, run.returned(nonce=nonce)))["nonce"] == nonce


def test_ensure_authorization_request_with_long_nonce(run: Runner):
    """384 characters come back unchanged."""
    nonce = secrets.token_urlsafe(288)
    assert len(nonce) == 384
    assert id_token_of(completed(run, run.returned(nonce=nonce)))["nonce"] == nonce


def test_ensure_authorization_request_with_long_state(run: Runner):
    """1000 characters come back unchanged."""
    state = secrets.token_urlsafe(750)
    assert len(state) == 1000
    assert run.returned(state=state).parameters["state"] == state


def test_ensure_other_scope_order_succeeds(run: Runner):
    """The order of the words means nothing."""
    completed(run, run.returned(scope=" ".join(reversed(SCOPE.split()))))


def test_check_dpop_proof_nbf_exp(run: Runner):
    """A proof at the push may hold ``nbf`` and ``exp``."""
    now = run.soon(0)
    completed(run, run.returned(run.proof(nbf=now, exp=now + 60)))


@pytest.mark.parametrize("offset", [-10, 8])
def test_ensure_dpopproof_with_iat_10seconds_before_and_after_succeeds(offset: int, run: Runner):
    """A proof at the push may be ten seconds old, and eight seconds ahead."""
    completed(run, run.returned(run.proof(iat=run.soon(offset))))


def test_ensure_dpopproof_at_par_endpoint_binding_success(run: Runner):
    """The key of a proof at the push is the key at the token endpoint."""
    completed(run, run.returned(run.proof()))


def test_ensure_dpop_auth_code_binding_success(run: Runner):
    """A key that is only named at the push is the key at the token endpoint."""
    completed(run, run.returned(dpop_jkt=run.client.dpop_key.public.thumbprint))


def test_ensure_request_object_with_nbf_8_seconds_in_the_future_is_accepted(signed: Runner):
    """A clock may run eight seconds ahead."""
    completed(signed, signed.returned(nbf=signed.soon(8)))


def test_par_ensure_jwt_client_assertions_nbf_8_seconds_in_the_future_is_accepted(run: Runner):
    """So may that of an assertion."""
    ahead = run.soon(8)
    assertion = run.client.assertion(iat=ahead, nbf=ahead, exp=ahead + 60)
    assert run.push(assertion=assertion).status == 201


def test_par_without_duplicate_parameters(run: Runner):
    """``client_id`` and ``request_uri`` are enough."""
    uri = run.push().json["request_uri"]
    link = f"{run.client.service.issuer}/connect/authorize?client_id={run.client.client_id}&request_uri={uri}"
    completed(run, Visitor(run.client.service).log_in(link))


def test_par_ensure_reused_request_uri_prior_to_auth_completion_succeeds(run: Runner):
    """Opened twice, logged in once: fine."""
    visitor, link = Visitor(run.client.service), run.link()
    visitor.open(link)
    completed(run, visitor.log_in(link))


def test_plain_fapi_tolerate_unregistered_redirect_uri(run: Runner):
    """We do not: ``invalid_request``."""
    assert refusal(run.push(redirect_uri=f"{CALLBACK}/{secrets.token_hex(8)}")) == IN_PAR


def test_ensure_different_nonce_inside_and_outside_request_object(run: Runner):
    """The pushed nonce counts."""
    nonce = secrets.token_urlsafe(16)
    back = run.returned(nonce=nonce, outside={"nonce": "outside"})
    assert id_token_of(completed(run, back))["nonce"] == nonce


def test_ensure_different_state_inside_and_outside_request_object(run: Runner):
    """The pushed state counts."""
    state = secrets.token_urlsafe(16)
    assert run.returned(state=state, outside={"state": "outside"}).parameters["state"] == state


def test_state_only_outside_request_object_not_used(run: Runner):
    """A state that was not pushed does not come back."""
    assert "state" not in run.returned(state=..., outside={"state": "outside"}).parameters


# ── negative modules ──


def test_user_rejects_authentication(run: Runner, two: RelyingParty):
    """``access_denied`` with state and issuer; the registered query is kept, and there is no code."""
    for runner, state in ((run, secrets.token_urlsafe(16)), (Runner(two, run.signed), "s" * 128)):
        back = Visitor(two.service).log_in(runner.link(state=state), cancel=True)
        assert back.location.startswith(runner.client.redirect_uri)
        assert (back.error, back.parameters["state"]) == ("access_denied", state)
        registered = {"dummy1", "dummy2"} if runner.client is two else set()
        assert set(back.parameters) == {"error", "error_description", "state", "iss"} | registered


def test_ensure_unsigned_authorization_request_without_using_par_fails(one: RelyingParty):
    """Ordinary parameters at the authorization endpoint: an error page."""
    query = urlencode({"client_id": one.client_id, **one.parameters()})
    answer = Visitor(one.service).open(f"{one.service.issuer}/connect/authorize?{query}")
    assert shown(answer) == "invalid_request"


def test_ensure_redirect_uri_in_authorization_request(unsigned: Runner):
    """Without ``redirect_uri`` nothing is pushed."""
    assert refusal(unsigned.push(redirect_uri=...)) == IN_PAR


def test_ensure_request_object_without_redirect_uri_fails(signed: Runner):
    """Nor is a request object without it."""
    assert refusal(signed.push(redirect_uri=...)) == IN_PAR


def test_ensure_response_type_code_idtoken_fails(run: Runner):
    """No hybrid flow."""
    assert refusal(run.push(response_type="code id_token")) == (400, "unsupported_response_type")


def test_ensure_response_type_token_fails(run: Runner):
    """No implicit flow."""
    assert refusal(run.push(response_type="token")) == (400, "unsupported_response_type")


def test_par_authorization_request_containing_request_uri_form_param(unsigned: Runner):
    """``request_uri`` in the form is refused."""
    uri = unsigned.push().json["request_uri"]
    assert refusal(unsigned.push(request_uri=uri)) == IN_PAR


def test_par_authorization_request_containing_request_uri(signed: Runner):
    """``request_uri`` in a request object is refused."""
    uri = signed.push().json["request_uri"]
    assert refusal(signed.push(request_uri=uri)) == IN_OBJECT


def test_par_attempt_invalid_http_method(run: Runner):
    """PUT is 405."""
    client = run.client
    answer = client.send(client.pushed_form(), None, url=client.par, method="PUT")
    assert answer.status == 405


def test_par_ensure_pkce_required(run: Runner):
    """No challenge, no request, also when it is signed."""
    assert refusal(run.push(code_challenge=..., code_challenge_method=...)) == IN_PAR
    assert refusal(run.push(code_challenge=...)) == IN_PAR


def test_par_plain_pkce_rejected(run: Runner):
    """``plain`` is no method, whether named or left out."""
    assert refusal(run.push(code_challenge_method="plain")) == IN_PAR
    assert refusal(run.push(code_challenge_method=...)) == IN_PAR


def test_par_attempt_reuse_request_uri(run: Runner):
    """After the login the link is dead."""
    visitor, link = Visitor(run.client.service), run.link()
    completed(run, visitor.log_in(link))
    assert shown(visitor.open(link)) == "invalid_request_uri"


@pytest.mark.xdist_group("timeline")
def test_par_attempt_to_use_expired_request_uri(timeline: Timeline):
    """Exactly ``expires_in`` seconds after the push the link is dead."""
    reception = Reception(timeline.backstage)
    ehr: LoginEhr = reception.client()
    start = timeline.moment()
    answer = ehr.push().json
    timeline.at(start + answer["expires_in"] - 1)
    assert isinstance(reception.open(ehr, answer["request_uri"]), LogIn)
    timeline.at(start + answer["expires_in"])
    with pytest.raises(OAuthError) as caught:
        reception.open(ehr, answer["request_uri"])
    assert caught.value.code == "invalid_request_uri"


def test_par_attempt_to_use_request_uri_for_different_client(run: Runner, two: RelyingParty):
    """Another client's id beside it: an error page."""
    link = run.link().replace(run.client.client_id, two.client_id)
    assert shown(Visitor(two.service).open(link)) == "invalid_request_uri"


def test_par_ensure_jwt_client_assertions_nbf_over_60_seconds_in_the_future_fails(run: Runner):
    """62 seconds ahead is too far."""
    ahead = run.soon(62)
    assertion = run.client.assertion(iat=ahead, nbf=ahead, exp=ahead + 60)
    assert refusal(run.push(assertion=assertion)) == (401, "invalid_client")


def test_par_test_array_as_audience_fails(run: Runner):
    """An array, though it holds the issuer."""
    client = run.client
    assertion = client.assertion(aud=[client.service.issuer, client.endpoint])
    assert refusal(run.push(assertion=assertion)) == (401, "invalid_client")


def test_par_test_par_endpoint_url_as_audience_fails(run: Runner):
    """The address of the endpoint."""
    assertion = run.client.assertion(aud=run.client.par)
    assert refusal(run.push(assertion=assertion)) == (401, "invalid_client")


def test_par_test_token_endpoint_url_as_audience_fails(run: Runner):
    """The address of the token endpoint."""
    assertion = run.client.assertion(aud=run.client.endpoint)
    assert refusal(run.push(assertion=assertion)) == (401, "invalid_client")


def test_ensure_mismatched_dpop_jkt_fails(run: Runner):
    """A proof by one key, and the name of another."""
    other = generate_key("ES256").public.thumbprint
    assert refusal(run.push(run.proof(), dpop_jkt=other)) == (400, "invalid_dpop_proof")


def test_ensure_unsigned_request_at_par_endpoint_fails(signer: RelyingParty):
    """Who has to sign may not ask in form parameters."""
    assert refusal(Runner(signer, signed=False).push()) == IN_PAR


def test_ensure_request_object_without_exp_fails(signed: Runner):
    """It must end."""
    assert refusal(signed.push(exp=...)) == IN_OBJECT


def test_ensure_request_object_without_nbf_fails(signed: Runner):
    """It must begin."""
    assert refusal(signed.push(nbf=...)) == IN_OBJECT


def test_ensure_expired_request_object_fails(signed: Runner):
    """An hour ago is over."""
    assert refusal(signed.push(nbf=signed.soon(-3900), exp=signed.soon(-3600))) == IN_OBJECT


def test_ensure_request_object_with_bad_aud_fails(signed: Runner):
    """It is for somebody else."""
    assert refusal(signed.push(aud="https://other.example")) == IN_OBJECT


def test_ensure_request_object_with_exp_over_60_fails(signed: Runner):
    """It would live for seventy minutes."""
    assert refusal(signed.push(exp=signed.soon(70 * 60))) == IN_OBJECT


def test_ensure_request_object_with_nbf_over_60_fails(signed: Runner):
    """It is seventy minutes old."""
    assert refusal(signed.push(nbf=signed.soon(-70 * 60))) == IN_OBJECT


def test_ensure_signed_request_object_with_RS256_fails(signer: RelyingParty):  # noqa: N802 (its name)
    """The client's own key, with the algorithm that is not for it."""
    jwk = {**private_jwk(signer.key), "alg": "RS256"}
    token = signer.request_object(key=load_private_jwk(jwk))
    assert refusal(signer.send(signer.signed_form(token), None, url=signer.par)) == IN_OBJECT


def test_ensure_request_object_signature_algorithm_is_not_none(signer: RelyingParty):
    """Not signed at all."""
    token = signer.request_object()
    payload = token.split(".")[1]
    for signature in ("", token.split(".")[2]):
        bare = f"eyJhbGciOiJub25lIn0.{payload}.{signature}"
        assert refusal(signer.send(signer.signed_form(bare), None, url=signer.par)) == IN_OBJECT


def test_ensure_request_object_with_invalid_signature_fails(signer: RelyingParty):
    """The signature is broken."""
    token = signer.request_object()
    broken = token[:-8] + ("A" * 8 if token[-8:] != "A" * 8 else "B" * 8)
    assert refusal(signer.send(signer.signed_form(broken), None, url=signer.par)) == IN_OBJECT


def test_ensure_matching_key_in_authorization_request(signer: RelyingParty, two: RelyingParty):
    """Client 1's request, signed by client 2."""
    token = signer.request_object(key=two.key)
    assert refusal(signer.send(signer.signed_form(token), None, url=signer.par)) == IN_OBJECT


def test_discovery_end_point_verification_of_what_is_for_the_authorization_endpoint(one: RelyingParty):
    """The metadata says where to push, that answers name the issuer, and nothing that does not work."""
    document = http_json("GET", one.service.issuer + "/.well-known/openid-configuration")[2]
    assert document["pushed_authorization_request_endpoint"] == one.par
    assert document["response_types_supported"] == ["code"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["request_uri_parameter_supported"] is False
