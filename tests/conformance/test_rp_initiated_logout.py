"""RP-initiated logout: the modules of `oidcc-rp-initiated-logout-certification-test-plan`, one test each.

As the suite does, each first logs in, then opens the end_session endpoint in the same browser, and at last asks
with `prompt=none` whether the session is gone.
"""

from dataclasses import dataclass
from urllib.parse import urlencode

import pytest

from support.login import Reception
from support.relying_party import RelyingParty
from support.service import PHR
from support.tokens import compact, key_for
from support.visitor import Page, Returned, Visitor
from tillit.protocol.gate import read_jws

AFTER_LOGOUT = "https://localhost.emobix.co.uk:8443/test/a/tillit/post_logout_redirect"
STATE = "a-zA-Z0-9~_.!*'();:@&=+$,/?%#[] \"<>{}|^`"


@dataclass
class LoggedIn:
    """A browser, the client it came from, and the ID token that client has."""

    party: RelyingParty
    visitor: Visitor
    id_token: str

    def end(self, **parameters: str) -> Page | Returned:
        """Open the end_session endpoint."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        return self.visitor.open(f"{self.party.service.issuer}/connect/endsession{query}")

    @property
    def still(self) -> bool:
        """Whether `prompt=none` finds a session."""
        back = self.party.log_in(self.visitor, prompt="none", scope=f"openid {PHR}")
        assert (back.error is None) == ("code" in back.parameters)
        assert back.error in {None, "login_required"}
        return back.error is None


@pytest.fixture(scope="module")
def party(reception: Reception) -> RelyingParty:
    """A client with a registered address for afterwards."""
    return RelyingParty.of(
        reception.client(
            post_logout_redirect_uris=[AFTER_LOGOUT],
            attests_without_login=True,
            scopes=["openid", PHR, "nhn:tillitsrammeverk:parameters", "nhn:selvbetjening/client"],
        )
    )


@pytest.fixture
def logged_in(party: RelyingParty) -> LoggedIn:
    """Somebody has just logged in, over HTTP, at the test provider."""
    visitor = Visitor(party.service)
    back = party.log_in(visitor, scope="openid nhn:selvbetjening/client")
    answer = party.redeem(back.code)
    assert answer.status == 200, answer.body
    there = LoggedIn(party, visitor, answer.json["id_token"])
    assert there.still
    return there


def shows_an_error(page: Page | Returned) -> bool:
    """A page of ours with an error on it, and no redirect."""
    return isinstance(page, Page) and page.status == 400 and page.error == "invalid_request"


def logs_out(logged_in: LoggedIn, page: Page | Returned) -> bool:
    """A page of ours that says so, if need be after its own button was pressed."""
    if isinstance(page, Page) and page.forms:
        page = logged_in.visitor.submit(page)
    return isinstance(page, Page) and "logged-out" in page.texts


def test_oidcc_rp_initiated_logout(logged_in: LoggedIn):
    """Hint, address and a state of special characters: back there with exactly that state, logged out."""
    came = logged_in.end(id_token_hint=logged_in.id_token, post_logout_redirect_uri=AFTER_LOGOUT, state=STATE)
    assert isinstance(came, Returned)
    assert came.location.split("?")[0] == AFTER_LOGOUT
    assert came.parameters == {"state": STATE}
    assert not logged_in.still


def test_oidcc_rp_initiated_logout_no_state(logged_in: LoggedIn):
    """Without a state there is none in the answer."""
    came = logged_in.end(id_token_hint=logged_in.id_token, post_logout_redirect_uri=AFTER_LOGOUT)
    assert isinstance(came, Returned)
    assert came.location == AFTER_LOGOUT
    assert not logged_in.still


def test_oidcc_rp_initiated_logout_bad_post_logout_redirect_uri(logged_in: LoggedIn):
    """An address that is not registered: an error page."""
    page = logged_in.end(
        id_token_hint=logged_in.id_token, post_logout_redirect_uri=f"{AFTER_LOGOUT}/x", state="s"
    )
    assert shows_an_error(page)


def test_oidcc_rp_initiated_logout_query_added_to_post_logout_redirect_uri(logged_in: LoggedIn):
    """The registered address with a query: an error page."""
    page = logged_in.end(
        id_token_hint=logged_in.id_token, post_logout_redirect_uri=f"{AFTER_LOGOUT}?foo=bar", state="s"
    )
    assert shows_an_error(page)


def test_oidcc_rp_initiated_logout_modified_id_token_hint(logged_in: LoggedIn):
    """The hint written anew with algorithm none: an error page."""
    jws = read_jws(logged_in.id_token)
    hint = compact({"alg": "none", "typ": "JWT"}, dict(jws.claims)).rpartition(".")[0] + "."
    page = logged_in.end(id_token_hint=hint, post_logout_redirect_uri=AFTER_LOGOUT, state="s")
    assert shows_an_error(page)
    assert logged_in.still


def test_oidcc_rp_initiated_logout_bad_id_token_hint(logged_in: LoggedIn):
    """The hint signed by somebody else: an error page."""
    jws = read_jws(logged_in.id_token)
    hint = compact(dict(jws.header), dict(jws.claims), key_for("ES256", 18))
    page = logged_in.end(id_token_hint=hint, post_logout_redirect_uri=AFTER_LOGOUT, state="s")
    assert shows_an_error(page)
    assert logged_in.still


def test_oidcc_rp_initiated_logout_no_id_token_hint(logged_in: LoggedIn):
    """Only the address: no redirect, but a page that asks, and afterwards the end."""
    page = logged_in.end(post_logout_redirect_uri=AFTER_LOGOUT)
    assert isinstance(page, Page)
    assert logged_in.still
    assert logs_out(logged_in, page)
    assert not logged_in.still


def test_oidcc_rp_initiated_logout_no_params(logged_in: LoggedIn):
    """Nothing at all: a page that asks, and then one that says that it is done."""
    assert logs_out(logged_in, logged_in.end())
    assert not logged_in.still


def test_oidcc_rp_initiated_logout_only_state(logged_in: LoggedIn):
    """Only a state: the same."""
    assert logs_out(logged_in, logged_in.end(state="s"))
    assert not logged_in.still


def test_oidcc_rp_initiated_logout_no_post_logout_redirect_uri(logged_in: LoggedIn):
    """Only the hint: logged out, on a page of ours."""
    assert logs_out(logged_in, logged_in.end(id_token_hint=logged_in.id_token))
    assert not logged_in.still
