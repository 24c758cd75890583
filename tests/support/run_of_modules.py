"""The flow that certification runs go through before they break one thing in it: both clients, both ways to ask."""

from dataclasses import dataclass
from typing import Any

from support.backstage import Backstage
from support.ehr import Answer
from support.login import IDENTITY
from support.relying_party import RelyingParty, authorize_url
from support.visitor import Page, Returned, Visitor
from tillit.protocol.jose import generate_key

CALLBACK = "https://localhost.emobix.co.uk:8443/test/a/tillit/callback"
OTHER_CALLBACK = CALLBACK + "?dummy1=lorem&dummy2=ipsum"
SCOPE = "openid profile offline_access"


def run_client(backstage: Backstage, callback: str, **members: Any) -> RelyingParty:
    """A client as a run registers it, with keys for PS256."""
    ehr = backstage.client(
        generate_key("PS256", rsa_bits=2048),
        **{
            "grants": ["authorization_code", "refresh_token"],
            "redirect_uris": [callback],
            "scopes": (*IDENTITY, *backstage.services.apis.by_scope, "nhn:tillitsrammeverk:parameters"),
            "attests_without_login": False,
            **members,
        },
    )
    party = RelyingParty(ehr.service, ehr.client_id, ehr.key, generate_key("PS256", rsa_bits=2048))
    party.redirect_uri = callback
    return party


@dataclass(frozen=True)
class Runner:
    """One way to ask: in form parameters, or in a request object as client 1 of a run makes it."""

    client: RelyingParty
    signed: bool

    def push(
        self,
        proof: str | None = None,
        *,
        assertion: str | None = None,
        header: dict[str, Any] | None = None,
        **parameters: Any,
    ) -> Answer:
        """Push a request; ``parameters`` are those of the request, wherever they stand."""
        ehr = self.client
        given = {"scope": SCOPE, **parameters}
        if not self.signed:
            return ehr.send(ehr.pushed_form(assertion, **given), proof, url=ehr.par)
        # Client 1 sends neither typ nor iat, and five minutes of life.
        own = {"typ": ..., **(header or {})}
        token = ehr.request_object(header=own, **{"iat": ..., "exp": self.soon(300), **given})
        form = ehr.signed_form(token, client_id=..., client_assertion=assertion or ehr.assertion())
        return ehr.send(form, proof, url=ehr.par)

    def soon(self, seconds: int) -> int:
        """That many seconds from now."""
        return int(self.client.service.now()) + seconds

    def link(
        self, proof: str | None = None, *, outside: dict[str, str] | None = None, **parameters: Any
    ) -> str:
        """The address a browser is sent to; ``outside`` stands in it beside the repeats that a run adds."""
        answer = self.push(proof, **parameters)
        assert answer.status == 201, answer.body
        return self.address(str(answer.json["request_uri"]), **(outside or {}))

    def address(self, request_uri: str, **outside: str) -> str:
        """The authorization endpoint, for a request that was pushed."""
        repeats = {"redirect_uri": self.client.redirect_uri, "response_type": "code", "scope": SCOPE}
        return authorize_url(self.client, request_uri, **{**repeats, **outside})

    def returned(self, proof: str | None = None, **arguments: Any) -> Returned:
        """Push, log in, and come back."""
        return Visitor(self.client.service).log_in(self.link(proof, **arguments))

    def proof(self, **claims: Any) -> str:
        """A good proof for pushing a request."""
        return self.client.proof(**{"htu": self.client.par, "nonce": ..., **claims})


def refusal(answer: Answer) -> tuple[int, str | None]:
    """Status and code of a refusal, which is a JSON object; 401 belongs to ``invalid_client`` alone."""
    assert answer.headers["Content-Type"] == "application/json"
    assert (answer.status == 401) == (answer.error == "invalid_client")
    return answer.status, answer.error


def shown(answer: Page | Returned) -> str:
    """The code on an error page of ours."""
    assert isinstance(answer, Page), answer
    assert answer.status == 400
    return answer.error
