"""Clients with a login, shaped like those in the field; and the browser that they send to the service.

As in ``foreign_clients``: what each sends is described in chapter 11 of the national service's profile.
"""

import hashlib
import re
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import requests

from support.backstage import EVERY_SCOPE
from support.ehr import ASSERTION_TYPE, Answer
from support.foreign_clients import ForeignClient
from support.login import IDENTITY
from support.service import http

REDIRECT_URI = "http://localhost:3000/callback"
AFTER_LOGOUT = "http://localhost:3000/"
DOCTOR = "14857527039"
LOGIN = {
    "grants": ["authorization_code", "refresh_token"],
    "scopes": [*EVERY_SCOPE, *IDENTITY],
    "redirect_uris": [REDIRECT_URI],
    "post_logout_redirect_uris": [AFTER_LOGOUT],
    "attests_without_login": False,
}
MOST = 20

Pairs = Iterable[tuple[str, str]]


class ForeignBrowser:
    """Keeps cookies, follows redirects, and fills in the form of the development test provider."""

    def __init__(self, person: str = DOCTOR, level: str = "level4", trusts: str | None = None) -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = trusts or True
        self.person = person
        self.level = level
        self.forms = 0

    def open(self, url: str, ends_at: str) -> str:
        """Where the browser ends: at an address of the client, with what the service said there."""
        response = self._get(url)
        for _ in range(MOST):
            location = response.headers.get("Location")
            if location is not None:
                url = urljoin(response.url, location)
                if url.startswith(ends_at):
                    return url
                response = self._get(url)
            elif answered := self._form(response, ends_at):
                # An answer by form (OAuth 2.0 Form Post Response Mode): shown as an address, to be read alike.
                return f"{ends_at}?{urlencode(answered[1])}"
            else:
                form = self._form(response, "", 'id="other"')
                assert form, f"{response.status_code} {response.url}: {response.text}"
                chosen = {"number": self.person, "level": self.level} if self.person else {"cancel": "yes"}
                fields = form[1] | chosen
                self.forms += 1
                response = self.session.post(
                    urljoin(response.url, form[0]), data=fields, allow_redirects=False, timeout=20
                )
        raise AssertionError("the login does not end")

    @staticmethod
    def _form(page: requests.Response, goes_to: str, said: str = "") -> tuple[str, dict[str, str]] | None:
        """Where a form of a page goes, and its hidden fields."""
        forms = re.findall(r'<form method="post" action="([^"]+)"([^>]*)>(.*?)</form>', page.text, re.DOTALL)
        for action, more, inside in forms:
            if unescape(action).startswith(goes_to) and said in more:
                hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', inside)
                return unescape(action), {unescape(name): unescape(value) for name, value in hidden}
        return None

    def page(self, url: str) -> requests.Response:
        """The page at an address, redirects not followed."""
        return self._get(url)

    def _get(self, url: str) -> requests.Response:
        return self.session.get(url, allow_redirects=False, timeout=20)


class LoginClient(ForeignClient):
    """A web application of today: pushes its request, and binds its tokens with DPoP."""

    lifetime = 30
    redirect_uri = REDIRECT_URI
    request_typ = "JWT"

    def send(self, endpoint: str, fields: Pairs, proof: str | None = None, **headers: str) -> Answer:
        """A form to one of the service's endpoints."""
        sent = {"Content-Type": self.content_type, "Accept": "application/json", **headers}
        sent |= {"DPoP": proof} if proof else {}
        body = urlencode(list(fields)).encode()
        return Answer(*http("POST", self.metadata[endpoint], headers=sent, body=body))

    def authentication(self, **claims: Any) -> dict[str, str]:
        """The fields that say who it is."""
        return {
            "client_id": self.client_id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion(**claims),
        }

    def request_object(self, **claims: Any) -> str:
        """Signed, and beside the parameters: who and when, and what is given to it."""
        now = int(time.time())
        payload = {"iss": self.client_id, "aud": self.metadata["issuer"], "jti": secrets.token_hex(16)}
        payload |= {"iat": now, "nbf": now, "exp": now + 60, **claims}
        payload = {name: value for name, value in payload.items() if value is not ...}
        return self.key.sign(payload, {"typ": self.request_typ})

    def parameters(self, scope: str, *resources: str, **fields: str) -> list[tuple[str, str]]:
        """The parameters of an authorization request; a new state, nonce and verifier each time."""
        self.state, self.nonce, self.verifier = (secrets.token_urlsafe(32) for _ in range(3))
        digest = hashlib.sha256(self.verifier.encode()).digest()
        parameters = {
            "client_id": self.client_id,
            "response_type": "code",
            "redirect_uri": self.redirect_uri,
            "scope": scope,
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
            **fields,
        }
        return [*parameters.items(), *(("resource", resource) for resource in resources)]

    def query(self, scope: str) -> str:
        """The parameters as part of an address."""
        return urlencode(self.parameters(scope))

    def without_secret(self) -> str:
        """A Basic header with its id and an empty secret."""
        return "Basic " + urlsafe_b64encode(f"{self.client_id}:".encode()).decode()

    def push(self, parameters: Pairs, **claims: Any) -> Answer:
        """The pushed request."""
        fields = [*parameters, *self.authentication(**claims).items()]
        return self.send("pushed_authorization_request_endpoint", dict.fromkeys(fields))

    def address(self, pushed: Answer) -> str:
        """Where the browser is sent; the reference and the client's id, nothing else."""
        assert pushed.status == 201, pushed.body
        query = {"client_id": self.client_id, "request_uri": pushed.json["request_uri"]}
        return f"{self.metadata['authorization_endpoint']}?{urlencode(query)}"

    def came_back(self, url: str) -> str:
        """The code, after state and issuer have been looked at."""
        said = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert said.get("state") == self.state, said
        assert said.get("iss") == self.metadata["issuer"], said
        assert "code" in said, said
        return said["code"]

    def dance(self, fields: dict[str, str], **claims: Any) -> Answer:
        """A token request: the challenge first, with everything that the second request has, then the token."""
        first = self.send("token_endpoint", (fields | self.authentication(**claims)).items(), self.proof())
        assert (first.status, first.error) == (400, "use_dpop_nonce"), first.body
        proof = self.proof(first.headers["DPoP-Nonce"])
        return self.send("token_endpoint", (fields | self.authentication(**claims)).items(), proof)

    def redeem(self, code: str, *, details: Any = None, **fields: str) -> Answer:
        """The code for tokens."""
        sent = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect_uri}
        sent |= {"code_verifier": self.verifier, **fields}
        return self.dance(sent, **({} if details is None else {"assertion_details": details}))

    def refresh(self, refresh_token: str, *, details: Any = None, **fields: str) -> Answer:
        """The next token."""
        sent = {"grant_type": "refresh_token", "refresh_token": refresh_token, **fields}
        return self.dance(sent, **({} if details is None else {"assertion_details": details}))

    def logged_in(
        self, scope: str, *resources: str, browser: ForeignBrowser | None = None, **fields: str
    ) -> str:
        """A code: pushed, logged in, and back."""
        pushed = self.push(self.parameters(scope, *resources, **fields))
        return self.came_back((browser or ForeignBrowser()).open(self.address(pushed), self.redirect_uri))

    def providers(self) -> list[str]:
        """The names of the identity providers that may be asked for."""
        listed = Answer(*http("GET", self.metadata["available_idps"])).json
        return [provider["name"] for provider in listed["idps"]]

    def userinfo(self, token: str, scheme: str = "DPoP") -> Answer:
        """What userinfo says for a token."""
        url = self.metadata["userinfo_endpoint"]
        headers = {"Authorization": f"{scheme} {token}"}
        if scheme == "DPoP":
            digest = urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).decode().rstrip("=")
            claims = {"jti": secrets.token_hex(16), "htm": "GET", "htu": url, "iat": int(time.time())}
            headers["DPoP"] = self.key.sign(
                {**claims, "ath": digest}, {"typ": "dpop+jwt", "jwk": self.key.public}
            )
        return Answer(*http("GET", url, headers=headers))


class OidcClientShaped(LoginClient):
    """Reuses its assertion for the second request, as one .NET library does."""

    lifetime = 60

    def dance(self, fields: dict[str, str], **claims: Any) -> Answer:
        """The same fields twice, with another proof."""
        fields = fields | self.authentication(**claims)
        first = self.send("token_endpoint", fields.items(), self.proof())
        assert (first.status, first.error) == (400, "use_dpop_nonce"), first.body
        return self.send("token_endpoint", fields.items(), self.proof(first.headers["DPoP-Nonce"]))


class JournalShaped(LoginClient):
    """The sample that reads patients' journals: ``typ`` JWT, ``iat`` as text, RS256, attests in a request object."""

    typ = "JWT"
    lifetime = 60
    alg = "RS256"

    def assertion(self, **claims: Any) -> str:
        """With ``iat`` as a string of digits."""
        return super().assertion(iat=str(int(time.time())), **claims)


class PythonWebShaped(LoginClient):
    """Of 2021: no PAR, a request object with nothing in it, no proof, and one field too many."""

    typ = "JWT"
    lifetime = 60
    content_type = "application/x-www-form-urlencoded;charset=UTF-8"

    def audience(self) -> Any:
        """The token endpoint."""
        return self.metadata["token_endpoint"]

    def front_channel(self, scope: str, **fields: str) -> str:
        """The address at which its browser begins."""
        parameters = self.parameters(scope, **fields)
        return f"{self.metadata['authorization_endpoint']}?{urlencode(self.signed(parameters))}"

    def signed(self, parameters: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The parameters with its request object, which has neither ``client_id`` nor parameters."""
        return [*parameters, ("request", self.request_object(sub=self.client_id))]

    def redeem(self, code: str, **fields: str) -> Answer:
        """The code for a Bearer token; the state comes along."""
        sent = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect_uri}
        sent |= {"code_verifier": self.verifier, "state": self.state, **fields}
        return self.send("token_endpoint", (sent | self.authentication()).items())


class GoWebShaped(PythonWebShaped):
    """Of 2021: a request object that repeats all parameters, an empty secret at the first try."""

    typ = None
    request_typ = None
    content_type = "application/x-www-form-urlencoded"

    def audience(self) -> Any:
        """The token endpoint in an array."""
        return [self.metadata["token_endpoint"]]

    def signed(self, parameters: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Everything is said twice, and the object has no ``iat``."""
        return [*parameters, ("request", self.request_object(iat=..., **dict(parameters)))]

    def redeem(self, code: str, **fields: str) -> Answer:
        """With a Basic header that holds no secret, and no ``client_id``."""
        sent = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect_uri}
        sent |= {"code_verifier": self.verifier, **self.authentication(), **fields}
        del sent["client_id"]
        return self.send("token_endpoint", sent.items(), Authorization=self.without_secret())
