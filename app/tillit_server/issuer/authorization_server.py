"""Authlib's authorization server, with our steps inside: it picks the grant and renders the answer.

A grant has two lines: validating runs the visible list of steps, responding settles.
"""

from typing import Any

from authlib.oauth2 import AuthorizationServer, OAuth2Request
from authlib.oauth2.rfc6749 import BaseGrant, TokenEndpointMixin
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload

from tillit_server.issuer.answers import Answer
from tillit_server.issuer.grants import GRANTS
from tillit_server.issuer.request import Request
from tillit_server.issuer.services import Services
from tillit_server.issuer.token_endpoint import issue_token, judge_token_request


class SentRequest(OAuth2Request):
    """A request that the front door has parsed, on a transport that the settings have judged (ATT-3)."""

    def __init__(self, sent: Request) -> None:  # the base would judge the transport again, by request
        self.method = sent.method
        self.uri = sent.endpoint
        self.headers: dict[str, str] = {}
        self.payload = BasicOAuth2Payload(sent.form)
        self.sent = sent


class TokenServer(AuthorizationServer):
    """The token endpoint as Authlib knows it."""

    def __init__(self, services: Services) -> None:
        super().__init__()
        self.services = services
        for name in GRANTS:
            self.register_grant(type("Grant", (StepsGrant,), {"GRANT_TYPE": name}))
        self.register_grant(UnknownGrant)

    def create_oauth2_request(self, request: Request) -> OAuth2Request:
        """Our parsed request in Authlib's dress; nothing is parsed again."""
        return SentRequest(request)

    def handle_response(self, status: int, body: Any, headers: tuple[tuple[str, str], ...]) -> Answer:
        """The answer as the front door takes it."""
        return Answer(status, body, headers)

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens: what happened is in the audit."""


class StepsGrant(BaseGrant, TokenEndpointMixin):
    """Any grant: the list of steps judges, the settlement answers."""

    def validate_token_request(self) -> None:
        """Run the steps. Raises ``Refused``, which passes Authlib by: recording it is the front door's."""
        self.known = judge_token_request(self.request.sent, self.server.services)

    def create_token_response(self) -> tuple[int, Any, tuple[tuple[str, str], ...]]:
        """Settle and answer."""
        return issue_token(self.known)


class UnknownGrant(StepsGrant):
    """Registered last: for a grant nobody has, the first step refuses, so that this too is recorded."""

    @classmethod
    def check_token_endpoint(cls, request: OAuth2Request) -> bool:
        """Whether this class answers: always."""
        del request
        return True
