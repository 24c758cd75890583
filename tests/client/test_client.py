"""Asking for tokens: what goes out, what comes back, and what never leaves."""

import json

import jwt as pyjwt
import pytest
from freezegun import freeze_time

from support.ehr import ATTESTATION, attestation
from support.stand_in import ISSUER, NOW
from tillit.attestation.wire import ATTESTATION_TYPE, from_claim
from tillit.client import BadAnswer, Client, NotSent, ServerRefused, Token, Unreachable
from tillit.outbound import Response, TransportError
from tillit.protocol.jose import generate_key

API = "https://source.example/documents"
SCOPE = "nhn:phr/mhd/read-documentreferences"


def refused(kind, act, *arguments, **keywords):
    with pytest.raises(kind) as caught:
        act(*arguments, **keywords)
    return caught.value


def test_a_token_is_asked_for_by_private_key_jwt_and_dpop(world):
    """The request is what RFC 6749, 7523 and 9449 say, and names the issuer alone as audience."""
    token = world.client.fetch_token(scope=SCOPE)

    assert world.server.forms == [
        {
            "grant_type": "client_credentials",
            "client_id": "ehr-nordfjell",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": world.server.assertions[0].token,
            "scope": SCOPE,
        }
    ]
    assert world.server.assertions[0].claims["aud"] == ISSUER
    assert world.server.assertions[0].details is None
    assert (token.value, token.scope, token.expires_at) == ("token-1", (SCOPE,), NOW + 600)


def test_scope_and_resource_may_be_left_out_or_given(world):
    """Without a scope the server decides; a resource goes along (RFC 8707)."""
    assert world.client.fetch_token().scope == ("all",)
    world.client.fetch_token(resource="nhn:phr")

    assert "scope" not in world.server.forms[0]
    assert world.server.forms[1]["resource"] == "nhn:phr"


def test_the_attestation_travels_in_the_assertion(world):
    """The attestation is sent in strict spelling, with type and time, inside the signed assertion."""
    with world.client.patient_context(ATTESTATION, scope=SCOPE) as context:
        context.token()
    details = world.server.assertions[0].details

    assert details["type"] == ATTESTATION_TYPE
    assert details["toa"] == NOW
    assert details["patients"] == ATTESTATION["patients"]
    assert from_claim(details).practitioner.legal_entity.id == "310000019"


def test_a_lenient_spelling_is_sent_strictly(world):
    """What an EHR spells its own way goes out in the one spelling of the wire."""
    own = attestation()
    own["care_relation"] = own.pop("care_relationship")
    del own["type"]
    with world.client.patient_context(own) as context:
        context.token()

    assert "care_relationship" in world.server.assertions[0].details


def test_further_details_stand_beside_the_attestation(world):
    """Organisation numbers of a multi-tenant client go beside the attestation, as an array."""
    organisation = {"type": "helseid_authorization", "practitioner_role": {}}
    with world.client.patient_context(ATTESTATION, details=[organisation]) as context:
        context.token()
    with world.client.context(details=[organisation]) as context:
        context.token()

    first, second = (assertion.details for assertion in world.server.assertions)
    assert [one["type"] for one in first] == ["helseid_authorization", ATTESTATION_TYPE]
    assert second == organisation


def test_a_server_that_cannot_be_reached(make_world):
    """A network failure is Unreachable with the transport's code."""
    world = make_world()
    world.client.wire.discovery.metadata()
    world.client.wire.send = lambda _: (_ for _ in ()).throw(TransportError(TransportError.TIMED_OUT))

    assert refused(Unreachable, world.client.fetch_token).code == "timed_out"


def test_an_issuer_that_publishes_nothing(world):
    """Without metadata there is no token endpoint to ask."""
    world.server.issuer.failing = 500
    error = refused(Unreachable, world.client.fetch_token)

    assert (error.code, error.cause["retry_after"]) == ("metadata_unavailable", 10)


def test_metadata_of_another_issuer_is_refused(world):
    """The issuer in the metadata must be ours to the letter: a mixed-up server would get our assertion."""
    world.server.issuer.metadata["issuer"] = ISSUER + "/"

    assert refused(Unreachable, world.client.fetch_token).code == "metadata_unavailable"


def test_metadata_is_kept_for_its_max_age(world):
    """Discovery is done once per max-age."""
    asked = []
    for world.now in (NOW, NOW + 599, NOW + 600):
        world.client.fetch_token()
        asked.append(len(world.server.issuer.asked))

    assert asked == [1, 1, 2]


@pytest.mark.parametrize("endpoint", ["http://issuer.example/token", "https://u:p@issuer.example/", 7, None])
def test_an_unsafe_token_endpoint_is_not_used(world, endpoint):
    """Assertions travel over https alone."""
    world.server.issuer.metadata["token_endpoint"] = endpoint

    refused((BadAnswer, Unreachable), world.client.fetch_token)
    assert world.server.token_requests == 0


def test_an_api_is_called_with_token_and_proof(world):
    """A call carries the token by DPoP and a fresh proof for its own method and address."""
    token = Token("the-token", (), NOW + 600)
    answer = world.client.request("POST", API + "?page=2", token, headers=[("X-A", "b")], body=b"x")
    world.client.request("GET", API, token)

    assert answer.body == b"documents"
    assert world.server.api_requests[0].body == b"x"
    assert ("X-A", "b") in world.server.api_requests[0].headers
    assert len({proof.jti for proof in world.server.proofs}) == 2


def test_an_api_that_demands_a_nonce(world):
    """An API's demand is answered once too (RFC 9449 §9); its nonce is its own and not the token endpoint's."""
    world.server.demand = ["as-nonce"]
    token = world.client.fetch_token()
    challenge = (("WWW-Authenticate", 'DPoP error="use_dpop_nonce"'), ("DPoP-Nonce", "api-nonce"))
    world.server.api_answers = [Response(401, challenge, b"")]

    assert world.client.request("GET", API, token).status == 200
    world.client.request("GET", API, token)
    assert [proof.nonce for proof in world.server.proofs] == [
        None,
        "as-nonce",
        None,
        "api-nonce",
        "api-nonce",
    ]


@pytest.mark.parametrize("header", ["", 'DPoP error="invalid_token"', "\0", 'Basic realm="use_dpop_nonce"'])
def test_another_401_is_not_repeated(world, header):
    """Any other refusal of an API is given to the caller as it is."""
    world.server.api_answers = [Response(401, (("WWW-Authenticate", header), ("DPoP-Nonce", "x")), b"")]

    assert world.client.request("GET", API, Token("t", (), 0)).status == 401
    assert len(world.server.api_requests) == 1


@pytest.mark.parametrize(
    "url", ["http://source.example/documents", "ftp://source.example", "", "https://a@b.example/"]
)
def test_a_token_never_travels_in_the_clear(world, url):
    """A token is not sent where it could be read on the way."""
    assert refused(NotSent, world.client.request, "GET", url, Token("t", (), 0)).code == NotSent.INSECURE_URL
    assert world.server.api_requests == []


def test_every_client_has_a_proof_key_of_its_own(world):
    """Without a proof key a new one is made, which is not the key that signs assertions."""
    token = world.client.fetch_token()
    world.client.request("GET", API, token)

    assert len({proof.jkt for proof in world.server.proofs}) == 1
    assert world.server.proofs[0].jkt != world.key.public.thumbprint


def test_the_owner_may_bring_a_proof_key(make_world):
    """A given proof key is used."""
    key = generate_key("ES384")
    world = make_world(dpop_key=key)
    world.client.fetch_token()

    assert world.server.proofs[0].jkt == key.public.thumbprint


def test_randomness_is_an_argument(make_world):
    """Ids come from the function given, so that a test can know them."""
    numbers = iter(range(100))
    world = make_world(new_id=lambda: f"id-{next(numbers)}")
    world.client.fetch_token()

    assert (world.server.assertions[0].jti, world.server.proofs[0].jti) == ("id-0", "id-1")


def test_pyjwt_verifies_our_assertion(world):
    """An independent library verifies what we sign."""
    world.client.fetch_token()
    token = world.server.assertions[0].token
    claims = pyjwt.decode(
        token,
        pyjwt.PyJWK(dict(world.key.public.jwk)),
        algorithms=["ES256"],
        audience=ISSUER,
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )

    assert claims["iss"] == claims["sub"] == "ehr-nordfjell"
    assert claims["exp"] - claims["iat"] <= 60
    assert pyjwt.get_unverified_header(token)["typ"] == "client-authentication+jwt"


def test_a_token_is_exchanged_for_one_of_our_own(world):
    """An API that calls another one exchanges the token it was called with (RFC 8693), bound to its own key."""
    world.server.demand = ["n-1"]
    token = world.client.exchange_token("the-callers-token", scope=SCOPE, resource="nhn:phr")

    asked = {name: value for name, value in world.server.forms[-1].items() if "client" not in name}
    assert asked == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": "the-callers-token",
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "scope": SCOPE,
        "resource": "nhn:phr",
    }
    assert (token.scope, world.server.assertions[-1].details) == ((SCOPE,), None)
    assert [proof.nonce for proof in world.server.proofs] == [None, "n-1"]


def test_organisation_numbers_may_go_along_with_an_exchange(world):
    """An exchange carries details of the client's own, and never an attestation."""
    organisation = {"type": "helseid_authorization", "practitioner_role": {}}
    world.client.exchange_token("the-callers-token", details=[organisation])

    assert world.server.assertions[0].details == organisation


def test_a_token_is_revoked(logins):
    """Revocation is authenticated and needs no proof; the answer says nothing (RFC 7009)."""
    logins.client.revoke("some-token", hint="access_token")

    assert logins.server.revoked == [("some-token", "access_token")]
    assert logins.server.proofs == []


def test_a_revocation_that_failed_is_told(logins):
    """A token that may still be good is not taken for a dead one."""
    logins.server.pages = {"revocation": [Response(503, (), b'{"error":"temporarily_unavailable"}')]}
    assert refused(ServerRefused, logins.client.revoke, "t").code == "temporarily_unavailable"
    del logins.server.issuer.metadata["revocation_endpoint"]
    logins.now = NOW + 3600
    assert refused(BadAnswer, logins.client.revoke, "t").code == BadAnswer.NO_ENDPOINT


@freeze_time("2026-01-15T08:30:00Z")
def test_the_default_clock_is_the_systems(world):
    """Without a clock the client goes by the system's."""
    client = Client(ISSUER, "ehr-nordfjell", world.key, http=world.server)

    assert client.fetch_token().expires_at == NOW + 600


def test_u5_secrets_do_not_show(world):
    """Tokens and keys do not show when printed, nor in errors."""
    token = world.client.fetch_token()
    world.server.answers = [Response(400, (), json.dumps({"error": "invalid_client"}).encode())]
    error = refused(ServerRefused, world.client.fetch_token)

    for shown in (repr(token), repr(world.client), repr(error), str(error)):
        assert "token-1" not in shown
        assert world.server.assertions[0].token not in shown
