"""The client library against the real service: logins over HTTP, at the test provider of development mode."""

import json
from urllib.parse import urlencode

import pytest

from support.backstage import ATTESTATION_SCOPE, CALLBACK, SELF_SERVICE, WARD_LIST
from support.ehr import attestation
from support.login import IDENTITY
from support.service import PHR
from support.visitor import ANAESTHETIST, Page, Returned, Visitor
from tillit.client import BadAnswer, Client, Login, NotSent, ServerRefused
from tillit.outbound import Response
from tillit.protocol.jose import generate_key
from tillit.verifier import Refused, Verifier

SCOPE = " ".join((*IDENTITY, PHR, WARD_LIST))
AFTER_LOGOUT = "https://ehr.example/bye"
SOURCE = "https://source.example/documents"
ATTESTED = attestation(practitioner__identifier=...)
PATIENT, OTHER_PATIENT = "05825031016", "63714815050"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"

pytestmark = pytest.mark.xdist_group("client")


@pytest.fixture
def make_client(service, backstage):
    """A registered client whose practitioners log in; members as the registry has them."""
    opened = []

    def make(**members):
        key = generate_key("ES256")
        registered = backstage.client(
            key,
            **{
                "grants": ["authorization_code", "refresh_token"],
                "scopes": [*IDENTITY, PHR, WARD_LIST, SELF_SERVICE, ATTESTATION_SCOPE],
                "post_logout_redirect_uris": [AFTER_LOGOUT],
                "attests_without_login": False,
                **members,
            },
        )
        opened.append(Client(service.issuer, registered.client_id, key, synthetic_identifiers=True))
        return opened[-1]

    yield make
    for client in opened:
        client.close()


@pytest.fixture
def login(make_client):
    """The way to log in of one client."""
    return Login(make_client(), CALLBACK, scope=SCOPE, acr_values="Level4")


@pytest.fixture
def visitor(service):
    """A browser."""
    return Visitor(service)


def logged_in(login, visitor, *, person=ANAESTHETIST, resource=None, browser=(), **parameters):
    url, pending = login.begin(**parameters)
    back = visitor.log_in(url, **dict(browser))
    return login.finish(pending, back.parameters, person=person, resource=resource)


def refused(kind, act, *arguments, **keywords):
    with pytest.raises(kind) as caught:
        act(*arguments, **keywords)
    return caught.value


def present(session, token, service, *, patient=PATIENT, scope=PHR, audience="nhn:phr"):
    """What a document source makes of a request with this token."""
    sent, wire = [], session._client.wire
    network, wire.send = wire.send, lambda request: sent.append(request) or Response(200)
    try:
        session.request("GET", SOURCE, token)
    finally:
        wire.send = network
    return Verifier(service.issuer, audience, scope=scope).verify("GET", SOURCE, sent[0].headers, patient)


def test_a_practitioner_logs_in(login, visitor):
    """Pushed request, browser, test provider, callback, code, ID token, userinfo: all of it for real."""
    session = logged_in(login, visitor)
    about = session.userinfo()

    assert session.person == ANAESTHETIST
    assert session.claims["name"] == "KLAR SKOGSTJERNE"
    assert about["sub"] == session.subject
    assert about["helseid://claims/hpr/hpr_details"]["hpr_number"] == 222209991


def test_each_patient_gets_a_token_that_the_source_takes(login, visitor, service):
    """One login, one attestation for each patient, and a source that takes the token for that patient alone."""
    session = logged_in(login, visitor)
    for patient, other in ((PATIENT, OTHER_PATIENT), (OTHER_PATIENT, PATIENT)):
        attested = attestation(practitioner__identifier=..., patients__0__identifier__id=patient)
        with session.patient_context(attested, resource="nhn:phr") as context:
            access = present(session, context.token(), service, patient=patient)
            assert (access.person.number, access.person.established_by) == (ANAESTHETIST, "login")
            assert access.patients == {patient}
            assert refused(Refused, present, session, context.token(), service, patient=other).rule == "ATT-4"


def test_an_attestation_of_the_login_serves_every_token(login, visitor, service):
    """Attested under the client's signature when the login begins, no later request attests again."""
    session = logged_in(login, visitor, attestation=ATTESTED, resource="nhn:phr")
    with session.patient_context(ATTESTED) as context:
        assert refused(NotSent, context.token).code == NotSent.ATTESTED_AT_LOGIN

    for token in (session.token(), session.refresh(), session.token(scope=PHR)):
        assert present(session, token, service).person.number == ANAESTHETIST


def test_one_api_after_another(make_client, visitor):
    """Resources named at login bound what tokens may be asked for; each token is for one of them."""
    client = make_client(scopes=[*IDENTITY, WARD_LIST, SELF_SERVICE])
    scope = " ".join((*IDENTITY, WARD_LIST, SELF_SERVICE))
    login = Login(client, CALLBACK, scope=scope, resources=("example:ward", "nhn:selvbetjening"), signed=True)
    session = logged_in(login, visitor, resource="example:ward")

    assert WARD_LIST in session.token().scope
    assert SELF_SERVICE not in session.token().scope
    assert SELF_SERVICE in session.token(resource="nhn:selvbetjening").scope
    assert session.refresh().value != session.token(resource="nhn:selvbetjening").value
    assert refused(ServerRefused, session.token, resource="nhn:phr").code == "invalid_target"
    assert session.userinfo()["sub"] == session.subject


def test_refresh_tokens_that_are_exchanged(make_client, visitor):
    """A client that is set to rotate always goes on with the newest."""
    login = Login(make_client(rotate_refresh_tokens=True), CALLBACK, scope=SCOPE)
    session = logged_in(login, visitor)
    kept = {session.to_json()["refresh_token"]}
    for _ in range(3):
        session.token(scope="openid")
        session._tokens.clear()
        kept.add(session.to_json()["refresh_token"])

    assert len(kept) == 4


def test_att_9_another_person_gets_nothing(login, visitor):
    """When somebody else logs in, what came is revoked before anybody can use it."""
    revoked, client = [], login._client
    revoke, client.revoke = client.revoke, lambda token: revoked.append(token) or revoke(token)
    assert refused(BadAnswer, logged_in, login, visitor, person=PATIENT).code == BadAnswer.ANOTHER_PERSON

    fields = [("grant_type", "refresh_token"), ("refresh_token", revoked[0]), ("scope", "openid")]
    assert json.loads(client.wire.post("token_endpoint", fields).body)["error"] == "invalid_grant"


def test_att_11_an_attestation_about_somebody_else(login, visitor):
    """The service compares who is attested with who logged in."""
    other = attestation(practitioner__identifier__id=PATIENT)
    with logged_in(login, visitor).patient_context(other, resource="nhn:phr") as context:
        error = refused(ServerRefused, context.token)

    assert (error.code, error.description.partition(":")[0]) == ("access_denied", "ATT-11")


def test_a_session_ends_everywhere(login, visitor, service):
    """Ended here, the refresh token is dead at the service; the browser's way out leads back to the EHR."""
    session = logged_in(login, visitor)
    kept = session.to_json()
    way_out = session.end_url(post_logout_redirect_uri=AFTER_LOGOUT, state="so long")
    session.end()

    assert refused(ServerRefused, login.resume(kept).token, scope="openid").code == "invalid_grant"
    page = visitor.open(way_out)
    if isinstance(page, Page) and page.forms:
        page = visitor.submit(page)
    assert isinstance(page, Returned), page
    assert (page.location.partition("?")[0], page.parameters) == (AFTER_LOGOUT, {"state": "so long"})


def test_another_process_takes_over(login, visitor):
    """What a session is kept as opens it again elsewhere, with another proof key too."""
    kept = logged_in(login, visitor).to_json()
    old = login._client.wire
    with Client(old.issuer, old.client_id, old.key, synthetic_identifiers=True) as client:
        session = Login(client, CALLBACK, scope=SCOPE).resume(kept)
        with session.patient_context(ATTESTED, resource="nhn:phr") as context:
            assert PHR in context.token().scope


@pytest.mark.parametrize(
    ("parameters", "browser", "code"),
    [
        ({"prompt": "none"}, {}, "login_required"),
        ({}, {"cancel": True}, "access_denied"),
    ],
)
def test_a_login_that_comes_to_nothing(login, visitor, parameters, browser, code):
    """Nobody logged in: the issuer's reason, with state and issuer that were checked."""
    assert refused(ServerRefused, logged_in, login, visitor, browser=browser, **parameters).code == code


def test_a_second_login_in_the_same_browser(login, visitor):
    """Whoever is logged in need not log in again, unless the EHR says how fresh it must be."""
    first = logged_in(login, visitor)
    second = logged_in(login, visitor, prompt="none")
    third = logged_in(login, visitor, max_age=0)

    assert second.claims["auth_time"] == first.claims["auth_time"] <= third.claims["auth_time"]
    assert {first.subject, second.subject, third.subject} == {first.subject}


def test_the_answer_as_a_form(login, visitor):
    """With form_post the browser brings the answer in a form; it is read the same."""
    url, pending = login.begin(response_mode="form_post")
    back = visitor.log_in(url)
    assert back.location == CALLBACK

    assert login.finish(pending, urlencode(back.parameters), person=ANAESTHETIST).person == ANAESTHETIST


def test_a_callback_is_good_once(login, visitor):
    """The same callback again is refused by the service, and ends what came of it."""
    url, pending = login.begin()
    back = visitor.log_in(url)
    session = login.finish(pending, back.parameters, person=ANAESTHETIST)

    error = refused(ServerRefused, login.finish, pending, back.parameters, person=ANAESTHETIST)
    assert error.code == "invalid_grant"
    assert refused(ServerRefused, session.token, scope=WARD_LIST).code == "invalid_grant"


@pytest.mark.parametrize("profile", ["fapi2", "helseid", "legacy"])
@pytest.mark.parametrize("signed", [False, True])
def test_every_profile_takes_the_strict_client(make_client, visitor, profile, signed):
    """What this library sends needs no tolerance, signed or not."""
    login = Login(make_client(profile=profile), CALLBACK, scope=SCOPE, signed=signed)

    assert logged_in(login, visitor).userinfo()


def test_an_api_acts_on_behalf_of_the_practitioner(make_client, login, visitor, service):
    """An API that was called with a token gets one of its own for the next, about the same person (RFC 8693)."""
    api = make_client(
        grants=[EXCHANGE], scopes=[PHR, WARD_LIST, ATTESTATION_SCOPE], audiences=["example:ward"]
    )
    session = logged_in(login, visitor)
    with session.patient_context(ATTESTED, resource="example:ward") as context:
        subject_token = context.token()
        token = api.exchange_token(subject_token.value, scope=PHR)

    assert token.scope == (PHR,)
    error = refused(ServerRefused, api.exchange_token, session.token(scope="openid").value, scope=PHR)
    assert error.code == "invalid_request"
