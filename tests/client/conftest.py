"""Fixtures for the EHR's side: a token endpoint that checks what it is sent, and an API behind it."""

import json
from urllib.parse import parse_qs, parse_qsl

import pytest

from support.stand_in import ISSUER, LEVEL, NOW, PID, PRACTITIONER, StandInIssuer, without_removed
from tillit.client import Client, Login
from tillit.outbound import Response
from tillit.protocol.authorization_request import read_authorization_request
from tillit.protocol.authorization_response import redirect_location, response_parameters
from tillit.protocol.client_assertion import check_assertion, read_assertion
from tillit.protocol.dpop import check_proof
from tillit.protocol.id_token import id_token_claims
from tillit.protocol.jose import generate_key, sign
from tillit.protocol.metadata import ENDPOINTS
from tillit.protocol.pkce import check_verifier
from tillit.protocol.request_object import check_request_object

API = "https://source.example/documents"
CALLBACK = "https://ehr.example/callback?system=1"
SCOPE = "openid profile offline_access helseid://scopes/identity/pid nhn:phr/read nhn:kj/read"
SUBJECT = "0kq2Zs1F0m3bB7vQXy6l1C8k5r0uQ1r2o3p4s5t6u7g="


class _Server:
    """Answers as an authorization server and as an API, and keeps what it was sent.

    `demand` lists the nonces to demand, one per request; `answers` replaces the token endpoint's next answers.
    """

    def __init__(self, world):
        self.world = world
        self.issuer = StandInIssuer()
        self.assertions = []
        self.forms = []
        self.proofs = []
        self.api_requests = []
        self.demand = []
        self.answers = []
        self.api_answers = []
        self.expires_in = 600

    def __call__(self, request):
        if request.url == f"{ISSUER}/connect/token":
            return self.token_endpoint(request)
        if request.url.partition("?")[0] == API:
            return self.api(request)
        return self.issuer(request)

    @property
    def token_requests(self):
        return len(self.forms)

    def token_endpoint(self, request):
        self.forms.append(self.authenticated(request))
        proof = dict(request.headers)["DPoP"]
        self.proofs.append(check_proof([proof], method="POST", url=request.url, now=self.world.now))
        if self.demand:
            nonce = self.demand.pop(0)
            body = b'{"error":"use_dpop_nonce"}'
            return Response(400, (("DPoP-Nonce", nonce),), body)
        if self.answers:
            return self.answers.pop(0)
        return self.granted()

    def authenticated(self, request):
        """The form of a request whose client assertion is good; only `resource` may repeat."""
        assert dict(request.headers)["Content-Type"] == "application/x-www-form-urlencoded"
        fields = parse_qs(request.body.decode())
        assert all(len(values) == 1 for name, values in fields.items() if name != "resource")
        form = {name: " ".join(values) for name, values in fields.items()}
        self.assertions.append(
            check_assertion(
                read_assertion(form["client_assertion"]),
                keys=[self.world.key.public],
                client_id="ehr-nordfjell",
                issuer=ISSUER,
                now=self.world.now,
            )
        )
        return form

    def granted(self, *, headers=(), **members):
        answer = {
            "access_token": f"token-{self.token_requests}",
            "token_type": "DPoP",
            "expires_in": self.expires_in,
            "scope": self.forms[-1].get("scope", "all"),
            **members,
        }
        answer = {name: value for name, value in answer.items() if value is not ...}
        return Response(200, headers, json.dumps(answer).encode())

    def api(self, request):
        self.api_requests.append(request)
        headers = dict(request.headers)
        scheme, token = headers["Authorization"].split(" ")
        assert scheme == "DPoP"
        self.proofs.append(
            check_proof(
                [headers["DPoP"]],
                method=request.method,
                url=request.url,
                now=self.world.now,
                access_token=token,
            )
        )
        return self.api_answers.pop(0) if self.api_answers else Response(200, (), b"documents")


class _LoginServer(_Server):
    """The same, where practitioners log in: PAR, code, refresh, userinfo, revocation.

    `person` logs in when the browser comes; `id_claims` replaces claims of the ID token, `...` removes one;
    `rotate` exchanges refresh tokens; `pages` replaces the next answers of an endpoint, by path.
    """

    def __init__(self, world):
        super().__init__(world)
        self.issuer.metadata = {
            name: ISSUER + path for name, path in ENDPOINTS.items() if name != "introspection_endpoint"
        }
        self.pushed = []
        self.pushed_forms = []
        self.codes = {}
        self.refresh_tokens = []
        self.revoked = []
        self.person = PRACTITIONER
        self.id_claims = {}
        self.id_key = self.issuer.keys[0]
        self.rotate = False
        self.pages = {}

    def __call__(self, request):
        path = request.url.removeprefix(f"{ISSUER}/connect/")
        if self.pages.get(path):
            return self.pages[path].pop(0)
        if path in {"par", "revocation"}:
            form = self.authenticated(request)
            return self.par(form) if path == "par" else self.revocation(form)
        if path == "userinfo":
            self.api(request)
            return Response(200, (), json.dumps({"sub": SUBJECT, "hpr": "222209991"}).encode())
        return super().__call__(request)

    def par(self, form):
        self.pushed_forms.append(set(form))
        resources = form.pop("resource", "").split()
        if "request" in form:
            found = check_request_object(
                form["request"],
                keys=[self.world.key.public],
                client_id="ehr-nordfjell",
                issuer=ISSUER,
                now=self.world.now,
            )
            form = found.parameters
        self.pushed.append(read_authorization_request(form, resources=resources))

        uri = f"urn:ietf:params:oauth:request_uri:{len(self.pushed)}"
        return Response(201, (), json.dumps({"request_uri": uri, "expires_in": 300}).encode())

    def browser(self, url, **changes):
        """What the browser brings back: the person of this server logs in at the address."""
        address, _, query = url.partition("?")
        assert address == f"{ISSUER}/connect/authorize"
        asked = dict(parse_qsl(query))
        assert asked["client_id"] == "ehr-nordfjell"
        request = self.pushed[int(asked["request_uri"].rpartition(":")[2]) - 1]
        code = f"code-{len(self.codes)}"
        self.codes[code] = request
        answer = response_parameters(issuer=ISSUER, state=request.state, code=code) | changes
        location = redirect_location(
            request.redirect_uri, {name: value for name, value in answer.items() if value is not ...}
        )
        return location.partition("?")[2]

    def granted(self, *, headers=(), **members):
        form = self.forms[-1]
        if form["grant_type"] == "authorization_code":
            request = self.codes.pop(form["code"])
            check_verifier(form["code_verifier"], request.code_challenge)
            assert form["redirect_uri"] == request.redirect_uri
            assert self.proofs[-1].jkt == request.dpop_jkt
            self.logged_in = request
            self.refresh_tokens.append("refresh-1")
        elif form["grant_type"] == "refresh_token":
            assert form["refresh_token"] == self.refresh_tokens[-1]
            if self.rotate:
                self.refresh_tokens.append(f"refresh-{len(self.refresh_tokens) + 1}")
        else:
            return super().granted(headers=headers, **members)
        refreshed = form["grant_type"] == "refresh_token"
        value = f"token-{self.token_requests}"
        members = {
            "id_token": self.id_token(value, None if refreshed else self.logged_in.nonce),
            "refresh_token": self.refresh_tokens[-1],
            "rt_expires_in": 3600,
            "scope": form.get("scope", " ".join(self.logged_in.scope)),
            **members,
        }
        return super().granted(headers=headers, access_token=value, **members)

    def id_token(self, access_token, nonce):
        claims = id_token_claims(
            issuer=ISSUER,
            subject=SUBJECT,
            client_id="ehr-nordfjell",
            now=self.world.now,
            lifetime=300,
            nonce=nonce,
            auth_time=NOW,
            access_token=access_token,
            algorithm=self.id_key.alg,
            sid="s-1",
            claims={PID: self.person, LEVEL: "4"},
        )
        return sign({"typ": "JWT"}, without_removed({**claims, **self.id_claims}), self.id_key)

    def revocation(self, form):
        self.revoked.append((form["token"], form["token_type_hint"]))
        return Response(200)


class EhrWorld:
    """A client, the server it talks to, and a clock that stands still."""

    def __init__(self, server=_Server, **settings):
        self.now = NOW
        self.key = generate_key("ES256")
        self.server = server(self)
        settings = {"http": self.server, "clock": lambda: self.now, "synthetic_identifiers": True, **settings}
        self.client = Client(ISSUER, "ehr-nordfjell", self.key, **settings)


@pytest.fixture
def world():
    """An EHR's client and the server it talks to."""
    return EhrWorld()


@pytest.fixture
def make_world():
    """The same, with settings."""
    return EhrWorld


class LoginWorld(EhrWorld):
    """The same, where the EHR's practitioners log in."""

    def __init__(self, **settings):
        super().__init__(_LoginServer, **settings)
        self.login = self.make_login()

    def make_login(self, **settings):
        """Another way to log in with the same client."""
        return Login(
            self.client, CALLBACK, **{"scope": SCOPE, "resources": ("nhn:phr", "nhn:kj"), **settings}
        )

    def log_in(self, *, login=None, person=PRACTITIONER, resource=None, **parameters):
        """Begin, log in with the browser, and finish."""
        login = login or self.login
        url, pending = login.begin(**parameters)
        pending = json.loads(json.dumps(pending))
        return login.finish(pending, self.server.browser(url), person=person, resource=resource)


@pytest.fixture
def logins():
    """An EHR whose practitioners log in at the server."""
    return LoginWorld()


@pytest.fixture
def make_logins():
    """The same, with settings."""
    return LoginWorld
