"""A state machine of sessions: random people at random browsers, and the few lines that say who is logged in."""

from dataclasses import dataclass
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from support.in_process import Guest, House
from support.login import CALLBACK, practitioner
from support.redeeming import WARD
from tillit.protocol.errors import OAuthError
from tillit.protocol.pkce import challenge_of, make_verifier
from tillit_server.issuer.codes import CODE
from tillit_server.issuer.login.authorization import complete_login, open_authorization, refuse_login
from tillit_server.issuer.login.browser import Browser, LogIn, SendBack
from tillit_server.issuer.login.pushed_requests import PAR_PATH, push_request
from tillit_server.issuer.login.sessions import end_session, find_session
from tillit_server.issuer.steps import Refused

OPENED_WITHIN, FINISHED_WITHIN, SESSION_LIFE = 300, 1800, 3600
PEOPLE = ("14857527039", "29839013092")


@dataclass
class Known:
    """A session as the model knows it."""

    secret: str
    person: str
    until: float
    ended: bool = False


@dataclass(eq=False)
class Seat:
    """A browser: its two cookies."""

    binding: str | None = None
    session: Known | None = None


@dataclass(eq=False)
class Pushed:
    """A pushed request."""

    uri: str
    pushed_at: float
    prompt: str | None
    over: bool = False


@dataclass(eq=False)
class Underway:
    """A login page in a browser."""

    page: LogIn
    seat: Seat
    pushed: Pushed
    opened_at: float
    session: Known | None
    over: bool = False


class SessionMachine(RuleBasedStateMachine):
    """Sessions: one for each login, in one browser, until it is ended, replaced or too old."""

    house: ClassVar[House]
    guests: ClassVar[tuple[Guest, ...]]
    steps: ClassVar[int] = 0
    lives: ClassVar[int] = 0

    requests = Bundle("requests")
    pages = Bundle("pages")

    def __init__(self) -> None:
        super().__init__()
        type(self).lives += 1
        self.seats = [Seat(), Seat()]
        self.sessions: list[Known] = []
        self.codes: set[str] = set()

    @property
    def now(self) -> float:
        """The time in the house."""
        return self.house.now()

    def alive(self, known: Known | None) -> bool:
        """Whether the model takes a session for one that holds."""
        return known is not None and not known.ended and self.now < known.until

    @rule(seconds=st.sampled_from([*[0.5] * 12, 59, 299, 300, 900, 1801, 3600]))
    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.house.wait(seconds)

    @rule(target=requests, prompt=st.sampled_from([None, None, "login", "login", "none"]))
    def ask(self, prompt: str | None) -> Pushed:
        """A client asks for a login."""
        return self.push(prompt)

    @rule(target=pages, pushed=requests, number=st.integers(0, 1))
    def go(self, pushed: Pushed, number: int) -> Underway | None:
        """A browser opens the authorization endpoint."""
        return self.open(pushed, number)

    def push(self, prompt: str | None) -> Pushed:
        """A request, pushed."""
        guest = self.guests[0]
        form = {
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "scope": f"openid {WARD}",
            "code_challenge": challenge_of(make_verifier()),
            "code_challenge_method": "S256",
            "prompt": prompt,
        }
        answer = push_request(guest.request(form, path=PAR_PATH), self.house.services)
        return Pushed(answer.body["request_uri"], self.now, prompt)

    def open(self, pushed: Pushed, number: int) -> Underway | None:
        """A browser opens the authorization endpoint."""
        seat = self.seats[number]
        secret = seat.session.secret if seat.session else None
        parameters = {"client_id": self.guests[0].client_id, "request_uri": pushed.uri}
        browser = Browser(parameters, binding=seat.binding, session=secret)
        try:
            found = open_authorization(browser, self.house.services)
        except (OAuthError, Refused):
            assert pushed.over or self.now >= pushed.pushed_at + OPENED_WITHIN
            return None
        assert not pushed.over
        assert self.now < pushed.pushed_at + OPENED_WITHIN
        if isinstance(found, LogIn):
            assert not (self.alive(seat.session) and pushed.prompt != "login")
            assert pushed.prompt != "none"
            seat.binding = found.binding
            session = seat.session if self.alive(seat.session) else None
            return Underway(found, seat, pushed, self.now, session)
        pushed.over = True
        if self.alive(seat.session) and pushed.prompt != "login":
            assert seat.session is not None
            self.came_back(found, seat.session.person)
            assert found.session is None
        else:
            assert pushed.prompt == "none"
            assert found.parameters["error"] == "login_required"
        return None

    @rule(target=pages, number=st.integers(0, 1), prompt=st.sampled_from([None, "login", "login"]))
    def visit(self, number: int, prompt: str | None) -> Underway | None:
        """A client asks for a login, and a browser goes there at once."""
        return self.open(self.push(prompt), number)

    @rule(
        page=pages,
        person=st.sampled_from(PEOPLE),
        right_browser=st.sampled_from([True] * 4 + [False]),
    )
    def log_in(self, page: Underway | None, person: str, right_browser: bool) -> None:
        """Somebody logs in on a page, or tries to finish it in another browser."""
        if page is None:
            return
        user = practitioner(self.now, pid=person)
        binding = page.page.binding if right_browser else "x" * 43
        in_time = self.now <= page.opened_at + FINISHED_WITHIN
        try:
            back = complete_login(page.page.interaction, binding, user, self.house.services)
        except OAuthError:
            assert page.over or page.pushed.over or not in_time or not right_browser
            return
        assert right_browser
        assert in_time
        assert not page.over
        assert not page.pushed.over
        page.over = page.pushed.over = True
        if page.session is not None:
            page.session.ended = True
        assert back.session is not None
        assert back.session not in {known.secret for known in self.sessions}
        page.seat.session = Known(back.session, person, self.now + SESSION_LIFE)
        self.sessions.append(page.seat.session)
        self.came_back(back, person)

    @rule(page=pages)
    def cancel(self, page: Underway | None) -> None:
        """Somebody cancels."""
        if page is None:
            return
        error = OAuthError("access_denied", "cancelled")
        try:
            back = refuse_login(page.page.interaction, page.page.binding, error, self.house.services)
        except OAuthError:
            assert page.over or page.pushed.over or self.now > page.opened_at + FINISHED_WITHIN
            return
        assert not page.over
        page.over = page.pushed.over = True
        assert back.parameters["error"] == "access_denied"
        assert "code" not in back.parameters
        assert back.session is None

    @rule(number=st.integers(0, 1))
    def log_out(self, number: int) -> None:
        """Somebody ends the session of a browser."""
        known = self.seats[number].session
        services = self.house.services
        found = find_session(known.secret, services, self.now) if known else None
        assert (found is not None) == self.alive(known)
        if found is not None and known is not None:
            assert end_session(found, services)
            assert not end_session(found, services)
            known.ended = True

    def came_back(self, back: SendBack, person: str) -> None:
        """A code has come that is new, and speaks of the person who is logged in."""
        code = back.parameters["code"]
        assert code not in self.codes
        self.codes.add(code)
        ticket: Any = self.house.services.store.tickets.peek(CODE, code)
        assert ticket.value["authorized"]["user"]["pid"] == person

    @invariant()
    def a_session_holds_until_it_ends(self) -> None:
        """Every session there ever was is found exactly as long as the model says, with its own person."""
        type(self).steps += 1
        for known in self.sessions[-4:]:
            found = find_session(known.secret, self.house.services, self.now)
            assert (found is not None) == self.alive(known)
            assert found is None or found.user.pid == known.person
