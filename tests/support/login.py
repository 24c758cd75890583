"""An EHR whose users log in: pushes requests, opens the authorization endpoint, and lets somebody log in.

What a browser and an identity provider do is done beside the running service, on the same store.
"""

import secrets
from collections.abc import Mapping
from typing import Any

from support.backstage import CALLBACK, Backstage, SwiftEhr
from support.ehr import Answer
from support.service import PHR, Service
from tillit.protocol.jose import SigningKey, sign
from tillit.protocol.pkce import challenge_of, make_verifier
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.login.authorization import complete_login, open_authorization
from tillit_server.issuer.login.browser import Browser, LogIn, SendBack
from tillit_server.issuer.users import User

URN = "urn:ietf:params:oauth:request_uri:"
IDENTITY = (
    "openid",
    "profile",
    "offline_access",
    "helseid://scopes/identity/pid",
    "helseid://scopes/identity/security_level",
    "helseid://scopes/hpr/hpr_number",
)


def practitioner(now: float, **changes: Any) -> User:
    """The anaesthetist of the examples, who has just logged in at the highest level."""
    members: dict[str, Any] = {
        "pid": "14857527039",
        "security_level": "4",
        "idp": "test",
        "auth_time": int(now),
        "amr": ("pwd",),
        "name": "KVART GREVLING",
        "given_name": "KVART",
        "family_name": "GREVLING",
    }
    return User(**{**members, **changes})


class LoginEhr(SwiftEhr):
    """One registered client of a running service that may ask for logins."""

    def __init__(
        self, service: Service, client_id: str, key: SigningKey, dpop_key: SigningKey | None = None
    ) -> None:
        super().__init__(service, client_id, key, dpop_key)
        self.par = service.issuer + "/connect/par"
        self.verifier = make_verifier()
        self.redirect_uri = CALLBACK

    def parameters(self, **fields: Any) -> dict[str, Any]:
        """The parameters of a good authorization request; ``...`` removes one."""
        parameters: dict[str, Any] = {
            "response_type": "code",
            "redirect_uri": self.redirect_uri,
            "scope": f"openid profile offline_access {PHR}",
            "state": secrets.token_urlsafe(16),
            "nonce": secrets.token_urlsafe(16),
            "code_challenge": challenge_of(self.verifier),
            "code_challenge_method": "S256",
        }
        parameters |= fields
        return {name: value for name, value in parameters.items() if value is not ...}

    def request_object(
        self, *, header: Mapping[str, Any] | None = None, key: SigningKey | None = None, **claims: Any
    ) -> str:
        """A good request object with every parameter inside; ``...`` removes a claim."""
        now = int(self.service.now())
        payload: dict[str, Any] = {
            "iss": self.client_id,
            "aud": self.service.issuer,
            "client_id": self.client_id,
            "iat": now,
            "nbf": now,
            "exp": now + 60,
            "jti": secrets.token_urlsafe(16),
            **self.parameters(),
        }
        payload |= claims
        payload = {name: value for name, value in payload.items() if value is not ...}
        head = {"typ": "oauth-authz-req+jwt", **(header or {})}
        head = {name: value for name, value in head.items() if value is not ...}
        return sign(head, payload, key or self.key)

    def pushed_form(self, assertion: str | None = None, **fields: Any) -> dict[str, str]:
        """A good form for PAR; keyword arguments replace parameters, ``...`` removes one."""
        form: dict[str, Any] = {
            **self.credentials(assertion if assertion is not None else self.assertion()),
            **self.parameters(),
        }
        form |= fields
        return {name: value for name, value in form.items() if value is not ...}

    def signed_form(self, token: str, **fields: Any) -> dict[str, str]:
        """A form that holds a request object and nothing of the request beside it."""
        form: dict[str, Any] = {**self.credentials(self.assertion()), "request": token}
        del form["client_id"]
        form |= fields
        return {name: value for name, value in form.items() if value is not ...}

    def push(self, proof: str | None = None, **fields: Any) -> Answer:
        """Push a request of form parameters."""
        return self.send(self.pushed_form(**fields), proof, url=self.par)

    def push_signed(self, proof: str | None = None, **claims: Any) -> Answer:
        """Push a request object; keyword arguments are its claims."""
        return self.send(self.signed_form(self.request_object(**claims)), proof, url=self.par)

    def request_uri(self, **fields: Any) -> str:
        """A ``request_uri`` for a good request."""
        answer = self.push(**fields)
        assert answer.status == 201, answer.body
        return str(answer.json["request_uri"])


class Reception:
    """The authorization endpoint of an installation, as a browser without a screen sees it."""

    def __init__(self, backstage: Backstage) -> None:
        self.backstage = backstage
        self.services = backstage.services

    def client(self, **members: Any) -> LoginEhr:
        """Register a client whose users log in."""
        ehr = self.backstage.client(
            **{
                "grants": ["authorization_code", "refresh_token"],
                "attests_without_login": False,
                "scopes": (*IDENTITY, *self._api_scopes()),
                **members,
            }
        )
        return LoginEhr(ehr.service, ehr.client_id, ehr.key)

    def open(self, ehr: LoginEhr, request_uri: str, **cookies: str | None) -> SendBack | LogIn:
        """Open the authorization endpoint; ``binding`` and ``session`` are the browser's cookies."""
        return self.open_with({"client_id": ehr.client_id, "request_uri": request_uri}, **cookies)

    def open_with(self, parameters: Mapping[str, str], **cookies: str | None) -> SendBack | LogIn:
        """Open it with any parameters."""
        browser = Browser(parameters, **cookies)
        return open_authorization(browser, self.services, self.backstage.idps)

    def log_in(self, ehr: LoginEhr, request_uri: str, user: User | None = None, **cookies: Any) -> SendBack:
        """Open it, have somebody log in, and give the way back."""
        page = self.open(ehr, request_uri, **cookies)
        assert isinstance(page, LogIn), page
        user = user or practitioner(ehr.service.now())
        return complete_login(page.interaction, page.binding, user, self.services)

    def registered(self, ehr: LoginEhr) -> Client:
        """The client as the registry has it."""
        client = self.services.clients.find(ehr.client_id)
        assert client is not None
        return client

    def _api_scopes(self) -> tuple[str, ...]:
        return (*self.services.apis.by_scope, "nhn:tillitsrammeverk:parameters")
