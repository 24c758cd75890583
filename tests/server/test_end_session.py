"""The end of a session over HTTP: who may ask for it, what the browser sees, and where it is sent."""

from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from support.backstage import Backstage, SwiftEhr
from support.granted import Granted, grant, login_client
from support.service import http
from support.tokens import compact, key_for
from support.visitor import Page, Returned, Visitor
from tillit.protocol.gate import read_jws

BYE = "https://ehr.example/bye"
BYE_WITH_QUERY = "https://ehr.example/bye?from=tillit"
STATE = "a b&c=d?e/f~g'h(i)j!k*l:m;n@o,p+q%r$s#t[u]v{w}"
COOKIE = "tillit-session"


@pytest.fixture(scope="module")
def ehr(backstage: Backstage) -> SwiftEhr:
    """A client whose users log out."""
    return login_client(backstage, name="Journal Nord", post_logout_redirect_uris=[BYE, BYE_WITH_QUERY])


@pytest.fixture
def granted(backstage: Backstage, ehr: SwiftEhr) -> Granted:
    """A login with a session."""
    return grant(backstage, ehr, session=True)


def visitor_of(granted: Granted) -> Visitor:
    """The browser in which it happened."""
    visitor = Visitor(granted.behind.service)
    visitor.session.cookies.set(COOKIE, granted.session, domain="127.0.0.1", path="/")
    return visitor


def end(visitor: Visitor, **parameters: str) -> Page | Returned:
    """Open the end_session endpoint."""
    query = f"?{urlencode(parameters)}" if parameters else ""
    return visitor.open(f"{visitor.service.issuer}/connect/endsession{query}")


def post(visitor: Visitor, **parameters: str) -> Page | Returned:
    """The same by a form of our own site."""
    url = f"{visitor.service.issuer}/connect/endsession"
    return visitor._follow(visitor._send("POST", url, data=parameters))


def logged_in(granted: Granted) -> bool:
    """Whether the session lives."""
    ticket = granted.behind.services.store.tickets.peek("session", granted.session)
    return ticket is not None and not ticket.redeemed


def assert_logged_out_page(page: Page | Returned) -> None:
    """Our own page says so, with the headers that every page has."""
    assert isinstance(page, Page), page
    assert (page.status, "logged-out" in page.texts) == (200, True)
    assert page.headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]


def test_a_client_that_shows_its_id_token_is_believed(granted: Granted):
    """The session ends, the cookie goes, the audit knows, and the browser is back with ``state`` to the letter."""
    visitor = visitor_of(granted)
    came = end(visitor, id_token_hint=granted.id_token(), post_logout_redirect_uri=BYE, state=STATE)
    assert isinstance(came, Returned)
    assert came.location.split("?")[0] == BYE
    assert came.parameters == {"state": STATE}
    assert not logged_in(granted)
    assert COOKIE not in visitor.session.cookies
    (entry,) = granted.behind.entries("issuer.user.logged_out", sid=granted.authorized.sid)
    assert entry.public["client_id"] == granted.ehr.client_id
    assert entry.personal == {"practitioner": granted.authorized.user.pid}
    assert visitor.seen[-1].status_code == 303


def test_without_a_state_there_is_none(granted: Granted):
    """Nothing is added to the address, and a query that it was registered with is kept."""
    came = end(visitor_of(granted), id_token_hint=granted.id_token(), post_logout_redirect_uri=BYE_WITH_QUERY)
    assert isinstance(came, Returned)
    assert came.parameters == {"from": "tillit"}


def test_a_registered_query_is_kept_beside_the_state(granted: Granted):
    """The two do not run into each other."""
    hint = granted.id_token()
    came = end(visitor_of(granted), id_token_hint=hint, post_logout_redirect_uri=BYE_WITH_QUERY, state=STATE)
    assert isinstance(came, Returned)
    assert parse_qsl(urlsplit(came.location).query) == [("from", "tillit"), ("state", STATE)]


def test_an_id_token_of_any_age_will_do(granted: Granted):
    """RP-Initiated Logout §2: it is a hint, and may have expired long ago."""
    long_ago = int(granted.behind.service.now()) - 40 * 86_400
    hint = granted.id_token(iat=long_ago, nbf=long_ago, exp=long_ago + 300)
    assert isinstance(end(visitor_of(granted), id_token_hint=hint, post_logout_redirect_uri=BYE), Returned)
    assert not logged_in(granted)


def test_by_post_from_our_own_site(granted: Granted):
    """RP-Initiated Logout §2: both methods."""
    hint = granted.id_token()
    came = post(visitor_of(granted), id_token_hint=hint, post_logout_redirect_uri=BYE, state=STATE)
    assert isinstance(came, Returned)
    assert came.parameters == {"state": STATE}
    assert not logged_in(granted)


def test_by_post_from_another_site(granted: Granted):
    """U5: such a form comes without the cookie; a button of ours brings it, and the hint is in no address."""
    page = post(
        Visitor(granted.behind.service),
        id_token_hint=granted.id_token(),
        post_logout_redirect_uri=BYE,
        state=STATE,
        ui_locales="nb",
    )
    assert isinstance(page, Page)
    assert (page.status, page.url.partition("?")[2]) == (200, "")
    assert page.headers["Content-Language"] == "nb"
    assert "https://ehr.example" in page.headers["Content-Security-Policy"]
    assert logged_in(granted)
    visitor = visitor_of(granted)
    came = visitor.submit(page)
    assert isinstance(came, Returned)
    assert came.parameters == {"state": STATE}
    assert not logged_in(granted)
    assert not [answer.url for answer in visitor.seen if "eyJ" in answer.url]


def test_the_button_after_the_session_is_over(granted: Granted):
    """It ends nothing, and there is no second button."""
    visitor = Visitor(granted.behind.service)
    page = post(visitor, id_token_hint=granted.id_token(), post_logout_redirect_uri=BYE)
    assert isinstance(page, Page)
    assert isinstance(visitor.submit(page), Returned)


def test_a_form_from_another_site_takes_no_cookie_away(granted: Granted):
    """Whatever fields it has, an answer to who brought no cookie removes none."""
    for fields in ({"from_here": "yes"}, {"confirm": "x"}, {}):
        visitor = Visitor(granted.behind.service)
        post(visitor, **fields)
        assert "Set-Cookie" not in visitor.seen[-1].headers


def test_a_form_is_judged_before_its_button_is_shown(granted: Granted):
    """An address that is not registered, or a hint that is not ours, is an error and never part of a page's policy."""
    for fields in (
        {"id_token_hint": granted.id_token(), "post_logout_redirect_uri": "https://a;script-src *"},
        {"id_token_hint": "x", "post_logout_redirect_uri": BYE},
    ):
        page = post(Visitor(granted.behind.service), **fields)
        assert isinstance(page, Page)
        assert (page.status, page.error) == (400, "invalid_request")
        assert "script-src" not in page.headers["Content-Security-Policy"]


def test_no_state_is_too_long_for_an_address(granted: Granted):
    """What would not fit into the address of the client is refused, by either method."""
    fields = {"id_token_hint": granted.id_token(), "post_logout_redirect_uri": BYE}
    for state, taken in (("s" * 1024, True), ("s" * 1025, False), ("s" * 7000, False)):
        came = post(visitor_of(granted), **fields, state=state)
        assert isinstance(came, Returned) == taken
        if isinstance(came, Page):
            assert (came.status, came.error) == (400, "invalid_request")


def test_a_session_that_is_over_sends_the_browser_back_all_the_same(granted: Granted):
    """A client need not know whether there is anything left to end."""
    for visitor in (Visitor(granted.behind.service), visitor_of(granted), visitor_of(granted)):
        came = end(visitor, id_token_hint=granted.id_token(), post_logout_redirect_uri=BYE)
        assert isinstance(came, Returned)
    assert len(granted.behind.entries("issuer.user.logged_out", sid=granted.authorized.sid)) == 1


@pytest.mark.parametrize(
    "parameters", [{}, {"state": "x"}, {"post_logout_redirect_uri": BYE, "state": "x"}, {"unknown": "x"}]
)
def test_without_a_hint_the_person_is_asked(parameters: dict[str, str], granted: Granted):
    """A link that anybody may have written logs nobody out; the page's own button does, and sends nobody away."""
    visitor = visitor_of(granted)
    page = end(visitor, **parameters)
    assert isinstance(page, Page)
    assert page.status == 200
    assert logged_in(granted)
    assert_logged_out_page(visitor.submit(page))
    assert not logged_in(granted)
    assert COOKIE not in visitor.session.cookies


def test_with_the_hint_alone_our_page_is_the_end(granted: Granted):
    """No address, no redirect."""
    assert_logged_out_page(end(visitor_of(granted), id_token_hint=granted.id_token()))
    assert not logged_in(granted)


def test_who_is_not_logged_in_is_told_so(backstage: Backstage):
    """Nobody is asked to confirm what has happened."""
    assert_logged_out_page(end(Visitor(backstage.service)))


def test_the_button_cannot_be_pressed_from_elsewhere(granted: Granted):
    """Without the word that our page alone holds, or with another session's, the person is asked again."""
    other = grant(granted.behind, granted.ehr, session=True)
    page = end(visitor_of(other))
    assert isinstance(page, Page)
    words = ["", "x", "A" * 44, page.form().fields["confirm"]]
    for word in words:
        assert isinstance(post(visitor_of(granted), confirm=word), Page)
        assert logged_in(granted)
    own = end(visitor_of(granted))
    assert isinstance(own, Page)
    end(visitor_of(granted), confirm=own.form().fields["confirm"])
    assert logged_in(granted)  # not by a link either


def test_another_persons_hint_ends_nothing_unasked(backstage: Backstage, ehr: SwiftEhr, granted: Granted):
    """The ID token of an earlier login in the same browser: the one who is logged in now is asked first."""
    earlier = grant(backstage, ehr, session=True)
    visitor = visitor_of(granted)
    page = end(
        visitor,
        id_token_hint=earlier.id_token(),
        post_logout_redirect_uri=BYE,
        state=STATE,
        client_id=ehr.client_id,
    )
    assert isinstance(page, Page)
    assert "Journal Nord" in page.html
    assert logged_in(granted)
    came = visitor.submit(page)
    assert isinstance(came, Returned)
    assert came.parameters == {"state": STATE}
    assert not logged_in(granted)


ELSEWHERE = [
    "https://ehr.example/bye2",
    "https://ehr.example/bye/",
    "https://ehr.example/bye?x=1",
    "https://ehr.example/bye?from=tillit&x=1",
    "https://ehr.example/bye#x",
    "https://EHR.example/bye",
    "https://ehr.example:443/bye",
    "https://ehr.example/b%79e",
    "https://ehr.example/x/../bye",
    "https://me@ehr.example/bye",
    "https://ehr.example.evil.example/bye",
    "http://ehr.example/bye",
    "//ehr.example/bye",
    "/\\evil.example",
    "javascript:alert(1)",
    "https://evil.example/",
]


@pytest.mark.parametrize("address", ELSEWHERE)
def test_nobody_is_sent_to_an_address_that_is_not_registered(address: str, granted: Granted):
    """Byte for byte (RP-Initiated Logout §3): anything else is an error page, and nothing has happened."""
    page = end(visitor_of(granted), id_token_hint=granted.id_token(), post_logout_redirect_uri=address)
    assert isinstance(page, Page), page
    assert (page.status, page.error) == (400, "invalid_request")
    assert "The logout cannot go on" in page.html
    assert logged_in(granted)


def test_an_address_of_another_client_is_none_of_ours(backstage: Backstage, granted: Granted):
    """Registered is not enough: it must be registered for the client of the hint."""
    address = "https://other.example/bye"
    login_client(backstage, post_logout_redirect_uris=[address])
    page = end(visitor_of(granted), id_token_hint=granted.id_token(), post_logout_redirect_uri=address)
    assert isinstance(page, Page)
    assert page.error == "invalid_request"


def bad_hints(granted: Granted) -> dict[str, str]:
    """What is no ID token of ours."""
    good = granted.id_token()
    header, claims = dict(read_jws(good).header), dict(read_jws(good).claims)
    head, payload, signature = good.split(".")
    return {
        "alg none": compact({**header, "alg": "none"}, claims).rpartition(".")[0] + ".",
        "another key": compact({**header, "kid": key_for().kid}, claims, key_for()),
        "another key under our kid": compact(header, claims, key_for()),
        "altered": f"{head}.{payload[:-2]}AA.{signature}",
        "no signature": f"{head}.{payload}.",
        "another issuer": granted.id_token(iss="https://other.example"),
        "several audiences": granted.id_token(aud=[granted.ehr.client_id, "x"]),
        "no audience": granted.id_token(aud=...),
        "an unknown client": granted.id_token(aud="nobody"),
        "an access token": granted.access_token(),
        "an assertion": granted.ehr.assertion(),
        "nonsense": "nonsense",
        "large": "e" * 6_000,
    }


HINTS = (
    "alg none",
    "another key",
    "another key under our kid",
    "altered",
    "no signature",
    "another issuer",
    "several audiences",
    "no audience",
    "an unknown client",
    "an access token",
    "an assertion",
    "nonsense",
    "large",
)


@pytest.mark.parametrize("name", HINTS)
def test_a_hint_that_is_not_ours_is_an_error(name: str, granted: Granted):
    """An error page of ours, no redirect, and nothing has happened."""
    hint = bad_hints(granted)[name]
    page = end(visitor_of(granted), id_token_hint=hint, post_logout_redirect_uri=BYE, state="x")
    assert isinstance(page, Page), page
    assert (page.status, page.error) == (400, "invalid_request")
    assert logged_in(granted)


def test_a_client_id_beside_the_hint_must_be_its_client(granted: Granted):
    """RP-Initiated Logout §2."""
    good = end(
        visitor_of(granted),
        id_token_hint=granted.id_token(),
        post_logout_redirect_uri=BYE,
        client_id=granted.ehr.client_id,
    )
    assert isinstance(good, Returned)
    page = end(visitor_of(granted), id_token_hint=granted.id_token(), client_id="another")
    assert isinstance(page, Page)
    assert page.error == "invalid_request"


def test_no_parameter_twice_and_no_other_method(granted: Granted):
    """As everywhere: unclear requests get no further."""
    url = f"{granted.behind.service.issuer}/connect/endsession"
    page = visitor_of(granted).open(f"{url}?state=a&state=b")
    assert isinstance(page, Page)
    assert (page.status, page.error) == (400, "invalid_request")
    for method in ("PUT", "DELETE", "PATCH"):
        status, headers, body = http(method, url)
        assert (status, headers["Content-Type"]) == (405, "text/html; charset=utf-8")
        assert headers["Error-Id"].encode() in body


def test_what_was_sent_is_escaped(granted: Granted):
    """Nothing that a parameter holds becomes part of a page (threat P11)."""
    script = '"><script>alert(1)</script>'
    page = end(visitor_of(granted), state=script, id_token_hint=script)
    assert isinstance(page, Page)
    assert "<script" not in page.html
    page = end(visitor_of(granted), state=script)
    assert isinstance(page, Page)
    assert "<script" not in page.html
    assert page.form().fields["state"] == script


def test_tokens_live_on_after_logout(granted: Granted):
    """The end of a session is no revocation: what a client holds, it gives up at the revocation endpoint."""
    token = granted.access_token()
    end(visitor_of(granted), id_token_hint=granted.id_token())
    assert granted.userinfo(token).status == 200
