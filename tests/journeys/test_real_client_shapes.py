"""The machine clients of the field, wire for wire: what they send is taken, what they demand is given.

The numbers are the lines of the acceptance list in chapter 11.7 of the national service's profile.
"""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from support.backstage import SELF_SERVICE, Backstage
from support.ehr import ATTESTATION, Answer
from support.foreign_clients import (
    CHALLENGE,
    CSharpShaped,
    GoShaped,
    JavaShaped,
    PythonShaped,
    claims_of,
    registered,
)
from support.service import PHR, Service

pytestmark = pytest.mark.xdist_group("journeys")


@pytest.fixture(scope="module")
def strict(backstage: Backstage) -> CSharpShaped:
    """A C#-shaped client of the strict profile."""
    return registered(CSharpShaped, backstage)


@pytest.fixture(scope="module")
def under_a_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backstage]:
    """A service whose issuer has a path, and its installation."""
    with Service(tmp_path_factory.mktemp("path"), workers=1, path="/samsvar/5e1b7c1a") as service:
        opened = Backstage(service)
        yield opened
        opened.close()


def test_1_a_csharp_client_retries_with_a_new_assertion(strict: CSharpShaped):
    """Challenge, second try with a new assertion, and an answer with an integer and two strings; its RSA key has ``alg``."""
    answer = strict.token(PHR, assertion_details=ATTESTATION)
    assert claims_of(answer)["scope"] == [PHR]
    assert (answer.json["expires_in"], answer.json["scope"]) == (600, PHR)


def test_1_a_csharp_client_is_told_the_error_and_not_to_retry(strict: CSharpShaped):
    """Behind the challenge the real error comes out, on the second request and not a third."""
    before = strict.requests
    answer = strict.token("nhn:phr/nothing", assertion_details=ATTESTATION)
    assert (answer.status, answer.error, answer.headers["DPoP-Nonce"]) == (400, "invalid_scope", None)
    assert strict.requests - before == 2


def test_2_a_java_client_retries_with_the_same_assertion(backstage: Backstage):
    """The challenge spends nothing, so the same assertion of five seconds succeeds, and a third time is one too many."""
    client = registered(JavaShaped, backstage)
    answer, assertion = client.token(PHR, assertion_details=ATTESTATION)
    assert claims_of(answer)["client_id"] == client.client_id
    third = client.post(client.form(assertion, PHR), client.proof(answer.headers["DPoP-Nonce"]))
    assert (third.status, third.error) == (401, "invalid_client")


def test_2_a_client_id_in_the_form_must_be_the_one_of_the_assertion(backstage: Backstage):
    """A form that names another client than its assertion is refused; the assertion is not spent by that."""
    client = registered(JavaShaped, backstage)
    form = client.form(client.assertion(), SELF_SERVICE)
    answer = client.post({**form, "client_id": "somebody-else"}, client.proof())
    assert (answer.status, answer.error) == (401, "invalid_client")
    nonce = client.post(form, client.proof()).headers["DPoP-Nonce"]
    assert client.post(form, client.proof(nonce)).status == 200


@pytest.mark.parametrize("form", ["slash", "array"])
def test_3_the_audience_may_deviate_in_the_helseid_profile_only(form: str, backstage: Backstage):
    """A slash typed into the settings, or an array of one, is taken from a ``helseid`` client and from no strict one."""
    issuer = backstage.service.issuer
    for profile, status in (("helseid", 200), ("fapi2", 401)):
        client = registered(
            CSharpShaped, backstage, profile=profile, authority=issuer + "/" if form == "slash" else None
        )
        claims = {"aud": [issuer]} if form == "array" else {}
        assert client.token(SELF_SERVICE, **claims).status == status
    client = registered(CSharpShaped, backstage, profile="helseid")
    assert client.token(SELF_SERVICE, aud=[issuer, "https://elsewhere.example"]).status == 401
    assert client.token(SELF_SERVICE, aud=issuer + "//").status == 401


@pytest.mark.parametrize("shape", [CSharpShaped, JavaShaped])
def test_3_an_issuer_with_a_path_works(shape: type[Any], under_a_path: Backstage):
    """With a path in the issuer both kinds of client find metadata and token endpoint, and the token says that issuer."""
    client = registered(shape, under_a_path)
    answered = client.token(PHR, assertion_details=ATTESTATION)
    answer = answered[0] if isinstance(answered, tuple) else answered
    assert claims_of(answer)["iss"] == under_a_path.service.issuer


def test_13_only_the_challenge_carries_a_nonce(strict: CSharpShaped):
    """No other error has ``DPoP-Nonce``, which a client would take for a challenge; a good answer may have one."""
    challenge = strict.post(strict.form(strict.assertion(), SELF_SERVICE), strict.proof())
    nonce = challenge.headers["DPoP-Nonce"]
    assert (challenge.status, challenge.error, bool(nonce)) == (400, CHALLENGE, True)

    def answered(proof: str | None, assertion: str | None = None, **fields: str) -> Answer:
        form = {**strict.form(assertion or strict.assertion(), SELF_SERVICE), **fields}
        return strict.post(form, proof)

    good = strict.proof(nonce)
    answers = {
        "invalid_client": answered(strict.proof(nonce), strict.assertion(aud="https://elsewhere.example")),
        "invalid_dpop_proof": answered(None),
        "invalid_scope": answered(strict.proof(nonce), scope="openid"),
        "unsupported_grant_type": answered(strict.proof(nonce), grant_type="password"),
        "invalid_request": answered(strict.proof(nonce), x="\u202e"),
        "access_denied": answered(strict.proof(nonce), scope=PHR),
    }
    assert {code: answer.error for code, answer in answers.items()} == {code: code for code in answers}
    assert {answer.headers["DPoP-Nonce"] for answer in answers.values()} == {None}
    assert answered(good).status == 200
    replay = answered(good)
    assert (replay.error, replay.headers["DPoP-Nonce"]) == ("invalid_dpop_proof", None)


def test_14_a_python_client_of_2021_gets_bearer_tokens(backstage: Backstage, strict: CSharpShaped):
    """In the legacy profile the token endpoint is an audience and a proof is not demanded; elsewhere both are."""
    client = registered(PythonShaped, backstage, profile="legacy")
    answer = client.token(SELF_SERVICE)
    assert answer.json["token_type"] == "Bearer"
    assert "cnf" not in claims_of(answer)
    assert registered(PythonShaped, backstage, profile="helseid").token(SELF_SERVICE).status == 401


def test_14_a_go_client_of_2021_gets_in_at_its_first_try(backstage: Backstage):
    """The Basic header without a secret is overlooked for a legacy client; its second try would be a replay."""
    client = registered(GoShaped, backstage, profile="legacy")
    first, second = client.tries(SELF_SERVICE)
    assert first.json["token_type"] == "Bearer"
    assert claims_of(first)["client_id"] == client.client_id
    assert (second.status, second.error) == (401, "invalid_client")


@pytest.mark.parametrize("profile", ["fapi2", "helseid"])
def test_14_a_go_client_of_2021_is_turned_away_elsewhere(profile: str, backstage: Backstage):
    """In the other profiles both tries are refused: neither the header nor the audience is forgiven."""
    tries = registered(GoShaped, backstage, profile=profile).tries(SELF_SERVICE)
    assert [(answer.status, answer.error) for answer in tries] == [(401, "invalid_client")] * 2


@pytest.mark.parametrize("basic", ["somebody-else:", ":", "{id}", "\xff:"])
def test_14_only_an_empty_secret_of_the_same_client_is_overlooked(basic: str, backstage: Backstage):
    """Another client or no Basic header at all is refused, and the assertion is good afterwards."""
    client = registered(GoShaped, backstage, profile="legacy")
    form = client.form(client.assertion(), SELF_SERVICE)
    octets = basic.format(id=client.client_id).encode("latin-1")
    for header in ("Basic " + b64encode(octets).decode(), f"Bearer {client.client_id}:", "Basic *"):
        refused = client.post(form, None, Authorization=header)
        assert (refused.status, refused.error) == (401, "invalid_client")
    assert client.post(form, None).status == 200


def test_14_a_secret_beside_an_assertion_is_told_to_its_client_alone(backstage: Backstage):
    """A legacy client hears `invalid_request`; who has no good assertion hears what everybody hears."""
    client = registered(GoShaped, backstage, profile="legacy")
    header = "Basic " + b64encode(f"{client.client_id}:secret".encode()).decode()
    form = client.form(client.assertion(), SELF_SERVICE)
    refused = client.post(form, None, Authorization=header)
    assert (refused.status, refused.error) == (400, "invalid_request")
    forged = client.form(client.assertion()[:-6] + "AAAAAA", SELF_SERVICE)
    refused = client.post(forged, None, Authorization=header)
    assert (refused.status, refused.error) == (401, "invalid_client")
    assert client.post(form, None).status == 200
