"""After the login: a token for each API and patient, userinfo, refresh, and the end."""

import gc
import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest

from support.ehr import ATTESTATION, attestation
from support.stand_in import ISSUER, NOW, PRACTITIONER
from tillit.client import BadAnswer, NotSent, ServerRefused
from tillit.outbound import Response

API = "https://source.example/documents"


def refused(kind, act, *arguments, **keywords):
    with pytest.raises(kind) as caught:
        act(*arguments, **keywords)
    return caught.value


def test_a_token_for_each_api(logins):
    """Each API has a token of its own, kept until shortly before it expires."""
    session = logins.log_in(resource="nhn:phr")
    seen = []
    for logins.now in (NOW, NOW + 589.9, NOW + 590):
        seen.append((session.token().value, session.token(resource="nhn:kj").value))

    assert seen == [("token-1", "token-2"), ("token-1", "token-2"), ("token-3", "token-4")]
    assert [form["resource"] for form in logins.server.forms] == ["nhn:phr", "nhn:kj"] * 2


def test_a_token_may_hold_less(logins):
    """A narrower scope is asked for, and its token is another one."""
    session = logins.log_in(resource="nhn:phr")

    assert session.token(scope="nhn:phr/read").scope == ("nhn:phr/read",)
    assert session.token(scope="nhn:phr/read").value == "token-2"
    assert session.token().value == "token-1"


def test_a_scope_that_is_not_told_is_what_was_asked_for(logins):
    """An answer that names no scope grants all that was asked for (RFC 6749 section 5.1)."""
    granted = logins.server.granted
    logins.server.granted = lambda **more: granted(**{**more, "scope": ...})
    session = logins.log_in(resource="nhn:phr")
    whole = logins.server.pushed[0].scope

    assert session.token().scope == session.token(resource="nhn:kj").scope == whole
    assert session.token(scope="nhn:phr/read").scope == ("nhn:phr/read",)
    assert "nhn:phr/read" not in logins.log_in().token(scope="openid").scope


def test_refreshing_is_asked_for(logins):
    """`refresh` gets a new token however good the old one is."""
    session = logins.log_in(resource="nhn:phr")

    assert session.refresh().value == "token-2"
    assert session.token().value == "token-2"
    assert (logins.server.forms[1]["refresh_token"], logins.server.forms[1]["resource"]) == (
        "refresh-1",
        "nhn:phr",
    )


@pytest.mark.parametrize("rotate", [False, True])
def test_the_newest_refresh_token_is_used(logins, rotate):
    """A refresh token that is not exchanged is kept; an exchanged one takes its place."""
    session = logins.log_in()
    logins.server.rotate = rotate
    for _ in range(3):
        session.refresh()

    used = [form["refresh_token"] for form in logins.server.forms[1:]]
    assert used == (["refresh-1", "refresh-2", "refresh-3"] if rotate else ["refresh-1"] * 3)


def test_threads_do_not_use_a_refresh_token_twice(logins):
    """Many threads that need tokens of many contexts at once take their turns."""
    session = logins.log_in()
    logins.server.rotate = True

    def ask(number):
        with session.patient_context(ATTESTATION, resource=("nhn:phr", "nhn:kj")[number % 2]) as context:
            return context.token().value

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(ask, range(16)))) == 16


def test_att_4_each_patient_has_an_attestation_of_its_own(logins):
    """Each patient's tokens are got by the login's refresh token, with that patient's attestation signed beside it."""
    session = logins.log_in()
    for number, kind in enumerate((ATTESTATION, attestation(practitioner__identifier=...))):
        with session.patient_context(kind, resource="nhn:kj") as context:
            assert context.token().value == f"token-{number + 2}"
            assert context.request("GET", API).status == 200

    details = [assertion.details for assertion in logins.server.assertions]
    assert details[:2] == [None, None]
    assert [one["toa"] for one in details[2:]] == [NOW, NOW]
    assert {form["grant_type"] for form in logins.server.forms[1:]} == {"refresh_token"}


def test_a_context_is_for_the_sessions_api_unless_it_says_another(logins):
    """The default API of the session is that of its contexts too."""
    session = logins.log_in()
    for resource in (None, "nhn:kj"):
        with session.patient_context(ATTESTATION, resource=resource) as context:
            context.token()
        with session.context(resource=resource) as context:
            context.token()

    assert [form["resource"] for form in logins.server.forms[1:]] == [
        "nhn:phr",
        "nhn:phr",
        "nhn:kj",
        "nhn:kj",
    ]


def test_att_58b_leaving_a_patient_forgets_the_token(logins):
    """After a patient's context neither its token nor its attestation is left in the session."""
    session = logins.log_in()
    with session.patient_context(ATTESTATION) as context:
        token, attested = context.token(), context.attestation()

    assert refused(NotSent, context.token).code == NotSent.CONTEXT_CLOSED
    held = set(map(id, gc.get_referents(session, session._tokens, *session._tokens.values())))
    assert held.isdisjoint({id(token), id(attested)})
    assert token.value not in repr(vars(session))


def test_a_bad_attestation_is_not_sent(logins):
    """An attestation that breaks a rule of the consumer's is refused before anything leaves."""
    session = logins.log_in()
    with session.patient_context(attestation(care_relationship__purpose_of_use__code="x")) as context:
        error = refused(NotSent, context.token)

    assert error.violations[0].prefix == "ATT-38"
    assert logins.server.token_requests == 1


def test_att_11_who_logged_in_is_the_issuers_to_compare(logins):
    """What only the login shows is judged by the issuer, whose refusal names the rule."""
    session = logins.log_in()
    description = b"ATT-11: practitioner.identifier: not the authenticated user"
    logins.server.answers = [
        Response(400, (), b'{"error":"access_denied","error_description":"' + description + b'"}')
    ]
    with session.patient_context(ATTESTATION) as context:
        assert refused(ServerRefused, context.token).description == description.decode()


def test_an_attestation_is_given_once(logins):
    """A login that carries its attestation takes no second one at the token endpoint."""
    session = logins.log_in(attestation=ATTESTATION)
    with session.patient_context(ATTESTATION) as context:
        assert refused(NotSent, context.token).code == NotSent.ATTESTED_AT_LOGIN
        assert refused(NotSent, context.attestation).code == NotSent.ATTESTED_AT_LOGIN
    assert refused(NotSent, session.fetch_token, session.claims).code == NotSent.ATTESTED_AT_LOGIN

    assert session.token(resource="nhn:kj").value == "token-2"
    assert logins.server.assertions[-1].details is None


def test_another_organisation_after_login(logins):
    """Organisation numbers may change without a new login, in the assertion of a refresh."""
    organisation = {"type": "helseid_authorization", "practitioner_role": {}}
    with logins.log_in().context(details=[organisation]) as context:
        context.token()

    assert logins.server.assertions[-1].details == organisation


def test_without_a_refresh_token(logins):
    """A login that gave none has its first token and no more."""
    granted = logins.server.granted
    logins.server.granted = lambda **more: granted(**{**more, "refresh_token": ...})
    session = logins.log_in()
    assert session.userinfo()

    assert refused(NotSent, session.token, resource="nhn:kj").code == NotSent.NO_REFRESH_TOKEN
    session.end()
    assert logins.server.revoked == []


@pytest.mark.parametrize("claims", [{"sub": "other"}, {"auth_time": NOW - 1}, {"iss": "x"}, {"aud": "x"}])
def test_a_refreshed_id_token_is_of_the_same_login(logins, claims):
    """An ID token of another person or login in a refresh is not believed, nor what came with it."""
    session = logins.log_in()
    logins.server.id_claims = claims

    assert refused(BadAnswer, session.refresh).code == BadAnswer.BAD_ID_TOKEN
    assert session.to_json()["refresh_token"] == "refresh-1"


def test_a_refresh_that_is_refused(logins):
    """When the issuer no longer refreshes, its reason reaches the caller."""
    session = logins.log_in()
    logins.server.answers = [Response(400, (), b'{"error":"invalid_grant"}')]

    assert refused(ServerRefused, session.refresh).code == "invalid_grant"


def test_userinfo_is_about_the_same_person(logins):
    """Userinfo is asked with token and proof, and is about the subject of the ID token."""
    session = logins.log_in(resource="nhn:phr")

    assert session.userinfo()["hpr"] == "222209991"
    assert logins.server.token_requests == 1
    request = logins.server.api_requests[0]
    assert (request.method, request.url) == ("GET", f"{ISSUER}/connect/userinfo")
    logins.server.pages = {"userinfo": [Response(200, (), json.dumps({"sub": "other"}).encode())]}
    assert refused(BadAnswer, session.userinfo).code == BadAnswer.ANOTHER_SUBJECT


def test_a_token_that_does_not_speak_of_the_person(logins):
    """A kept token for an API alone is no token for userinfo."""
    session = logins.login.resume(logins.log_in().to_json())
    session.token(scope="nhn:phr/read")
    session.userinfo()

    assert "openid" in logins.server.forms[-1]["scope"].split()
    assert dict(logins.server.api_requests[0].headers)["Authorization"] == "DPoP token-3"


def test_userinfo_gets_a_token_of_its_own(logins):
    """When no kept token speaks of the person any more, one that opens no API is got."""
    session = logins.log_in(resource="nhn:phr")
    logins.now = NOW + 600
    session.userinfo()
    session.userinfo()

    assert logins.server.token_requests == 2
    assert "openid" in logins.server.forms[1]["scope"]
    assert "nhn:phr/read" not in logins.server.forms[1]["scope"]
    assert "resource" not in logins.server.forms[1]


@pytest.mark.parametrize(
    ("page", "kind", "code"),
    [
        (Response(401, (), b'{"error":"invalid_token"}'), ServerRefused, "invalid_token"),
        (Response(401, (("WWW-Authenticate", 'DPoP error="invalid_token"'),), b""), BadAnswer, "not_json"),
        (Response(200, (), b"[]"), BadAnswer, "not_json"),
        (Response(200, (), b"{}"), BadAnswer, "another_subject"),
    ],
)
def test_userinfo_that_is_none(logins, page, kind, code):
    """A refusal or something else than an object about the person is told."""
    session = logins.log_in()
    logins.server.pages = {"userinfo": [page]}

    assert refused(kind, session.userinfo).code == code


def test_the_browser_ends_the_session_at_the_issuer(logins):
    """The address names the session by its newest ID token, and where to go back to."""
    session = logins.log_in()
    first = parse_qs(urlsplit(session.end_url()).query)["id_token_hint"]
    logins.now = NOW + 60
    session.refresh()
    url = session.end_url(post_logout_redirect_uri="https://ehr.example/bye?a=b", state="s s")
    asked = parse_qs(urlsplit(url).query)

    assert url.startswith(f"{ISSUER}/connect/endsession?")
    assert asked.pop("id_token_hint") != first
    assert asked == {
        "client_id": ["ehr-nordfjell"],
        "post_logout_redirect_uri": ["https://ehr.example/bye?a=b"],
        "state": ["s s"],
    }


def test_the_end_forgets_and_revokes(logins):
    """Ending revokes the refresh token and drops every token; every later use is refused."""
    session = logins.log_in()
    context = session.patient_context(ATTESTATION)
    session.end()

    assert logins.server.revoked == [("refresh-1", "refresh_token")]
    for act in (
        session.token,
        session.refresh,
        session.userinfo,
        session.end_url,
        session.to_json,
        context.token,
    ):
        assert refused(NotSent, act).code == NotSent.SESSION_ENDED
    assert (session._tokens, session._grant._refresh_token, session._grant._id_token) == ({}, None, None)
    assert "ended" in repr(session)
    assert logins.server.token_requests == 1
    session.end()
    assert len(logins.server.revoked) == 1


def test_the_end_forgets_even_if_the_issuer_does_not(logins):
    """A revocation that fails is told, and everything is forgotten all the same."""
    session = logins.log_in()
    logins.server.pages = {"revocation": [Response(503, (("Retry-After", "5"),), b"{}")]}

    assert refused(ServerRefused, session.end).retry_after == 5
    assert refused(NotSent, session.token).code == NotSent.SESSION_ENDED


def test_another_process_goes_on(logins):
    """A session kept as JSON is resumed by another process: same person, new access tokens."""
    session = logins.log_in(attestation=ATTESTATION)
    kept = json.loads(json.dumps(session.to_json()))
    resumed = logins.login.resume(kept)

    assert "token-1" not in json.dumps({**kept, "id_token": None})
    assert (resumed.person, resumed.subject, resumed.attested) == (PRACTITIONER, session.subject, True)
    assert resumed.token().value == "token-2"
    assert logins.server.forms[-1]["resource"] == "nhn:phr"
    assert resumed.userinfo()["sub"] == session.subject


def test_u5_secrets_do_not_show(logins):
    """Neither session nor context shows a token when printed."""
    session = logins.log_in()
    with session.patient_context(ATTESTATION) as context:
        context.token()
        shown_by = (session, session._grant, context, session.token())
        for shown in map(repr, shown_by):
            assert "token-1" not in shown
            assert "refresh-1" not in shown
            assert PRACTITIONER not in shown
