"""Authorization requests in the address of a browser: for clients of the legacy profile, and for no others."""

import secrets
from typing import Any
from urllib.parse import urlencode

import pytest

from support.backstage import eventually
from support.login import LoginEhr, Reception, practitioner
from support.relying_party import RelyingParty
from support.service import PHR
from support.visitor import Page, Returned, Visitor
from tillit.protocol.errors import OAuthError
from tillit_server.issuer.login.authorization import complete_login, peek_interaction, refuse_login
from tillit_server.issuer.login.browser import LogIn


@pytest.fixture
def old(reception: Reception) -> RelyingParty:
    """A client of the legacy profile."""
    return RelyingParty.of(reception.client(profile="legacy"))


def address(ehr: LoginEhr, **parameters: Any) -> str:
    return f"{ehr.service.issuer}/connect/authorize?" + urlencode(
        {"client_id": ehr.client_id, **parameters}, doseq=True
    )


def tolerances(reception: Reception, ehr: LoginEhr) -> set[str]:
    entries = reception.backstage.entries("issuer.tolerance.used", client_id=ehr.client_id)
    return {name for entry in entries for name in entry.public["tolerances"]}


def test_query_parameters_lead_to_a_login_and_a_code(old: RelyingParty, reception: Reception):
    """State and nonce come back as they were, and the tolerance stands in the audit."""
    parameters = old.parameters()
    back = Visitor(old.service).log_in(address(old, **parameters))
    assert back.parameters["state"] == parameters["state"]
    assert old.redeem(back.code).status == 200
    assert tolerances(reception, old) == {"front_channel"}


def test_the_same_by_form(old: RelyingParty):
    """A POST of the parameters goes the same way (OpenID Connect Core §3.1.2.1)."""
    visitor = Visitor(old.service)
    url = f"{old.service.issuer}/connect/authorize"
    first = visitor.session.post(
        url, data={"client_id": old.client_id, **old.parameters()}, allow_redirects=False, timeout=10
    )
    assert first.status_code == 303
    assert visitor.log_in(old.service.origin + first.headers["Location"]).code


def test_pkce_may_be_missing_and_that_is_written_down(old: RelyingParty, reception: Reception):
    """Without a challenge the code is redeemed without a verifier."""
    bare = old.parameters(code_challenge=..., code_challenge_method=...)
    back = Visitor(old.service).log_in(address(old, **bare))
    assert old.redeem(back.code, code_verifier=...).status == 200
    assert tolerances(reception, old) == {"front_channel", "missing_pkce"}


@pytest.mark.parametrize(
    "inside",
    [
        pytest.param({}, id="every parameter inside"),
        pytest.param(dict.fromkeys(("scope", "state", "nonce", "redirect_uri"), ...), id="some inside"),
    ],
)
def test_a_request_object_is_merged_with_the_query(inside: Any, old: RelyingParty, reception: Reception):
    """What is inside must be equal to what is beside; the object's id is spent when the login ends."""
    parameters = old.parameters()
    token = old.request_object(**{**parameters, **inside})
    url = address(old, **parameters, request=token)
    visitor = Visitor(old.service)
    assert isinstance(visitor.open(url), Page)
    assert visitor.log_in(url).code
    again = Visitor(old.service).open(url)
    assert isinstance(again, Page)
    page = Visitor(old.service)
    shown = page.submit(page.open(url), "other", number="14857527039", level="level4")
    shown = page.submit(shown) if isinstance(shown, Page) and shown.status == 200 else shown
    assert isinstance(shown, Page)
    assert (shown.status, shown.error) == (400, "invalid_request")


def test_a_denial_spends_a_request_object_too(old: RelyingParty):
    """After a cancelled login the same link leads nowhere, though the object lives on."""
    parameters = old.parameters()
    url = address(old, **parameters, request=old.request_object(**parameters))
    assert Visitor(old.service).log_in(url, cancel=True).error == "access_denied"
    late = Visitor(old.service)
    page = late.submit(late.open(url), "leave", cancel="yes")
    assert isinstance(page, Page)
    assert (page.status, page.error) == (400, "invalid_request")


def test_an_object_of_2021_without_parameters_or_client_id(old: RelyingParty, reception: Reception):
    """As the oldest samples make it: only the envelope is inside."""
    bare = dict.fromkeys((*old.parameters(), "client_id"), ...)
    token = old.request_object(header={"typ": "JWT"}, sub=old.client_id, **bare)
    back = Visitor(old.service).log_in(address(old, **old.parameters(), request=token))
    assert back.code
    assert tolerances(reception, old) >= {"front_channel", "merged_request_object", "missing_client_id"}


def test_before_the_redirect_uri_is_known_there_is_only_a_page(old: RelyingParty, reception: Reception):
    """A bad object, a redirect URI that is not registered, or a client without the grant: nobody is redirected."""
    machine = reception.client(profile="legacy", grants=["client_credentials"])
    cases = [
        (address(old, **old.parameters(), request="x"), "invalid_request_object"),
        (address(old, **old.parameters(), request=old.request_object(aud="x")), "invalid_request_object"),
        (address(old, **old.parameters(redirect_uri="https://evil.example/")), "invalid_request"),
        (address(old, **old.parameters(), authorization_details="[]"), "invalid_request"),
        (address(machine, **machine.parameters()), "unauthorized_client"),
    ]
    for url, code in cases:
        page = Visitor(old.service).open(url)
        assert isinstance(page, Page), url
        assert (page.status, page.error) == (400, code)


def test_afterwards_the_client_hears_of_it(old: RelyingParty):
    """Whatever is wrong with the rest goes back with state and issuer, the way that was asked for."""
    for change, code in (
        ({"response_type": ...}, "unsupported_response_type"),
        ({"scope": "nobody/knows"}, "invalid_scope"),
        ({"resource": "nhn:nothing"}, "invalid_target"),
        ({"max_age": "x"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
    ):
        state = secrets.token_urlsafe(8)
        back = Visitor(old.service).open(address(old, **old.parameters(state=state, **change)))
        assert isinstance(back, Returned), change
        assert (back.error, back.parameters["state"]) == (code, state)
    visitor = Visitor(old.service)
    page = visitor.open(address(old, **old.parameters(response_mode="form_post", scope="nobody/knows")))
    assert isinstance(page, Page)
    back = visitor.submit(page)
    assert isinstance(back, Returned)
    assert back.error == "invalid_scope"


def test_several_apis_may_be_named(old: RelyingParty):
    """``resource`` may repeat in the query, too."""
    parameters = old.parameters(scope=f"openid {PHR} example:ward/list", resource=["nhn:phr", "example:ward"])
    assert Visitor(old.service).log_in(address(old, **parameters)).code


def test_a_legacy_client_may_push_as_well(old: RelyingParty, reception: Reception):
    """PAR is open to everybody; then nothing is tolerated that was not needed."""
    assert old.log_in().code
    assert tolerances(reception, old) == set()


def refusals(reception: Reception, ehr: LoginEhr) -> int:
    return len(reception.backstage.entries("issuer.login.refused", client_id=ehr.client_id))


def test_strangers_who_give_up_fill_no_audit(old: RelyingParty, reception: Reception):
    """Nobody has authenticated, so their refusals are counted; the login is over all the same."""
    url = address(old, **old.parameters())
    for _ in range(3):
        visitor = Visitor(old.service)
        page = visitor.open(url)
        assert visitor.submit(page, "leave", cancel="yes").error == "access_denied"
        assert isinstance(visitor.open(visitor.seen[-1].url), Page)
    assert refusals(reception, old) == 0


def test_a_refusal_of_somebody_stands_in_the_audit(old: RelyingParty, reception: Reception):
    """Of a person who has logged in and will not do, and of a client that signed its request."""
    weak = Visitor(old.service).log_in(address(old, **old.parameters(acr_values="Level4")), level="level3")
    assert weak.error == "unmet_authentication_requirements"
    assert refusals(reception, old) == 1
    parameters = old.parameters()
    signed = address(old, **parameters, request=old.request_object(**parameters))
    assert Visitor(old.service).log_in(signed, cancel=True).error == "access_denied"
    assert refusals(reception, old) == 2


@pytest.mark.parametrize("profile", ["fapi2", "helseid"])
def test_a_client_that_has_to_push_by_now_finishes_nothing_else(profile: str, reception: Reception):
    """A login that began in an address while the client was legacy ends on a page of ours, without a code."""
    ehr = reception.client(profile="legacy")
    asked = {"client_id": ehr.client_id, **ehr.parameters()}
    page = reception.open_with(asked)
    assert isinstance(page, LogIn)
    reception.backstage.register(
        ehr.client_id,
        ehr.key,
        replace=True,
        profile=profile,
        grants=["authorization_code", "refresh_token"],
        scopes=reception.registered(ehr).scopes,
        attests_without_login=False,
    )
    assert eventually(lambda: not reception.registered(ehr).profile.front_channel)
    services, user = reception.services, practitioner(ehr.service.now())
    for finish in (
        lambda: complete_login(page.interaction, page.binding, user, services),
        lambda: refuse_login(page.interaction, page.binding, OAuthError("access_denied", "no"), services),
        lambda: peek_interaction(page.interaction, page.binding, services),
    ):
        with pytest.raises(OAuthError, match="push"):
            finish()
