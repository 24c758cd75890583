"""Who will do for a request: the session of a browser, the person who logs in, the strength of the login."""

import secrets
from dataclasses import replace
from typing import Any

import pytest

from support.backstage import Backstage
from support.ehr import ATTESTATION, attestation
from support.granted import grant
from support.login import CALLBACK, LoginEhr, Reception, practitioner
from support.service import PHR
from support.store_faults import Failing
from tillit.protocol.errors import OAuthError
from tillit_server.issuer.login.authorization import complete_login, peek_interaction, refuse_login
from tillit_server.issuer.login.browser import LogIn, SendBack
from tillit_server.issuer.login.sessions import end_session, find_session
from tillit_server.issuer.users import User
from tillit_server.storage.ports import StorageUnavailable

# The general practitioner of the registers, who is somebody else.
SOMEBODY_ELSE = "29839013092"
MOST_CALLS = 20


@pytest.fixture(scope="module")
def ehr(reception: Reception) -> LoginEhr:
    """A client whose users log in."""
    return reception.client()


def now(ehr: LoginEhr) -> int:
    return int(ehr.service.now())


def logged_in(reception: Reception, ehr: LoginEhr, **user: Any) -> str:
    """The cookie of a browser in which somebody has logged in."""
    back = reception.log_in(ehr, ehr.request_uri(), practitioner(now(ehr), **user))
    assert back.session is not None
    return back.session


def asked(reception: Reception, ehr: LoginEhr, session: str | None, **parameters: Any) -> SendBack | LogIn:
    return reception.open(ehr, ehr.request_uri(**parameters), session=session)


def finished(reception: Reception, page: SendBack | LogIn, user: User) -> SendBack:
    assert isinstance(page, LogIn), page
    return complete_login(page.interaction, page.binding, user, reception.services)


def test_a_session_serves_the_next_request_without_a_page(reception: Reception, ehr: LoginEhr):
    """A second client, too, gets its code at once, and the session goes on under the same name."""
    session = logged_in(reception, ehr)
    for client in (ehr, reception.client()):
        for prompt in (..., "none", "consent"):
            back = asked(reception, client, session, prompt=prompt)
            assert isinstance(back, SendBack)
            assert back.parameters["code"]
            assert back.session is None


@pytest.mark.parametrize("prompt", ["login", "select_account", "login consent"])
def test_prompt_asks_for_a_new_login(prompt: str, reception: Reception, ehr: LoginEhr):
    """Whoever is logged in, somebody has to log in again, and not long before."""
    session = logged_in(reception, ehr)
    page = asked(reception, ehr, session, prompt=prompt)
    assert isinstance(page, LogIn)
    assert page.force
    old = finished(reception, page, practitioner(now(ehr) - 3600))
    assert old.parameters["error"] == "login_required"
    page = asked(reception, ehr, session, prompt=prompt)
    assert finished(reception, page, practitioner(now(ehr))).parameters["code"]


@pytest.mark.parametrize(
    ("age", "max_age", "served"), [(100, "50", False), (100, "10000", True), (0, "0", False)]
)
def test_a_login_may_be_so_old_and_no_older(
    age: int, max_age: str, served: bool, reception: Reception, ehr: LoginEhr
):
    """``max_age`` is counted from the login, not from the session; 0 always asks for a new one."""
    session = logged_in(reception, ehr, auth_time=now(ehr) - age)
    outcome = asked(reception, ehr, session, max_age=max_age)
    assert isinstance(outcome, SendBack) == served
    if not served:
        assert isinstance(outcome, LogIn)
        assert outcome.force
        late = finished(reception, outcome, practitioner(now(ehr) - 3600))
        assert late.parameters["error"] == "login_required"


def test_prompt_none_never_shows_a_page(reception: Reception, ehr: LoginEhr):
    """Without a session that will do it is ``login_required``, with state and issuer and no code."""
    weak = logged_in(reception, ehr, security_level="3")
    state = secrets.token_urlsafe(96)
    for session, parameters in (
        (None, {}),
        ("nobody", {}),
        (weak, {"acr_values": "Level4"}),
        (logged_in(reception, ehr, idp="elsewhere"), {"acr_values": "idp:test"}),
        (logged_in(reception, ehr, auth_time=now(ehr) - 100), {"max_age": "50"}),
    ):
        back = asked(reception, ehr, session, prompt="none", state=state, **parameters)
        assert isinstance(back, SendBack)
        assert back.parameters["error"] == "login_required"
        assert back.parameters["state"] == state
        assert "code" not in back.parameters
        assert back.redirect_uri == CALLBACK


@pytest.mark.parametrize(
    ("acr_values", "level", "served"),
    [
        ("Level4", "3", False),
        ("High", "3", False),
        ("Level4", "4", True),
        ("Level3", "4", True),
        ("Level3 Level4", "3", True),
        ("Substantial", "2", False),
        ("idp:test", "3", True),
        ("idp:nobody-knows", "3", True),
        ("bp:amr:sc something-else", "2", True),
    ],
)
def test_acr_values_ask_for_strength_and_provider(
    acr_values: str, level: str, served: bool, reception: Reception, ehr: LoginEhr
):
    """The lowest level named will do; a provider is asked for by its name; unknown values mean nothing."""
    session = logged_in(reception, ehr, security_level=level)
    outcome = asked(reception, ehr, session, acr_values=acr_values)
    assert isinstance(outcome, SendBack) == served


def test_a_login_at_another_provider_than_the_one_named_is_not_enough(reception: Reception, ehr: LoginEhr):
    """Who is logged in through another provider logs in anew at the one that the client names."""
    page = asked(reception, ehr, logged_in(reception, ehr, idp="elsewhere"), acr_values="idp:test")
    assert isinstance(page, LogIn)
    assert page.idp == "test"


def test_the_login_page_knows_what_was_asked(reception: Reception, ehr: LoginEhr):
    """Provider, e-ID, level, hint and languages reach the page, now and when it is shown again."""
    page = asked(
        reception,
        ehr,
        None,
        acr_values="Level4 idp:idporten-oidc amr:bankid amr:buypass",
        login_hint="somebody",
        ui_locales="nb en",
    )
    assert isinstance(page, LogIn)
    assert (page.idp, page.level, page.amr) == ("idporten-oidc", "4", ("bankid", "buypass"))
    assert (page.login_hint, page.ui_locales, page.force) == ("somebody", ("nb", "en"), False)
    assert peek_interaction(page.interaction, page.binding, reception.services) == page


def test_a_login_below_the_level_is_told_to_the_client(reception: Reception, ehr: LoginEhr):
    """``unmet_authentication_requirements``, and no session remains of it."""
    page = asked(reception, ehr, None, acr_values="Level4")
    back = finished(reception, page, practitioner(now(ehr), security_level="3"))
    assert back.parameters["error"] == "unmet_authentication_requirements"
    assert back.session is None


def test_an_attestation_needs_its_practitioner_at_the_highest_level(reception: Reception, ehr: LoginEhr):
    """ATT-9, ATT-11: another person, or a weaker login, is ``access_denied``, and no number is told or logged."""
    details = {
        "authorization_details": [ATTESTATION],
        "scope": f"openid {PHR} nhn:tillitsrammeverk:parameters",
    }
    for user, rule in (
        (practitioner(now(ehr), pid=SOMEBODY_ELSE), "ATT-11"),
        (practitioner(now(ehr), security_level="3"), "ATT-9"),
    ):
        page = reception.open(ehr, ehr.push_signed(**details).json["request_uri"])
        assert isinstance(page, LogIn)
        assert page.level == "4"
        back = finished(reception, page, user)
        assert back.parameters["error"] == "access_denied"
        assert back.parameters["error_description"].startswith(rule)
        assert user.pid not in str(back.parameters)
        assert back.session is None
        (entry,) = reception.backstage.entries("issuer.login.refused", client_id=ehr.client_id, rule=rule)
        assert user.pid not in str(entry.public)
        assert entry.personal == {"practitioner": user.pid}
    page = reception.open(ehr, ehr.push_signed(**details).json["request_uri"])
    assert finished(reception, page, practitioner(now(ehr))).parameters["code"]


def test_a_session_of_another_person_is_no_use_to_an_attestation(reception: Reception, ehr: LoginEhr):
    """Somebody has to log in anew; of the person attested, the session serves."""
    details = {
        "authorization_details": [ATTESTATION],
        "scope": f"openid {PHR} nhn:tillitsrammeverk:parameters",
    }
    theirs, weak = (
        logged_in(reception, ehr, pid=SOMEBODY_ELSE),
        logged_in(reception, ehr, security_level="3"),
    )
    for session in (theirs, weak):
        page = reception.open(ehr, ehr.push_signed(**details).json["request_uri"], session=session)
        assert isinstance(page, LogIn)
        assert page.force
    own = logged_in(reception, ehr)
    back = reception.open(ehr, ehr.push_signed(**details).json["request_uri"], session=own)
    assert isinstance(back, SendBack)
    assert back.parameters["code"]


def test_a_practitioner_who_is_not_named_is_the_one_who_logs_in(reception: Reception, ehr: LoginEhr):
    """An attestation without the practitioner's number is filled from the login."""
    unnamed = attestation(practitioner__identifier=...)
    uri = ehr.push_signed(
        authorization_details=[unnamed], scope=f"openid {PHR} nhn:tillitsrammeverk:parameters"
    ).json["request_uri"]
    assert finished(reception, reception.open(ehr, uri), practitioner(now(ehr))).parameters["code"]


def unnamed_request(ehr: LoginEhr, **claims: Any) -> str:
    """A request with an attestation that leaves the practitioner to the login."""
    answer = ehr.push_signed(
        authorization_details=[attestation(practitioner__identifier=...)],
        scope=f"openid {PHR} nhn:tillitsrammeverk:parameters",
        **claims,
    )
    return str(answer.json["request_uri"])


def test_an_attestation_that_names_nobody_rides_on_no_session(reception: Reception, ehr: LoginEhr):
    """Whoever sat there before is not who attests now, so somebody logs in anew, and not long before."""
    session = logged_in(reception, ehr)
    page = reception.open(ehr, unnamed_request(ehr), session=session)
    assert isinstance(page, LogIn)
    assert page.force
    remembered = finished(reception, page, practitioner(now(ehr) - 3600, pid=SOMEBODY_ELSE))
    assert remembered.parameters["error"] == "login_required"
    page = reception.open(ehr, unnamed_request(ehr), session=session)
    assert finished(reception, page, practitioner(now(ehr))).parameters["code"]
    back = reception.open(ehr, unnamed_request(ehr, prompt="none"), session=session)
    assert isinstance(back, SendBack)
    assert back.parameters["error"] == "login_required"


def test_a_hint_names_the_practitioner_of_an_attestation(
    reception: Reception, ehr: LoginEhr, backstage: Backstage
):
    """With an ID token of the person, the person's session serves; another's does not, nor an unreadable hint."""
    ours, theirs = logged_in(reception, ehr), logged_in(reception, ehr, pid=SOMEBODY_ELSE)
    hint = grant(backstage, ehr).id_token(iat=1, exp=2)
    back = reception.open(ehr, unnamed_request(ehr, id_token_hint=hint), session=ours)
    assert isinstance(back, SendBack)
    assert back.parameters["code"]
    for session, shown in (
        (theirs, hint),
        (ours, "x"),
        (ours, grant(backstage, reception.client()).id_token()),
    ):
        page = reception.open(ehr, unnamed_request(ehr, id_token_hint=shown), session=session)
        assert isinstance(page, LogIn)
        assert page.force


@pytest.mark.parametrize("named", [True, False])
def test_who_attests_logs_in_anew_at_the_provider(named: bool, reception: Reception, ehr: LoginEhr):
    """Without a session here the provider may still remember somebody else, who is not to be let in silently."""
    changes = {} if named else {"practitioner__identifier": ...}
    uri = ehr.push_signed(
        authorization_details=[attestation(**changes)],
        scope=f"openid {PHR} nhn:tillitsrammeverk:parameters",
    ).json["request_uri"]
    page = reception.open(ehr, uri)
    assert isinstance(page, LogIn)
    assert page.force


def test_a_hint_names_the_person_who_is_expected(reception: Reception, ehr: LoginEhr, backstage: Backstage):
    """A session of that person serves; another person is ``login_required``; an unreadable hint says nothing."""
    ours = logged_in(reception, ehr)
    theirs = logged_in(reception, ehr, pid=SOMEBODY_ELSE)
    hint = grant(backstage, ehr).id_token(iat=1, exp=2)
    back = asked(reception, ehr, ours, id_token_hint=hint, prompt="none")
    assert isinstance(back, SendBack)
    assert back.parameters["code"]
    back = asked(reception, ehr, theirs, id_token_hint=hint, prompt="none")
    assert isinstance(back, SendBack)
    assert back.parameters["error"] == "login_required"
    page = asked(reception, ehr, theirs, id_token_hint=hint)
    back = finished(reception, page, practitioner(now(ehr), pid=SOMEBODY_ELSE))
    assert back.parameters["error"] == "login_required"
    for unreadable in ("x", hint[:-6] + "AAAAAA", ehr.assertion()):
        assert isinstance(asked(reception, ehr, theirs, id_token_hint=unreadable), SendBack)


def test_every_login_has_a_session_of_its_own(reception: Reception, ehr: LoginEhr):
    """M2, P10: the session from before ends with the login; what a cookie held before it is worth nothing."""
    first = logged_in(reception, ehr)
    page = asked(reception, ehr, first, prompt="login")
    second = finished(reception, page, practitioner(now(ehr))).session
    assert second not in {None, first}
    services, time = reception.services, ehr.service.now()
    assert find_session(first, services, time) is None
    assert find_session(second, services, time) is not None
    (entry,) = reception.backstage.entries(
        "issuer.user.logged_in", sid=find_session(second, services, time).sid
    )
    assert entry.public["replaced"]


def test_a_session_that_ends_meanwhile_does_not_stop_a_login(reception: Reception, ehr: LoginEhr):
    """Whoever logs out in another window while logging in here gets in here all the same."""
    secret = logged_in(reception, ehr)
    page = asked(reception, ehr, secret, prompt="login")
    session = find_session(secret, reception.services, ehr.service.now())
    assert session is not None
    assert end_session(session, reception.services)
    assert not end_session(session, reception.services)
    assert finished(reception, page, practitioner(now(ehr))).parameters["code"]
    assert isinstance(asked(reception, ehr, secret), LogIn)


def test_what_a_cookie_may_hold(reception: Reception, ehr: LoginEhr):
    """Nothing that a browser sends in place of a session or a binding is more than nobody."""
    for odd in ("", "x" * 10_000, "\x00", "søk", "'; --"):
        assert isinstance(asked(reception, ehr, odd), LogIn)
        page = reception.open(ehr, ehr.request_uri(), binding=odd)
        assert isinstance(page, LogIn)
        assert page.binding != odd
    fine = secrets.token_urlsafe(32)
    page = reception.open(ehr, ehr.request_uri(), binding=fine)
    assert isinstance(page, LogIn)
    assert page.binding == fine


def test_a_login_ends_once(reception: Reception, ehr: LoginEhr):
    """After completion or refusal there is nothing to complete, to refuse or to show."""
    services = reception.services
    denied = OAuthError("access_denied", "cancelled")
    for end in ("complete", "refuse"):
        page = asked(reception, ehr, None)
        assert isinstance(page, LogIn)
        if end == "complete":
            finished(reception, page, practitioner(now(ehr)))
        else:
            back = refuse_login(page.interaction, page.binding, denied, services)
            assert back.parameters["error"] == "access_denied"
        for again in (
            lambda p=page: complete_login(p.interaction, p.binding, practitioner(now(ehr)), services),
            lambda p=page: refuse_login(p.interaction, p.binding, denied, services),
            lambda p=page: peek_interaction(p.interaction, p.binding, services),
        ):
            with pytest.raises(OAuthError) as caught:
                again()
            assert caught.value.code == "invalid_request"


def test_what_a_login_leaves_in_the_audit(reception: Reception):
    """Pushed, logged in, granted: who and for whom, the person encrypted and found by the number."""
    ehr = reception.client()
    jti = secrets.token_hex(8)
    uri = str(ehr.push(client_assertion=ehr.assertion(jti=jti)).json["request_uri"])
    back = reception.log_in(ehr, uri)
    (pushed,) = reception.backstage.entries("issuer.request.pushed", assertion_jti=jti)
    (came_in,) = reception.backstage.entries("issuer.user.logged_in", client_id=ehr.client_id)
    (granted,) = reception.backstage.entries("issuer.authorization.granted", client_id=ehr.client_id)
    assert pushed.public["scope"] == granted.public["scope"]
    assert came_in.public["sid"] == granted.public["sid"]
    assert (came_in.public["idp"], came_in.public["security_level"]) == ("test", "4")
    for entry in (came_in, granted):
        assert entry.personal == {"practitioner": "14857527039"}
    public = str([entry.public for entry in (pushed, came_in, granted)])
    for secret in (back.parameters["code"], back.session, uri[-43:], "14857527039"):
        assert str(secret) not in public


@pytest.mark.parametrize("ending", ["code", "refusal"])
def test_a_login_ends_whole_or_not_at_all(ending: str, reception: Reception, ehr: LoginEhr):
    """Whichever call of the store fails, the login has not ended, and ends well when it is tried again."""
    replaced, failed = logged_in(reception, ehr), 0
    for at in range(1, MOST_CALLS):
        page = asked(reception, ehr, replaced, prompt="login")
        assert isinstance(page, LogIn)
        store = Failing(reception.services.store, at)
        faulty = replace(reception.services, store=store)
        try:
            if ending == "code":
                back = complete_login(page.interaction, page.binding, practitioner(now(ehr)), faulty)
            else:
                back = refuse_login(page.interaction, page.binding, OAuthError("access_denied", "x"), faulty)
        except StorageUnavailable:
            failed += 1
            assert find_session(replaced, reception.services, ehr.service.now())
            assert peek_interaction(page.interaction, page.binding, reception.services) == page
            continue
        assert store.calls[0] < at  # every call of it has failed once
        assert ("code" in back.parameters) == (ending == "code")
        break
    assert failed >= 2
