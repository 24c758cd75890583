"""An installation in this very process: hundreds of requests in the time of a few over HTTP."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from support.backstage import EVERY_SCOPE
from support.granted import SCOPES
from support.login import CALLBACK
from support.redeeming import WARD
from tillit.protocol.client_assertion import ASSERTION_TYPE, make_assertion
from tillit.protocol.dpop import make_proof
from tillit.protocol.jose import SigningKey, generate_key
from tillit_server.config import load_settings
from tillit_server.issuer.clients.client import client_from
from tillit_server.issuer.clients.registration import register
from tillit_server.issuer.request import Request
from tillit_server.issuer.steps import Refused
from tillit_server.issuer.token_endpoint import issue_token, judge_token_request
from tillit_server.wiring import build

BEGINNING = 1_768_465_800.0


class House:
    """An installation whose clock stands still until it is told to go on."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self._clock = directory / "clock"
        self._now = BEGINNING
        self.wait(0)
        flags = {"dev": True, "data": directory / "data", "clock": self._clock, **settings}
        self.installation = build(load_settings(flags=flags))
        self.services = self.installation.services

    def close(self) -> None:
        """Let go of the installation."""
        self.installation.close()

    @property
    def service(self) -> Self:
        """Itself: there is no other process."""
        return self

    def now(self) -> float:
        """The time in the house."""
        return self._now

    def wait(self, seconds: float) -> None:
        """So many seconds go by."""
        self._now += seconds
        self._clock.write_text(f"{self._now:f}", encoding="ascii")

    def client(self, client_id: str, **members: Any) -> "Guest":
        """Register a client whose users log in."""
        key = generate_key("ES256")
        client = client_from(
            {
                "id": client_id,
                "keys": [key.public.jwk],
                "legal_entities": ["310000019"],
                "scopes": [*SCOPES, WARD, *EVERY_SCOPE],
                "grants": ["authorization_code", "refresh_token"],
                "redirect_uris": [CALLBACK],
                **members,
            }
        )
        register(self.services, client, replace=False, operator="test", reason="test")
        return Guest(self, client_id, key)


class Guest:
    """A client of a house."""

    def __init__(self, house: House, client_id: str, key: SigningKey) -> None:
        self.house = house
        self.client_id = client_id
        self.key = key
        self.dpop_key = generate_key("ES256")
        self.other_key = generate_key("ES256")

    def request(
        self, form: Mapping[str, str | None], *, path: str = "/connect/token", key: SigningKey | None = None
    ) -> Request:
        """A request with fresh credentials; with ``key`` it has a proof. Parameters of None are left out."""
        services, now = self.house.services, self.house.now()
        endpoint = services.url(path)
        sent = {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": make_assertion(
                self.key, self.client_id, services.issuer, now=now, jti=secrets.token_hex(8)
            ),
            **{name: value for name, value in form.items() if value is not None},
        }
        nonce = services.nonces.issue(now) if services.nonces else None
        proof = None if key is None else make_proof(key, "POST", endpoint, now=now, nonce=nonce)
        return Request(endpoint, sent, dpop=() if proof is None else (proof,))

    def send(self, request: Request) -> tuple[str, dict[str, Any]]:
        """What the token endpoint answers: ``ok`` and the body, or the error and nothing."""
        try:
            _, body, _ = issue_token(judge_token_request(request, self.house.services))
        except Refused as refusal:
            return refusal.error.code, {}
        return "ok", body
