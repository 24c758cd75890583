"""What a login has left behind: families and tokens, laid into the store of a running service without a browser."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from support.backstage import Backstage, SwiftEhr, eventually
from support.ehr import ASSERTION_TYPE, Answer
from support.login import CALLBACK, practitioner
from support.service import PHR, http
from tillit.protocol.access_token import access_token_claims
from tillit.protocol.dpop import make_proof
from tillit.protocol.id_token import id_token_claims
from tillit.protocol.jose import SigningKey
from tillit_server.issuer.authorized import Authorized, CarriedDetails
from tillit_server.issuer.families import ACCESS_TOKEN, Family, new_family_key, put_family, refresh_token_of
from tillit_server.issuer.login.sessions import new_session
from tillit_server.issuer.users import User, subject_of
from tillit_server.storage.ports import Issue, Settlement

HPR_SCOPE = "helseid://scopes/hpr/hpr_number"
PID_SCOPE = "helseid://scopes/identity/pid"
LEVEL_SCOPE = "helseid://scopes/identity/security_level"
SCOPES = ("openid", "profile", "offline_access", PID_SCOPE, LEVEL_SCOPE, HPR_SCOPE, PHR)
LIFETIME = 600
INACTIVE = {"active": False}
UNAVAILABLE = 503


@dataclass(frozen=True)
class Granted:
    """One login of one client, and tokens made for it as the service makes them."""

    behind: Backstage
    ehr: SwiftEhr
    family: Family
    session: str = field(repr=False)

    @property
    def authorized(self) -> Authorized:
        """What was authorized."""
        return self.family.authorized

    @property
    def subject(self) -> str:
        """The person's ``sub`` at this client."""
        client = self.behind.services.clients.find(self.ehr.client_id)
        assert client is not None
        return subject_of(self.authorized.user, client, self.behind.services.subject_secret)

    def access_token(
        self,
        *,
        bound: bool = True,
        scopes: Sequence[str] | None = None,
        audience: str = "nhn:phr",
        lifetime: int = LIFETIME,
        now: float | None = None,
        ticket: bool = True,
        alg: str = "ES256",
        client_id: str | None = None,
        **claims: Any,
    ) -> str:
        """An access token of this login; without ``ticket`` the store knows nothing of it.

        ``client_id``: an API that has exchanged one for this.
        """
        payload = access_token_claims(
            issuer=self.behind.service.issuer,
            subject=self.subject,
            audience=audience,
            client_id=client_id or self.ehr.client_id,
            scope=self.authorized.scopes if scopes is None else scopes,
            now=self.behind.service.now() if now is None else now,
            lifetime=lifetime,
            jkt=self.ehr.dpop_key.public.thumbprint if bound else None,
            claims=claims,
        )
        if ticket:
            issue = Issue(
                ACCESS_TOKEN, payload["jti"], {"family": self.authorized.family}, float(payload["exp"])
            )
            self.behind.services.store.settle(Settlement(issues=(issue,)))
        return self.behind.services.signer.sign("at+jwt", payload, alg)[0]

    def refresh_token(self, generation: int = 1) -> str:
        """A refresh token of this login."""
        return refresh_token_of(self.family, generation)

    def id_token(self, **changes: Any) -> str:
        """An ID token of this login; ``changes`` replace claims, ``...`` removes one."""
        payload = id_token_claims(
            issuer=self.behind.service.issuer,
            subject=self.subject,
            client_id=self.ehr.client_id,
            now=self.behind.service.now(),
            lifetime=300,
            nonce=None,
            auth_time=self.authorized.user.auth_time,
            access_token=None,
            algorithm="ES256",
            sid=self.authorized.sid,
            claims={},
        )
        payload = {name: value for name, value in (payload | changes).items() if value is not ...}
        return self.behind.services.signer.sign("JWT", payload, "ES256")[0]

    def change(self, **members: Any) -> None:
        """Write the family anew with other members."""
        put = put_family(replace(self.family, **members), expect=None)
        self.behind.services.store.settle(Settlement(puts=(put,)))

    def userinfo(
        self,
        token: str,
        *,
        scheme: str = "DPoP",
        method: str = "GET",
        proof: str | None = "good",
        key: SigningKey | None = None,
        headers: Mapping[str, str] | None = None,
        query: str = "",
    ) -> Answer:
        """Ask userinfo with ``token``; ``proof`` None leaves it out, and any other text is sent as it is."""
        sent = {"Authorization": f"{scheme} {token}", **(headers or {})}
        if proof is not None:
            sent["DPoP"] = self.proof(token, method=method, key=key) if proof == "good" else proof
        body = b"" if method == "POST" else None
        return Answer(*http(method, self.userinfo_url + query, headers=sent, body=body))

    @property
    def userinfo_url(self) -> str:
        """The userinfo endpoint."""
        return f"{self.behind.service.issuer}/connect/userinfo"

    def proof(
        self, token: str | None, *, method: str = "GET", key: SigningKey | None = None, **more: Any
    ) -> str:
        """A good proof for userinfo; ``url`` and ``now`` may be given."""
        url, now = more.pop("url", self.userinfo_url), more.pop("now", self.behind.service.now())
        return make_proof(key or self.ehr.dpop_key, method, url, now=now, access_token=token, **more)


def login_client(behind: Backstage, **members: Any) -> SwiftEhr:
    """Register a client whose users log in."""
    given = {"grants": ["authorization_code", "refresh_token"], "redirect_uris": [CALLBACK], **members}
    return behind.client(scopes=SCOPES, **given)


def grant(
    behind: Backstage,
    ehr: SwiftEhr,
    *,
    user: User | None = None,
    scopes: Sequence[str] = SCOPES,
    details: Sequence[Mapping[str, Any]] | None = None,
    session: bool = False,
) -> Granted:
    """Lay down what a login of ``ehr`` leaves behind; ``session`` is the browser's cookie, if one is wanted."""
    now = behind.service.now()
    user = user or practitioner(now)
    found, issue = new_session(user, now=now, lifetime=3600)
    authorized = Authorized(
        family=secrets.token_urlsafe(16),
        client_id=ehr.client_id,
        user=user,
        sid=found.sid,
        scopes=tuple(scopes),
        carried=None if details is None else CarriedDetails(tuple(details), int(now)),
    )
    family = Family(authorized, int(now) + 28_800, new_family_key(), ehr.dpop_key.public.thumbprint)
    put = put_family(family, expect=0)
    behind.services.store.settle(Settlement(puts=(put,), issues=(issue,) if session else ()))
    return Granted(behind, ehr, family, found.secret)


def about(ehr: SwiftEhr, token: str, /, **fields: Any) -> dict[str, str]:
    """The form of an authenticated request about a token; ``fields`` replace parameters, ``...`` removes one."""
    form = {
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": ehr.assertion(),
        "token": token,
        **fields,
    }
    return {name: value for name, value in form.items() if value is not ...}


def ask(ehr: SwiftEhr, path: str, token: str, /, *, accept: str | None = None, **fields: Any) -> Answer:
    """Send it."""
    headers = {} if accept is None else {"Accept": accept}
    return ehr.send(about(ehr, token, **fields), None, url=ehr.service.issuer + path, headers=headers)


def introspect(ehr: SwiftEhr, token: str, /, **fields: Any) -> Answer:
    """Ask about a token."""
    return ask(ehr, "/connect/introspect", token, **fields)


def revoke(ehr: SwiftEhr, token: str, /, **fields: Any) -> Answer:
    """Give a token up."""
    return ask(ehr, "/connect/revocation", token, **fields)


def uses(granted: Granted, refresh: str, *access: str) -> set[str]:
    """Everything that these tokens still open: nothing, when all is well. Who is told 503 asks again."""
    ehr = granted.ehr

    def told(send: Callable[[], Answer]) -> Answer:
        return eventually(lambda: (answer := send()).status != UNAVAILABLE and answer)

    def renewed() -> Answer:
        form = ehr.form(ehr.assertion(), grant_type="refresh_token", refresh_token=refresh, scope=...)
        return ehr.send(form, ehr.proof())

    tokens = (refresh, *access)
    opened = {"introspection" for token in tokens if told(partial(introspect, ehr, token)).json != INACTIVE}
    opened |= {"userinfo" for token in access if told(partial(granted.userinfo, token)).status != 401}
    if told(renewed).error != "invalid_grant":
        opened.add("refresh")
    return opened
