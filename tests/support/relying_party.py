"""A relying party: an EHR whose users log in for real, over HTTP, at the test provider of the running service."""

import json
from typing import Any, Self
from urllib.parse import urlencode

from support.ehr import Answer
from support.login import LoginEhr
from support.service import Service
from support.visitor import ANAESTHETIST, Returned, Visitor
from tillit.protocol.jose import load_private_jwk

NATIVE_CALLBACK = "http://127.0.0.1:49152/callback"


def log_in(
    service: Service,
    client: LoginEhr,
    *,
    visitor: Visitor | None = None,
    person: str = ANAESTHETIST,
    level: str = "level4",
    cancel: bool = False,
    **fields: Any,
) -> Returned:
    """Push a request of ``client`` (``fields`` as of ``LoginEhr.parameters``), log in, and come back."""
    url = authorize_url(client, client.request_uri(**fields))
    return (visitor or Visitor(service)).log_in(url, person=person, level=level, cancel=cancel)


def authorize_url(client: LoginEhr, request_uri: str, **more: str) -> str:
    """The address that the client sends a browser to."""
    query = urlencode({"client_id": client.client_id, "request_uri": request_uri, **more})
    return f"{client.service.issuer}/connect/authorize?{query}"


class RelyingParty(LoginEhr):
    """A client of a running service with everything a login needs: PAR, browser, code, refresh."""

    @classmethod
    def of(cls, client: LoginEhr) -> Self:
        """The same client, logging in for real."""
        party = cls(client.service, client.client_id, client.key, client.dpop_key)
        party.redirect_uri = client.redirect_uri
        return party

    @classmethod
    def development(cls, service: Service) -> Self:
        """The client ``dev-login`` that every development installation is born with."""
        jwk = json.loads((service.data / "clients" / "dev-login.jwk").read_bytes())
        party = cls(service, "dev-login", load_private_jwk(jwk))
        party.redirect_uri = NATIVE_CALLBACK
        return party

    def log_in(self, visitor: Visitor | None = None, **arguments: Any) -> Returned:
        """As ``log_in``."""
        return log_in(self.service, self, visitor=visitor, **arguments)

    def redeem(self, code: str, *, details: Any = None, **fields: Any) -> Answer:
        """Exchange a code; ``details`` is an attestation for the assertion, ``fields`` replace parameters."""
        return self._grant(
            "authorization_code",
            details,
            {"code": code, "redirect_uri": self.redirect_uri, "code_verifier": self.verifier, **fields},
        )

    def refresh(self, token: str, *, details: Any = None, **fields: Any) -> Answer:
        """Ask for a new access token."""
        return self._grant("refresh_token", details, {"refresh_token": token, **fields})

    def tokens(self, visitor: Visitor | None = None, *, details: Any = None, **arguments: Any) -> Answer:
        """The whole way: push, log in, redeem the code."""
        return self.redeem(self.log_in(visitor, **arguments).code, details=details)

    def _grant(self, grant: str, details: Any, fields: dict[str, Any]) -> Answer:
        form = self.form(self.assertion(details=details), grant_type=grant, scope=..., **fields)
        return self.send(form, self.proof())
