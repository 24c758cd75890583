"""State machines: random lives of codes and of refresh tokens, and the few lines that say what must come out."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from support.in_process import Guest, House
from support.login import CALLBACK
from support.redeeming import IDENTITY, WARD, Laid, lay
from tillit.protocol.access_token import check_access_token
from tillit.protocol.errors import Rejected
from tillit_server.issuer.own_tokens import find_refresh_token, require_live
from tillit_server.issuer.request import Request
from tillit_server.issuer.revocation import revoke
from tillit_server.issuer.steps import Refused

CODE_LIFE, FAMILY_LIFE = 60, 28_800
SOME = 4
"""So many logins in one life: a few that much happens to, rather than many to which little does."""


@dataclass
class Login:
    """What the model knows of one login: a few facts, from which every answer follows."""

    owner: Guest
    laid: Laid
    made_at: float
    bound: bool = False
    redeemed_at: float | None = None
    revoked: bool = False
    newest: int = 0
    refresh_tokens: dict[int, str] = field(default_factory=dict)
    access_tokens: list[tuple[str, float]] = field(default_factory=list)

    def ends_at(self) -> float:
        """When the family dies of age."""
        assert self.redeemed_at is not None
        return int(self.redeemed_at) + FAMILY_LIFE


class TokenMachine(RuleBasedStateMachine):
    """What both machines share; ``house`` and ``guests`` are set once for all runs."""

    house: ClassVar[House]
    guests: ClassVar[tuple[Guest, ...]]
    steps: ClassVar[int] = 0
    lives: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).lives += 1
        self.logins: list[Login] = []

    @property
    def now(self) -> float:
        """The time in the house."""
        return self.house.now()

    def begin(self, owner: Guest, *, bound: bool) -> Login:
        """Somebody has logged in, and the client has a code."""
        jkt = owner.dpop_key.public.thumbprint if bound else None
        laid = lay(self.house, owner, scopes=(*IDENTITY, WARD), dpop_jkt=jkt)
        login = Login(owner, laid, self.now, bound)
        self.logins.append(login)
        return login

    def took(self, login: Login, body: dict[str, Any]) -> None:
        """Tokens have come for a login."""
        expires_at = int(self.now) + body["expires_in"]
        assert expires_at <= login.ends_at()
        login.access_tokens.append((body["access_token"], expires_at))

    def live(self, token: str) -> bool:
        """Whether our own endpoints would take the access token now."""
        services = self.house.services
        try:
            access = check_access_token(
                token,
                keys=services.signer.verification_keys(self.now),
                issuer=services.issuer,
                audience="example:ward",
                now=self.now,
                leeway=0,
            )
            require_live(access, services)
        except Rejected:
            return False
        return True

    @rule(seconds=st.sampled_from([*[0.25] * 6, *[1] * 4, 10, 29, 30.75, 59, 60, 600]))
    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.house.wait(seconds)

    @invariant()
    def every_token_is_as_dead_as_its_login(self) -> None:
        """An access token is good exactly until it expires or its login is revoked."""
        type(self).steps += 1
        for login in self.logins[-4:]:
            for token, expires_at in login.access_tokens[-2:]:
                assert self.live(token) == (not login.revoked and self.now < expires_at)


def code_form(login: Login, *, verifier: str | None, uri: str) -> dict[str, str | None]:
    """The form for a login's code."""
    return {
        "grant_type": "authorization_code",
        "code": login.laid.code,
        "redirect_uri": uri,
        "code_verifier": verifier,
    }


class CodeMachine(TokenMachine):
    """Codes: redeemed once, by their owner, with the right secret, in time; whatever else comes ends them."""

    codes = Bundle("codes")
    spent = Bundle("spent")

    @rule(target=codes, owner=st.integers(0, 1), bound=st.booleans())
    def log_in(self, owner: int, bound: bool) -> Login:
        """A code is made."""
        return self.begin(self.guests[owner], bound=bound)

    @rule(
        target=spent,
        login=codes,
        bearer=st.sampled_from(["owner"] * 3 + ["other"]),
        verifier=st.sampled_from(["right"] * 8 + ["wrong", "missing"]),
        uri=st.sampled_from([CALLBACK] * 8 + [CALLBACK + "/"]),
        same_key=st.booleans(),
    )
    def redeem(
        self, login: Login, bearer: str, verifier: str, uri: str, same_key: bool
    ) -> tuple[Guest, Request]:
        """Somebody redeems a code, rightly or not; the answer is what the model says."""
        guest = login.owner if bearer == "owner" else next(g for g in self.guests if g is not login.owner)
        text = {"right": login.laid.verifier, "wrong": "w" * 43, "missing": None}[verifier]
        key = guest.dpop_key if same_key else guest.other_key
        request = guest.request(code_form(login, verifier=text, uri=uri), key=key)
        code, body = guest.send(request)
        sound = bearer == "owner" and verifier == "right" and uri == CALLBACK
        if login.redeemed_at is not None:
            assert code == "invalid_grant"
            if self.now <= login.ends_at():
                login.revoked = True
        elif self.now - login.made_at >= CODE_LIFE or not sound:
            assert code == "invalid_grant"
        elif login.bound and not same_key:
            assert code == "invalid_dpop_proof"
        else:
            assert code == "ok"
            login.redeemed_at = self.now
            login.refresh_tokens[0] = body["refresh_token"]
            self.took(login, body)
        return guest, request

    @rule(sent=spent)
    def send_again(self, sent: tuple[Guest, Request]) -> None:
        """A request octet for octet again: it never gets a token.

        What was refused before spent nothing, so it may be refused for the same reason again, or for its
        age; and a code that has been redeemed meanwhile ends its login.
        """
        guest, request = sent
        code, _ = guest.send(request)
        login = next(each for each in self.logins if each.laid.code == request.form["code"])
        assert code in {"invalid_client", "invalid_dpop_proof", "use_dpop_nonce", "invalid_grant"}
        if code == "invalid_grant" and login.redeemed_at is not None and self.now <= login.ends_at():
            login.revoked = True

    @invariant()
    def a_refresh_token_ends_with_its_login(self) -> None:
        """The refresh token of a login holds exactly as long as its login."""
        for login in self.logins[-2:]:
            for text in login.refresh_tokens.values():
                found = find_refresh_token(text, self.house.services)
                assert found is not None
                assert found.holds(self.now) == (not login.revoked and self.now <= login.ends_at())


class RefreshMachine(TokenMachine):
    """Refresh tokens: one line of use for each login, whoever holds which of them."""

    families = Bundle("families")

    @precondition(lambda self: len(self.logins) < SOME)
    @rule(target=families, owner=st.sampled_from([0, 1, 2, 2, 2]))
    def log_in(self, owner: int) -> Login:
        """A login, its code redeemed. The last guest's refresh tokens rotate."""
        guest = self.guests[owner]
        login = self.begin(guest, bound=False)
        form = code_form(login, verifier=login.laid.verifier, uri=CALLBACK)
        code, body = guest.send(guest.request(form, key=guest.dpop_key))
        assert code == "ok"
        login.redeemed_at = self.now
        login.refresh_tokens[0] = body["refresh_token"]
        self.took(login, body)
        return login

    @rule(
        login=families,
        back=st.sampled_from([0] * 5 + [1] * 3 + [2, 2]),
        bearer=st.sampled_from(["owner"] * 5 + ["other"]),
        same_key=st.sampled_from([True] * 4 + [False]),
        scope=st.sampled_from([None] * 4 + [WARD, f"{WARD} nhn:selvbetjening/client"]),
    )
    def refresh(self, login: Login, back: int, bearer: str, same_key: bool, scope: str | None) -> None:
        """Somebody refreshes with the newest token there is, or one from before."""
        generation = max(max(login.refresh_tokens) - back, 0)
        guest = login.owner if bearer == "owner" else next(g for g in self.guests if g is not login.owner)
        form = {
            "grant_type": "refresh_token",
            "refresh_token": login.refresh_tokens[generation],
            "scope": scope,
        }
        code, body = guest.send(guest.request(form, key=guest.dpop_key if same_key else guest.other_key))
        if bearer == "other":
            assert code == "invalid_grant"
        elif generation < login.newest:
            assert code == "invalid_grant"
            login.revoked = True
        elif login.revoked or self.now > login.ends_at():
            assert code == "invalid_grant"
        elif scope not in {None, WARD}:
            assert code == "invalid_scope"
        elif self.now == login.ends_at():
            assert code == "invalid_grant"
        else:
            assert code == "ok"
            login.newest = generation
            head = generation + 1 if guest is self.guests[2] else generation
            known = login.refresh_tokens.setdefault(head, body["refresh_token"])
            assert body["refresh_token"] == known
            assert body["rt_expires_in"] == login.ends_at() - int(self.now)
            self.took(login, body)

    @rule(login=families, back=st.integers(0, 2), bearer=st.sampled_from(["owner", *["other"] * 5]))
    def give_up(self, login: Login, back: int, bearer: str) -> None:
        """A client revokes a refresh token, its own or, more often, one it has found."""
        generation = max(max(login.refresh_tokens) - back, 0)
        guest = login.owner if bearer == "owner" else next(g for g in self.guests if g is not login.owner)
        form = {"token": login.refresh_tokens[generation]}
        code = "ok"
        try:
            revoke(guest.request(form, path="/connect/revocation"), self.house.services)
        except Refused as refusal:
            code = refusal.error.code
        assert code == ("ok" if bearer == "owner" else "invalid_grant")
        login.revoked = login.revoked or bearer == "owner"

    @invariant()
    def there_is_one_line_of_use(self) -> None:
        """Of all tokens a login was ever given, at most the newest used and its successor still hold."""
        for login in self.logins[-3:]:
            holding = set()
            for generation, text in login.refresh_tokens.items():
                found = find_refresh_token(text, self.house.services)
                assert found is not None
                if found.holds(self.now):
                    holding.add(generation)
            alive = not login.revoked and self.now <= login.ends_at()
            expected = {login.newest, login.newest + 1} & set(login.refresh_tokens) if alive else set()
            assert holding == expected
