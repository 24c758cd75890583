"""A client that looks after its own keys, as the libraries of the national service do."""

import json
import secrets
from typing import Any

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr
from support.ehr import Answer
from support.service import http
from tillit.protocol.dpop import make_proof
from tillit.protocol.jose import SigningKey

PATH = "/v1/client-secret"
PROBLEM = "application/problem+json"
OURS = "urn:tillit:"


class KeyOwner:
    """One client and its token for self-service; every request can be broken in one place."""

    def __init__(self, ehr: SwiftEhr, token: str | None = None) -> None:
        self.ehr = ehr
        self.url = ehr.service.issuer + PATH
        self._token = token

    @classmethod
    def of(cls, backstage: Backstage, *keys: SigningKey, **members: Any) -> "KeyOwner":
        """A new client with these keys."""
        return cls(backstage.client(*keys, **members))

    @property
    def token(self) -> str:
        """An access token for self-service, got once."""
        if self._token is None:
            answer = self.ehr.token(None, scope=SELF_SERVICE)
            assert answer.status == 200, answer.body
            self._token = str(answer.json["access_token"])
        return self._token

    def proof(self, method: str, *, token: str | None = None, key: SigningKey | None = None) -> str:
        """A good proof for one request to self-service."""
        return make_proof(
            key or self.ehr.dpop_key,
            method,
            self.url,
            now=self.ehr.service.now(),
            access_token=token or self.token,
            jti=secrets.token_urlsafe(16),
        )

    def post(self, body: Any, *, raw: bool = False, headers: dict[str, str] | None = None) -> Answer:
        """Send a body, as JSON unless it is ``raw``."""
        sent = {
            "Authorization": f"DPoP {self.token}",
            "DPoP": self.proof("POST"),
            "Content-Type": "application/json",
            "Accept": "application/json",
            **(headers or {}),
        }
        kept = {name: value for name, value in sent.items() if value}
        content = body if raw else json.dumps(body).encode()
        return Answer(*http("POST", self.url, headers=kept, body=content))

    def renew(self, key: SigningKey) -> Answer:
        """Send the public half of a key."""
        return self.post(dict(key.public.jwk))

    def listed(self, token: str | None = None) -> Answer:
        """Ask which keys there are."""
        headers = {
            "Authorization": f"DPoP {token or self.token}",
            "DPoP": self.proof("GET", token=token),
        }
        return Answer(*http("GET", self.url, headers=headers))

    def kids(self) -> list[str]:
        """The names of the keys there are."""
        answer = self.listed()
        assert answer.status == 200, answer.body
        return [entry["kid"] for entry in answer.json]

    def with_key(self, key: SigningKey) -> SwiftEhr:
        """The same client, which signs its assertions with another key."""
        return SwiftEhr(self.ehr.service, self.ehr.client_id, key, self.ehr.dpop_key)

    def works(self, key: SigningKey) -> bool:
        """Whether a key authenticates the client; what is wrong beside it is found later."""
        return self.ehr.send(self.ehr.form(self.ehr.assertion(key=key)), "no proof").status == 400

    def use(self, key: SigningKey) -> None:
        """Get a token with a key."""
        assert self.with_key(key).token(None, scope=SELF_SERVICE).status == 200


def problem(answer: Answer, status: int, code: str) -> str:
    """The explanation of a refusal, which must be a whole problem document of this status and kind."""
    assert answer.headers["Content-Type"] == PROBLEM, answer.body
    document = answer.json
    assert (answer.status, document["status"]) == (status, status), document
    assert set(document) == {"type", "title", "status", "detail", "instance"}
    assert document["type"] == f"{OURS}problem:{code}"
    assert document["instance"] == f"{OURS}error:{answer.headers['Error-Id']}"
    return str(document["detail"])
