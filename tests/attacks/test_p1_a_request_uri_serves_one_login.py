"""P1: a request_uri may be opened again until its login has ended, never after, and not a moment too late."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.backstage import Backstage, Timeline
from support.login import URN, LoginEhr, Reception, practitioner
from support.relying_party import RelyingParty, authorize_url
from support.visitor import Page, Returned, Visitor
from tillit.protocol.errors import OAuthError
from tillit_server.issuer.login.authorization import complete_login
from tillit_server.issuer.login.browser import LogIn, SendBack

pytestmark = pytest.mark.xdist_group("timeline")


@pytest.fixture(scope="module")
def ehr(backstage: Backstage) -> RelyingParty:
    """A client whose users log in."""
    return RelyingParty.of(Reception(backstage).client())


@pytest.fixture(scope="module")
def reception(timeline: Timeline) -> Reception:
    """The authorization endpoint of the service whose clock stands still."""
    return Reception(timeline.backstage)


@pytest.fixture(scope="module")
def punctual(reception: Reception) -> LoginEhr:
    """A client of that service."""
    return reception.client()


def refused_page(answer: object, code: str = "invalid_request_uri") -> None:
    """A page of our own with status 400 that names the error, and no way to the client."""
    assert isinstance(answer, Page), answer
    assert (answer.status, answer.error) == (400, code)
    assert "ehr.example" not in answer.html


def refused(reception: Reception, ehr: LoginEhr, request_uri: str) -> None:
    with pytest.raises(OAuthError) as caught:
        reception.open(ehr, request_uri)
    assert (caught.value.code, caught.value.status) == ("invalid_request_uri", 400)


def test_p1_it_may_be_opened_again_until_somebody_has_logged_in(ehr: RelyingParty):
    """The login page is shown as often as it is asked for; one login ends it for every window."""
    visitor = Visitor(ehr.service)
    url = authorize_url(ehr, ehr.request_uri())
    first, second = visitor.open(url), visitor.open(url)
    assert isinstance(first, Page)
    assert isinstance(second, Page)
    assert (first.status, second.status) == (200, 200)
    assert visitor.log_in(url).code
    refused_page(visitor.open(url))
    refused_page(Visitor(ehr.service).open(url))
    late = visitor.submit(first, "other", number=practitioner(0).pid, level="level4")
    refused_page(visitor.submit(late) if isinstance(late, Page) and late.status == 200 else late)


def test_p1_a_cancelled_login_ends_it_too(ehr: RelyingParty):
    """After a denial the link leads to an error page."""
    visitor = Visitor(ehr.service)
    url = authorize_url(ehr, ehr.request_uri())
    assert visitor.log_in(url, cancel=True).error == "access_denied"
    refused_page(visitor.open(url))


def test_p1_a_login_without_a_page_ends_it_too(ehr: RelyingParty):
    """Also a code that a session gave at once, and ``login_required``, use it up."""
    visitor = Visitor(ehr.service)
    assert visitor.log_in(authorize_url(ehr, ehr.request_uri())).code
    url = authorize_url(ehr, ehr.request_uri())
    assert isinstance(visitor.open(url), Returned)
    refused_page(visitor.open(url))
    url = authorize_url(ehr, ehr.request_uri(prompt="none"))
    stranger = Visitor(ehr.service)
    answer = stranger.open(url)
    assert isinstance(answer, Returned)
    assert answer.error == "login_required"
    refused_page(stranger.open(url))


def test_p1_nothing_but_the_very_uri_is_known(ehr: RelyingParty):
    """Shortened, extended, in another case, with a bit flipped, or of another scheme: refused."""
    uri = ehr.request_uri()
    flipped = uri[:-1] + ("A" if uri[-1] != "A" else "B")
    others = [
        flipped,
        uri[:-1],
        uri + "A",
        uri.swapcase(),
        uri.removeprefix(URN),
        URN,
        uri + " ",
        uri + "%00",
    ]
    others += ["https://ehr.example/request.jwt", "urn:ietf:params:oauth:request_uri:" + "A" * 5_000]
    visitor = Visitor(ehr.service)
    for other in others:
        refused_page(visitor.open(authorize_url(ehr, other)))
    refused_page(visitor.open(authorize_url(ehr, "")), "invalid_request")
    assert visitor.log_in(authorize_url(ehr, uri)).code


def test_p1_its_life_is_short_and_said(ehr: RelyingParty):
    """``expires_in`` is a number of seconds below ten minutes, and no two URIs resemble each other."""
    answers = [ehr.push() for _ in range(4)]
    for answer in answers:
        assert answer.status == 201
        assert type(answer.json["expires_in"]) is int
        assert 5 <= answer.json["expires_in"] < 600
        assert answer.headers["Cache-Control"] == "no-cache, no-store"
    keys = [answer.json["request_uri"].removeprefix(URN) for answer in answers]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 43 for key in keys)


def test_p1_it_is_dead_exactly_when_it_was_said(timeline: Timeline, reception: Reception, punctual: LoginEhr):
    """A moment before ``expires_in`` has passed it opens; at that very moment it does not."""
    start = timeline.moment()
    answer = punctual.push().json
    uri, lifetime = answer["request_uri"], answer["expires_in"]
    timeline.at(start + lifetime - 0.001)
    assert isinstance(reception.open(punctual, uri), LogIn)
    timeline.at(start + lifetime)
    refused(reception, punctual, uri)
    timeline.at(start + 3600)
    refused(reception, punctual, uri)


def test_p1_who_has_opened_it_in_time_may_take_half_an_hour(
    timeline: Timeline, reception: Reception, punctual: LoginEhr
):
    """A slow login survives the end of the request_uri; after half an hour it is over."""
    start = timeline.moment()
    for taken, good in ((1799, True), (1801, False)):
        timeline.at(start)
        page = reception.open(punctual, punctual.request_uri())
        assert isinstance(page, LogIn)
        timeline.at(start + taken)
        user = practitioner(start + taken)
        if good:
            back = complete_login(page.interaction, page.binding, user, reception.services)
            assert back.parameters["code"]
        else:
            with pytest.raises(OAuthError, match="over"):
                complete_login(page.interaction, page.binding, user, reception.services)


def test_p1_of_many_logins_with_one_uri_in_the_same_instant_one_wins(
    timeline: Timeline, reception: Reception, punctual: LoginEhr
):
    """Windows that finish at once, each with a login of its own, get one code between them."""
    timeline.moment()
    for _ in range(5):
        uri = punctual.request_uri()
        pages = [reception.open(punctual, uri) for _ in range(16)]
        user = practitioner(punctual.service.now())

        def finish(page: object, user: object = user) -> str:
            assert isinstance(page, LogIn)
            try:
                back = complete_login(page.interaction, page.binding, user, reception.services)
            except OAuthError as error:
                return error.code
            return "code" if isinstance(back, SendBack) and "code" in back.parameters else str(back)

        with ThreadPoolExecutor(len(pages)) as pool:
            assert Counter(pool.map(finish, pages)) == {"code": 1, "invalid_request_uri": 15}
