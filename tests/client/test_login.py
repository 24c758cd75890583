"""Logging in: what is pushed, what the callback must be, and who may come back."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.ehr import ATTESTATION, attestation
from support.json_values import COUNT
from support.stand_in import ISSUER, NOW, PID, PRACTITIONER
from tillit.attestation.wire import ATTESTATION_TYPE
from tillit.client import BadAnswer, Client, Login, NotSent, ServerRefused, Unreachable
from tillit.outbound import Response, TransportError
from tillit.protocol.jose import generate_key

CALLBACK = "https://ehr.example/callback?system=1"
SOMEBODY_ELSE = "05825031016"


def refused(kind, act, *arguments, **keywords):
    with pytest.raises(kind) as caught:
        act(*arguments, **keywords)
    return caught.value


def test_a_request_is_pushed_and_the_browser_gets_a_reference(logins):
    """The address holds nothing but the client and a reference; all else went from server to server."""
    url, _ = logins.login.begin(acr_values="Level4", prompt="login", max_age=60, ui_locales="nb")
    request = logins.server.pushed[0]

    assert url == (
        f"{ISSUER}/connect/authorize?client_id=ehr-nordfjell"
        "&request_uri=urn%3Aietf%3Aparams%3Aoauth%3Arequest_uri%3A1"
    )
    assert (request.redirect_uri, request.resources) == (CALLBACK, ("nhn:phr", "nhn:kj"))
    assert (request.acr_values, request.prompt, request.max_age) == (("Level4",), {"login"}, 60)
    assert request.dpop_jkt == logins.client.wire.dpop_key.public.thumbprint
    assert request.details is None
    assert {"openid", "offline_access", "nhn:phr/read"} <= set(request.scope)


def test_every_login_is_new(logins):
    """State, nonce and challenge are never used twice."""
    for _ in range(2):
        logins.login.begin()
    one, other = logins.server.pushed

    assert (
        len({one.state, other.state, one.nonce, other.nonce, one.code_challenge, other.code_challenge}) == 6
    )


def test_a_login_opens_a_session(logins):
    """PAR, browser, callback, code: the session knows who logged in and has its first token."""
    session = logins.log_in(resource="nhn:phr")

    assert (session.person, session.claims["sid"]) == (PRACTITIONER, "s-1")
    assert session.token().value == "token-1"
    assert (logins.server.forms[0]["resource"], "scope" in logins.server.forms[0]) == ("nhn:phr", False)
    assert logins.server.token_requests == 1
    assert "open" in repr(session)


def test_the_first_token_opens_no_api(logins):
    """Unless told otherwise a login begins with a token about the person alone: APIs come with their patients."""
    session = logins.log_in()

    assert logins.server.forms[0]["scope"] == "openid profile offline_access helseid://scopes/identity/pid"
    assert "resource" not in logins.server.forms[0]
    assert session.userinfo()
    assert logins.server.token_requests == 1
    assert session.token().value == "token-2"
    assert logins.server.forms[1]["resource"] == "nhn:phr"


@pytest.mark.parametrize(
    ("settings", "begun", "resource"),
    [
        ({"scope": "openid nhn:phr/read"}, {}, "nhn:phr"),
        ({"scope": "openid nhn:phr/read", "resources": ()}, {}, None),
        ({}, {"attestation": ATTESTATION}, "nhn:phr"),
        ({"resources": ()}, {"attestation": ATTESTATION}, None),
    ],
)
def test_a_first_token_that_must_do(logins, settings, begun, resource):
    """A login that cannot go on, or is one patient's, begins with a token for its first API."""
    session = logins.log_in(login=logins.make_login(**settings), **begun)

    assert (logins.server.forms[0].get("resource"), "scope" in logins.server.forms[0]) == (resource, False)
    assert session.token().value == "token-1"


def test_every_way_to_sign(make_logins):
    """With `signed` the request is one object under the client's signature; the answer is the same."""
    logins = make_logins()
    session = logins.log_in(login=logins.make_login(signed=True), max_age=60)
    request = logins.server.pushed[0]

    assert session.person == PRACTITIONER
    assert (request.max_age, request.resources) == (60, ("nhn:phr", "nhn:kj"))
    assert logins.server.assertions[0].details is None
    credentials = {"client_id", "client_assertion_type", "client_assertion"}
    assert logins.server.pushed_forms[0] == {"request", *credentials}
    logins.log_in()
    assert {"state", "nonce", "dpop_jkt", *credentials} <= logins.server.pushed_forms[1]
    assert "request" not in logins.server.pushed_forms[1]


def test_details_are_always_signed(logins):
    """What only the client may say of itself is signed, with or without an attestation beside it."""
    logins.login.begin(details=[{"type": "helseid_authorization", "practitioner_role": {}}])

    assert "request" in logins.server.pushed_forms[0]
    assert logins.server.pushed[0].details[0]["type"] == "helseid_authorization"


def test_what_every_login_asks_for(logins):
    """Parameters given when the login is made go along each time, unless `begin` says otherwise."""
    login = logins.make_login(acr_values="Level4", ui_locales="nb")
    login.begin()
    login.begin(acr_values="Level3")

    assert [request.acr_values for request in logins.server.pushed] == [("Level4",), ("Level3",)]
    assert [request.ui_locales for request in logins.server.pushed] == [("nb",)] * 2


def test_an_attestation_goes_along_under_our_signature(logins):
    """Attested at login, the attestation travels in the request object, judged and in the one spelling."""
    organisation = {"type": "helseid_authorization", "practitioner_role": {}}
    session = logins.log_in(attestation=ATTESTATION, details=[organisation])
    first, second = logins.server.pushed[0].details

    assert first == organisation
    assert (second["type"], second["toa"]) == (ATTESTATION_TYPE, NOW)
    assert session.attested
    assert [assertion.details for assertion in logins.server.assertions] == [None, None]


def test_a_bad_attestation_does_not_begin_a_login(logins):
    """An attestation that breaks a rule is refused before anything leaves."""
    bad = attestation(practitioner__legal_entity__id="310000018")
    error = refused(NotSent, logins.login.begin, attestation=bad)

    assert error.code == NotSent.ATTESTATION_REFUSED
    assert logins.server.pushed == []


def test_who_will_log_in_is_not_judged_before(logins):
    """An attestation that leaves the practitioner to the login is sent; the issuer will know who it is."""
    logins.login.begin(attestation=attestation(practitioner__identifier=...))

    assert "identifier" not in logins.server.pushed[0].details[0]["practitioner"]


@pytest.mark.parametrize(
    "callback",
    [
        {"state": "x"},
        {"state": ...},
        {"iss": "https://other.example"},
        {"iss": ...},
        {"code": ...},
        {"state": ..., "code": ..., "error": "access_denied"},
    ],
)
def test_p9_a_callback_that_is_no_answer_to_us(logins, callback):
    """Another state or issuer, or none, is no answer to this login, and no code is sent anywhere."""
    url, pending = logins.login.begin()
    answer = logins.server.browser(url, **callback)
    error = refused(BadAnswer, logins.login.finish, pending, answer, person=PRACTITIONER)

    assert error.code == BadAnswer.NOT_THIS_LOGIN
    assert logins.server.token_requests == 0


def test_one_login_does_not_finish_another(logins):
    """The callback of one browser does not finish the login of another."""
    url, _ = logins.login.begin()
    _, pending = logins.login.begin()
    answer = logins.server.browser(url)

    assert refused(BadAnswer, logins.login.finish, pending, answer, person=None).code == "not_this_login"


@settings(COUNT, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text() | st.dictionaries(st.sampled_from(["code", "state", "iss", "error", "x"]), st.text()))
def test_p9_no_callback_of_a_stranger_is_believed(logins, callback):
    """Whatever arrives at the callback address, no code of a stranger is sent on."""
    _, pending = logins.login.begin()
    error = refused(BadAnswer, logins.login.finish, pending, callback, person=PRACTITIONER)

    assert error.code == BadAnswer.NOT_THIS_LOGIN
    assert logins.server.token_requests == 0


@pytest.mark.parametrize("form", ["?{}", "{}"])
def test_a_callback_in_every_form(logins, form):
    """A query with its question mark, a form body, pairs and a mapping are read the same."""
    url, pending = logins.login.begin()
    query = logins.server.browser(url)
    assert logins.login.finish(pending, form.format(query), person=PRACTITIONER)

    url, pending = logins.login.begin()
    pairs = [tuple(pair.split("=", 1)) for pair in logins.server.browser(url).split("&")]
    answer = [(name, value.replace("%3A", ":").replace("%2F", "/")) for name, value in pairs]
    assert logins.login.finish(pending, answer, person=PRACTITIONER)

    url, pending = logins.login.begin()
    code = dict(pair.split("=", 1) for pair in logins.server.browser(url).split("&"))["code"]
    mapping = {"code": code, "state": pending["state"], "iss": ISSUER}
    assert logins.login.finish(pending, mapping, person=PRACTITIONER)


def test_a_refusal_in_the_browser(logins):
    """Whoever says no at the issuer comes back as what the issuer calls it."""
    url, pending = logins.login.begin()
    answer = logins.server.browser(url, code=..., error="access_denied", error_description="cancelled")
    error = refused(ServerRefused, logins.login.finish, pending, answer, person=None)

    assert (error.code, error.description, error.status) == ("access_denied", "cancelled", 0)


def test_att_9_another_person_does_not_get_in(logins):
    """Whoever logs in at the issuer must be who is logged in here; what came is revoked."""
    logins.server.person = SOMEBODY_ELSE
    error = refused(BadAnswer, logins.log_in)

    assert error.code == BadAnswer.ANOTHER_PERSON
    assert logins.server.revoked == [("refresh-1", "refresh_token")]
    assert SOMEBODY_ELSE not in f"{error} {error.cause}"
    assert PRACTITIONER not in f"{error} {error.cause}"


def test_att_9_another_person_gets_no_token_at_all(logins):
    """Without a refresh token it is the access token that is revoked."""
    logins.server.person = SOMEBODY_ELSE
    granted = logins.server.granted
    logins.server.granted = lambda **more: granted(**{**more, "refresh_token": ...})

    assert refused(BadAnswer, logins.log_in).code == BadAnswer.ANOTHER_PERSON
    assert logins.server.revoked == [("token-1", "access_token")]


def test_att_9_a_login_that_does_not_tell_is_no_proof(logins):
    """Without the person's number in the ID token nobody is taken for the one expected."""
    logins.server.id_claims = {PID: ...}

    assert refused(BadAnswer, logins.log_in).code == BadAnswer.ANOTHER_PERSON
    assert logins.log_in(person=None).person is None


def test_att_9_another_person_does_not_get_in_when_revocation_fails(logins):
    """The mismatch is told even if the issuer will not revoke."""
    logins.server.person = SOMEBODY_ELSE
    logins.server.pages = {"revocation": [Response(503, (), b"{}")]}

    assert refused(BadAnswer, logins.log_in).code == BadAnswer.ANOTHER_PERSON


def test_the_ehr_may_know_its_people_by_something_else(logins):
    """A function decides by the claims, where the EHR knows its people by another number."""
    seen = []
    logins.log_in(person=lambda claims: seen.append(claims["sub"]) or True)

    assert len(seen) == 1
    assert refused(BadAnswer, logins.log_in, person=lambda _: False).code == "another_person"


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "other"},
        {"nonce": ...},
        {"aud": "other"},
        {"iss": "https://other.example"},
        {"exp": NOW - 60},
        {"sub": ...},
        {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    ],
)
def test_an_id_token_that_is_not_for_this_login(logins, claims):
    """An ID token of another login, client, issuer, time or access token is not believed."""
    logins.server.id_claims = claims

    assert refused(BadAnswer, logins.log_in).code == BadAnswer.BAD_ID_TOKEN
    assert logins.server.revoked == [("refresh-1", "refresh_token")]


@pytest.mark.parametrize("value", [..., None, 7, "", "x"])
def test_a_login_without_id_token(logins, value):
    """Without an ID token it is not known who has logged in."""
    granted = logins.server.granted
    logins.server.granted = lambda **more: granted(**{**more, "id_token": value})

    assert refused(BadAnswer, logins.log_in).code in {BadAnswer.BAD_ID_TOKEN, BadAnswer.BAD_TOKEN}


def test_keys_of_the_issuer(make_logins):
    """A key published since is fetched once more; a signature by anybody else's key is refused."""
    logins = make_logins()
    logins.log_in()
    logins.server.issuer.keys.append(generate_key("ES256"))
    logins.server.id_key = logins.server.issuer.keys[-1]
    assert logins.log_in().person == PRACTITIONER
    assert logins.server.issuer.key_fetches == 2

    logins.server.id_key = generate_key("ES256", logins.server.id_key.kid)
    assert refused(BadAnswer, logins.log_in).code == BadAnswer.BAD_ID_TOKEN


def test_an_issuer_that_signs_with_rs256(make_logins):
    """RS256 is taken where the owner names it, and only there."""
    logins = make_logins()
    logins.server.id_key = generate_key("RS256", rsa_bits=2048)
    logins.server.issuer.keys.append(logins.server.id_key)

    assert refused(BadAnswer, logins.log_in).code == BadAnswer.BAD_ID_TOKEN
    login = logins.make_login(id_token_algorithms=("RS256",))
    assert logins.log_in(login=login).person == PRACTITIONER


def test_keys_that_cannot_be_had(logins):
    """Without the issuer's keys nobody is believed, and it may be tried again."""
    logins.server.issuer.jwks = {"keys": "none"}

    assert refused(Unreachable, logins.log_in).code == "keys_unavailable"


@pytest.mark.parametrize(("ago", "accepted"), [(0, True), (50, True), (60, True), (75, False)])
def test_a_login_must_be_as_young_as_was_asked(logins, ago, accepted):
    """max_age counts from when the login was begun: the minutes the person takes do not make it old."""
    logins.server.id_claims = {"auth_time": NOW - ago}
    url, pending = logins.login.begin(max_age=60)
    answer = logins.server.browser(url)
    logins.now = NOW + 240
    if accepted:
        assert logins.login.finish(pending, answer, person=PRACTITIONER)
    else:
        error = refused(BadAnswer, logins.login.finish, pending, answer, person=PRACTITIONER)
        assert error.code == BadAnswer.BAD_ID_TOKEN


def test_another_process_finishes_with_the_same_keys(make_logins):
    """What `begin` gives is JSON, with which a process that has the same keys finishes the login."""
    logins = make_logins(dpop_key=generate_key("ES256"))
    url, pending = logins.login.begin()
    wire = logins.client.wire
    other = Client(
        ISSUER, "ehr-nordfjell", wire.key, wire.dpop_key, http=logins.server, clock=lambda: logins.now
    )
    login = Login(other, CALLBACK, scope="openid")

    session = login.finish(json.loads(json.dumps(pending)), logins.server.browser(url), person=PRACTITIONER)
    assert session.person == PRACTITIONER


def test_another_process_with_another_proof_key(logins):
    """A process with another proof key says so, instead of spending the code."""
    url, pending = logins.login.begin()
    other = Client(ISSUER, "ehr-nordfjell", logins.key, http=logins.server, clock=lambda: logins.now)
    login = Login(other, CALLBACK, scope="openid")

    assert (
        refused(NotSent, login.finish, pending, logins.server.browser(url), person=None).code == "another_key"
    )


def test_the_first_token_may_be_for_any_of_the_apis(logins):
    """The API of the first token may be named when the login is finished."""
    session = logins.log_in(resource="nhn:kj")

    assert (session.token().value, logins.server.forms[0]["resource"]) == ("token-1", "nhn:kj")


def test_who_has_logged_in_must_be_asked_for(logins):
    """A login without `openid` would not say who it was."""
    with pytest.raises(ValueError, match="openid"):
        logins.make_login(scope="profile")


@pytest.mark.parametrize(
    ("page", "kind", "code"),
    [
        (Response(201, (), b'{"request_uri":7,"expires_in":60}'), BadAnswer, "no_request_uri"),
        (Response(201, (), b'{"expires_in":60}'), BadAnswer, "no_request_uri"),
        (Response(201, (), b'{"request_uri":"","expires_in":60}'), BadAnswer, "no_request_uri"),
        (
            Response(201, (), b'{"request_uri":"' + b"u" * 2049 + b'","expires_in":60}'),
            BadAnswer,
            "no_request_uri",
        ),
        (Response(201, (), b"<html>"), BadAnswer, "not_json"),
        (Response(200, (), b'{"request_uri":"urn:x"}'), ServerRefused, "server_error"),
        (Response(400, (), b'{"error":"invalid_request"}'), ServerRefused, "invalid_request"),
        (Response(401, (), b'{"error":"invalid_client"}'), ServerRefused, "invalid_client"),
    ],
)
def test_answers_to_a_pushed_request(logins, page, kind, code):
    """A request that was not taken begins no login."""
    logins.server.pages = {"par": [page]}

    assert refused(kind, logins.login.begin).code == code


def test_a_nonce_is_answered_once_at_every_endpoint(logins):
    """PAR and token endpoint may ask for a nonce once; each try has an assertion of its own."""
    challenge = Response(400, (("DPoP-Nonce", "n-0"),), b'{"error":"use_dpop_nonce"}')
    logins.server.pages = {"par": [challenge]}
    logins.server.demand = ["n-1"]
    logins.log_in()

    assert [proof.nonce for proof in logins.server.proofs] == ["n-0", "n-1"]
    assert len({assertion.jti for assertion in logins.server.assertions}) == 3


@pytest.mark.parametrize("name", ["pushed_authorization_request_endpoint", "authorization_endpoint"])
def test_an_issuer_that_lets_nobody_log_in(logins, name):
    """Where the issuer names no such endpoint the client says which."""
    del logins.server.issuer.metadata[name]
    error = refused(BadAnswer, logins.login.begin)

    assert error.code == BadAnswer.NO_ENDPOINT
    assert name in str(error)


def test_a_server_that_cannot_be_reached(logins):
    """A network failure on the way is Unreachable."""
    logins.client.wire.discovery.metadata()
    logins.client.wire.send = lambda _: (_ for _ in ()).throw(TransportError(TransportError.TIMED_OUT))

    assert refused(Unreachable, logins.login.begin).code == "timed_out"
