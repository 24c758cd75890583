"""Fixtures for the EHR's side: a token endpoint that checks what it is sent, and an API behind it."""

import json
from urllib.parse import parse_qs

import pytest

from support.stand_in import ISSUER, NOW, StandInIssuer
from tillit.client import Client
from tillit.outbound import Response
from tillit.protocol.client_assertion import check_assertion, read_assertion
from tillit.protocol.dpop import check_proof
from tillit.protocol.jose import generate_key

API = "https://source.example/documents"


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
        headers = dict(request.headers)
        assert headers["Content-Type"] == "application/x-www-form-urlencoded"
        form = {name: value for name, (value,) in parse_qs(request.body.decode()).items()}
        self.forms.append(form)
        unverified = read_assertion(form["client_assertion"])
        self.assertions.append(
            check_assertion(
                unverified,
                keys=[self.world.key.public],
                client_id="ehr-nordfjell",
                issuer=ISSUER,
                now=self.world.now,
            )
        )
        self.proofs.append(check_proof([headers["DPoP"]], method="POST", url=request.url, now=self.world.now))
        if self.demand:
            nonce = self.demand.pop(0)
            body = b'{"error":"use_dpop_nonce"}'
            return Response(400, (("DPoP-Nonce", nonce),), body)
        if self.answers:
            return self.answers.pop(0)
        return self.granted()

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


class EhrWorld:
    """A client, the server it talks to, and a clock that stands still."""

    def __init__(self, **settings):
        self.now = NOW
        self.key = generate_key("ES256")
        self.server = _Server(self)
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
