"""The positive flow of a certification run: push, log in, redeem, call; each step can be given another value."""

import secrets
from dataclasses import dataclass, field
from typing import Any

from support.ehr import Answer
from support.login import LoginEhr, Reception
from support.service import PHR, http
from tillit.protocol.dpop import make_proof
from tillit.protocol.jose import SigningKey

SCOPE = f"openid profile offline_access {PHR}"
# The API of the scope demands an attestation with every token, which a certification run does not send.
PLAIN = "openid profile offline_access example:ward/list"


@dataclass
class ConformanceClient:
    """Client 1 or client 2 of a certification run."""

    reception: Reception
    ehr: LoginEhr
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def code(self, par_proof: str | None = None, **fields: Any) -> str:
        """Push a request and log in; the code that comes back."""
        answer = self.ehr.push(par_proof, scope=PLAIN, nonce=self.nonce, **fields)
        assert answer.status == 201, answer.body
        back = self.reception.log_in(self.ehr, answer.json["request_uri"])
        assert set(back.parameters) == {"code", "state", "iss"}
        return back.parameters["code"]

    def form(self, grant: str, assertion: str | None = None, **fields: Any) -> dict[str, str]:
        """A token request without ``client_id``, as certification runs send it; ``...`` removes a field."""
        form = {
            "grant_type": grant,
            **self.ehr.credentials(self.ehr.assertion() if assertion is None else assertion),
            "client_id": ...,
            **fields,
        }
        return {name: value for name, value in form.items() if value is not ...}

    def code_form(self, code: str, assertion: str | None = None, **fields: Any) -> dict[str, str]:
        """The form that redeems ``code``."""
        given = {"code": code, "redirect_uri": self.ehr.redirect_uri, "code_verifier": self.ehr.verifier}
        return self.form("authorization_code", assertion, **{**given, **fields})

    def redeem(self, code: str, *, key: SigningKey | None = None, **fields: Any) -> Answer:
        """Redeem ``code`` with a good proof."""
        return self.ehr.send(self.code_form(code, **fields), self.ehr.proof(key=key))

    def refresh(self, token: str, *, key: SigningKey | None = None, **fields: Any) -> Answer:
        """Refresh with a good proof."""
        form = self.form("refresh_token", refresh_token=token, **fields)
        return self.ehr.send(form, self.ehr.proof(key=key))

    @property
    def resource(self) -> str:
        """The protected resource: userinfo."""
        return f"{self.ehr.service.issuer}/connect/userinfo"

    def proof(self, token: str, **more: Any) -> str:
        """A good proof for the resource."""
        return make_proof(
            more.pop("key", self.ehr.dpop_key),
            "GET",
            self.resource,
            now=self.ehr.service.now(),
            access_token=token,
            **more,
        )

    def call(self, token: str, proof: str | None = None, *, scheme: str = "DPoP", **headers: str) -> Answer:
        """Call the resource; ``proof`` None makes a good one."""
        sent = {"Authorization": f"{scheme} {token}", "DPoP": self.proof(token) if proof is None else proof}
        return Answer(*http("GET", self.resource, headers={**sent, **headers}))
