"""Introspection over HTTP: what a token's own client and its API learn, and that nobody else learns anything."""

from dataclasses import replace

import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr, eventually
from support.ehr import ATTESTATION
from support.granted import Granted, ask, grant, introspect, login_client
from support.service import Service, http_json
from tillit.protocol.gate import read_jws
from tillit.protocol.introspection import MEDIA_TYPE, check_introspection_jwt
from tillit.protocol.jose import load_public_jwks
from tillit_server.issuer.authorized import CarriedDetails
from tillit_server.issuer.users import subject_of

INACTIVE = {"active": False}


@pytest.fixture(scope="module")
def ehr(backstage: Backstage) -> SwiftEhr:
    """A client whose users log in."""
    return login_client(backstage)


@pytest.fixture(scope="module")
def api(backstage: Backstage) -> SwiftEhr:
    """The API that the tokens are for, a client too."""
    return backstage.client(audiences=["nhn:phr", "nhn:selvbetjening"])


@pytest.fixture(scope="module")
def granted(backstage: Backstage, ehr: SwiftEhr) -> Granted:
    """A login with an attestation in its request object."""
    return grant(backstage, ehr, details=[ATTESTATION])


@pytest.mark.parametrize("who", ["its own client", "its API"])
def test_what_a_token_says(who: str, granted: Granted, ehr: SwiftEhr, api: SwiftEhr):
    """Both read the same: the claims of the token, its key, and what RFC 7662 §2.2 wants beside them."""
    claim = {"toa": 1, "practitioner": {}}
    token = granted.access_token(**{"nhn:tillitsrammeverk:parameters": claim})
    answer = introspect(ehr if who == "its own client" else api, token)
    payload = read_jws(token).claims
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json == {
        **payload,
        "active": True,
        "scope": " ".join(payload["scope"]),
        "token_type": "DPoP",
        "authorization_details": [ATTESTATION],
    }
    assert answer.json["cnf"] == {"jkt": ehr.dpop_key.public.thumbprint}
    assert answer.json["nhn:tillitsrammeverk:parameters"] == claim


def test_a_token_of_the_service_itself(backstage: Backstage, api: SwiftEhr):
    """A token of client credentials, made by the token endpoint, with its attestation as in the token."""
    machine = backstage.client()
    token = machine.token().json["access_token"]
    answer = introspect(api, token).json
    payload = read_jws(token).claims
    assert answer["active"]
    assert answer["nhn:tillitsrammeverk:parameters"] == payload["nhn:tillitsrammeverk:parameters"]
    assert (answer["sub"], answer["client_id"]) == (machine.client_id, machine.client_id)
    assert "authorization_details" not in answer  # they came with the assertion, for this token alone


def test_an_unbound_token_is_a_bearer_token(granted: Granted, ehr: SwiftEhr):
    """``token_type`` as the token endpoint said it, and no confirmation."""
    answer = introspect(ehr, granted.access_token(bound=False)).json
    assert answer["token_type"] == "Bearer"
    assert "cnf" not in answer


def test_an_api_that_asked_for_no_attestation_gets_none(granted: Granted, ehr: SwiftEhr, api: SwiftEhr):
    """What the request carried is told to the client that sent it, and not to an API without a need."""
    token = granted.access_token(audience="nhn:selvbetjening")
    assert "authorization_details" in introspect(ehr, token).json
    assert "authorization_details" not in introspect(api, token).json


def test_what_a_token_does_not_attest_its_api_does_not_see(granted: Granted, ehr: SwiftEhr, api: SwiftEhr):
    """An API with a need for attestations sees the one of the login when its token holds it, and not else."""
    bare = granted.access_token()
    assert "authorization_details" not in introspect(api, bare).json
    assert introspect(ehr, bare).json["authorization_details"] == [ATTESTATION]
    attested = granted.access_token(**{"nhn:tillitsrammeverk:parameters": {"toa": 1}})
    assert introspect(api, attested).json["authorization_details"] == [ATTESTATION]


def test_an_api_sees_nothing_that_was_sent_beside_the_attestation(
    backstage: Backstage, ehr: SwiftEhr, api: SwiftEhr
):
    """Organisations and journals of the request are for its sender; what an API asked for is in its token."""
    journal = {"type": "nhn:sfm:journal-id", "value": {"journal_id": "1"}}
    token = grant(backstage, ehr, details=[journal, ATTESTATION]).access_token(
        **{"nhn:tillitsrammeverk:parameters": {"toa": 1}}
    )
    assert introspect(ehr, token).json["authorization_details"] == [journal, ATTESTATION]
    assert introspect(api, token).json["authorization_details"] == [ATTESTATION]


def test_an_api_that_exchanged_a_token_sees_what_is_in_it(
    backstage: Backstage, granted: Granted, ehr: SwiftEhr, api: SwiftEhr
):
    """The exchanged token is its own, the request behind it is not; the first client is a stranger to it."""
    token = granted.access_token(audience="nhn:selvbetjening", client_id=api.client_id)
    answer = introspect(api, token).json
    assert answer["active"]
    assert "authorization_details" not in answer
    assert introspect(ehr, token).json == INACTIVE


def test_strangers_learn_nothing(backstage: Backstage, granted: Granted):
    """Another client, and another API, are told what they would be told of a word that means nothing."""
    for stranger in (backstage.client(), backstage.client(audiences=["example:ward"])):
        for token in (granted.access_token(), granted.refresh_token(), "nonsense"):
            assert introspect(stranger, token).json == INACTIVE


def test_refresh_tokens_are_for_their_client(
    backstage: Backstage, granted: Granted, ehr: SwiftEhr, api: SwiftEhr
):
    """Its own client may see what it is good for; the API of its access tokens may not."""
    answer = introspect(ehr, granted.refresh_token()).json
    client = backstage.services.clients.find(ehr.client_id)
    assert client is not None
    assert answer == {
        "active": True,
        "iss": backstage.service.issuer,
        "client_id": ehr.client_id,
        "sub": subject_of(granted.authorized.user, client, backstage.services.subject_secret),
        "scope": " ".join(granted.authorized.scopes),
        "exp": granted.family.expires_at,
        "authorization_details": [ATTESTATION],
    }
    assert introspect(api, granted.refresh_token()).json == INACTIVE


@pytest.mark.parametrize(("age", "active"), [(3500, True), (3601, False)])
@pytest.mark.parametrize("says", ["toa", "nothing"])
def test_a_refresh_token_whose_attestation_is_too_old_is_inactive(
    age: int, active: bool, says: str, backstage: Backstage, ehr: SwiftEhr
):
    """After 60 minutes every refresh is refused, so the token is good for nothing and names no patient."""
    iat = int(backstage.service.now()) - age
    old = grant(backstage, ehr, details=[ATTESTATION])
    details = {**ATTESTATION, "toa": iat} if says == "toa" else ATTESTATION
    carried = CarriedDetails((details,), iat)
    old.change(authorized=replace(old.authorized, carried=carried))
    answer = introspect(ehr, old.refresh_token()).json
    assert answer.get("authorization_details") == ([details] if active else None)
    assert answer["active"] is active


def test_a_refresh_token_that_its_client_may_not_use_is_inactive(backstage: Backstage):
    """The registration of today decides, as it would at a refresh."""
    own = login_client(backstage, grants=["authorization_code"])
    assert introspect(own, grant(backstage, own).refresh_token()).json == INACTIVE


def test_a_refresh_token_that_is_used_up_is_inactive(backstage: Backstage, ehr: SwiftEhr):
    """Of a rotating family only the newest and its successor are good; of a dead one, none."""
    granted = grant(backstage, ehr)
    tokens = [granted.refresh_token(generation) for generation in range(5)]
    granted.change(generation=2)
    assert [introspect(ehr, token).json["active"] for token in tokens] == [False, False, True, True, False]
    granted.change(generation=2, expires_at=int(backstage.service.now()) - 1)
    assert introspect(ehr, tokens[2]).json == INACTIVE
    granted.change(generation=2, revoked=True)
    assert introspect(ehr, tokens[2]).json == INACTIVE


def test_what_no_longer_holds_is_inactive(backstage: Backstage):
    """Expired, unknown to the store, of a revoked login, of a disabled client, altered, or no token at all."""
    own, api = login_client(backstage), backstage.client(audiences=["nhn:phr"])
    granted = grant(backstage, own)
    now = backstage.service.now()
    token = granted.access_token()
    assert introspect(own, token).json["active"]
    head, payload, signature = token.split(".")
    dead = {
        "expired": granted.access_token(now=now - 601),
        "not by us": granted.access_token(ticket=False),
        "altered": f"{head}.{payload}.{signature[:-4]}AAAA",
        "cut": token[:-1],
        "longer": token + "A",
        "no signature": f"{head}.{payload}.",
        "nonsense": "nonsense",
        "a family that is none": "a.1.b",
        "an ID token": granted.id_token(),
        "an assertion": own.assertion(),
        "long": "a" * 20_000,
    }
    for name, text in dead.items():
        assert introspect(own, text).json == INACTIVE, name
    granted.change(revoked=True)
    assert introspect(own, token).json == INACTIVE
    other = grant(backstage, own).access_token()
    assert introspect(api, other).json["active"]
    backstage.set_disabled(own.client_id, disabled=True)
    assert eventually(lambda: introspect(api, other).json == INACTIVE)


def test_a_hint_is_only_a_hint(granted: Granted, ehr: SwiftEhr):
    """Whatever ``token_type_hint`` says, right, wrong or unknown: the same answer (RFC 7662 §2.1)."""
    for token in (granted.access_token(), granted.refresh_token()):
        for hint in ("access_token", "refresh_token", "urn:example:unknown"):
            assert introspect(ehr, token, token_type_hint=hint).json["active"], hint


def test_a_request_without_a_token_is_malformed(ehr: SwiftEhr):
    """RFC 7662 §2.3."""
    answer = introspect(ehr, "x", token=...)
    assert (answer.status, answer.error) == (400, "invalid_request")
    answer = introspect(ehr, "")
    assert (answer.status, answer.error) == (400, "invalid_request")


def test_who_does_not_authenticate_learns_nothing(granted: Granted, ehr: SwiftEhr):
    """No assertion, another key's, or one that was used: 401, and no word about the token."""
    token = granted.access_token()
    used = ehr.assertion()
    assert introspect(ehr, token, client_assertion=used).status == 200
    for fields in ({"client_assertion": used}, {"client_assertion": ...}, {"client_assertion": token}):
        answer = introspect(ehr, token, **fields)
        assert (answer.status, answer.error) == (401, "invalid_client")


@pytest.mark.parametrize("kind", ["active", "inactive"])
def test_a_signed_answer_for_who_asks_for_one(
    kind: str, service: Service, backstage: Backstage, granted: Granted, api: SwiftEhr
):
    """RFC 9701: the same answer in a JWT for this caller alone, which is no token and verifies with our keys."""
    token = granted.access_token() if kind == "active" else "nonsense"
    plain = introspect(api, token).json
    answer = introspect(api, token, accept=MEDIA_TYPE)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    assert answer.headers["Cache-Control"] == "no-store"
    keys = load_public_jwks(
        http_json("GET", service.issuer + "/.well-known/openid-configuration/jwks")[2],
        algorithms=("ES256", "RS256"),
    )
    text = answer.body.decode()
    told = check_introspection_jwt(
        text, keys=keys, issuer=service.issuer, audience=api.client_id, now=service.now()
    )
    assert told == plain
    jws = read_jws(text)
    assert jws.header["typ"] == "token-introspection+jwt"
    assert set(jws.claims) == {"iss", "aud", "iat", "token_introspection"}


@pytest.mark.parametrize(
    ("accept", "signed"),
    [
        (None, False),
        ("*/*", False),
        ("application/json", False),
        ("application/jwt", False),
        (f"application/json;q=0.5, {MEDIA_TYPE}", True),
        (f"application/json, {MEDIA_TYPE};q=0.5", False),
        (f"{MEDIA_TYPE};q=0", False),
    ],
)
def test_the_form_of_the_answer_is_the_callers_choice(
    accept: str | None, signed: bool, granted: Granted, ehr: SwiftEhr
):
    """By ``Accept``, with its weights; JSON where nothing is said."""
    answer = introspect(ehr, granted.access_token(), accept=accept)
    assert answer.headers["Content-Type"] == (MEDIA_TYPE if signed else "application/json")


def test_an_error_is_json_also_for_who_wants_a_jwt(ehr: SwiftEhr):
    """RFC 9701 §5: only the answer about a token is a JWT."""
    answer = ask(ehr, "/connect/introspect", "x", accept=MEDIA_TYPE, client_assertion="x")
    assert (answer.status, answer.headers["Content-Type"]) == (401, "application/json")


def test_a_machine_token_introspected_by_its_client(backstage: Backstage):
    """A client without users may look at its own token."""
    machine = backstage.client()
    token = machine.token(None, scope=SELF_SERVICE).json["access_token"]
    assert introspect(machine, token).json["scope"] == SELF_SERVICE
