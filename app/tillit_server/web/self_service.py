"""Where clients look after themselves: their keys (docs/for-ehr-clients.md).

Answers that are no success are problem documents (`web/refusing.py`).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from flask import Response, request

from tillit_server.issuer.client_secret import CLIENT_SECRET_PATH, list_client_keys, renew_client_key
from tillit_server.issuer.services import Services
from tillit_server.web.answering import Route, respond
from tillit_server.web.translate import json_request


@dataclass(frozen=True, slots=True)
class SelfServiceDoor:
    """The views of self-service."""

    services: Services
    wait: Callable[[float], None] = time.sleep

    def routes(self) -> tuple[Route, ...]:
        """Method, path below the issuer's, and view."""
        return (("GET", CLIENT_SECRET_PATH, self.list_keys), ("POST", CLIENT_SECRET_PATH, self.renew_key))

    def list_keys(self) -> Response:
        """The keys of the client that asks."""
        sent = json_request(request.environ, self.services.url(CLIENT_SECRET_PATH))
        return respond(list_client_keys(sent, self.services))

    def renew_key(self) -> Response:
        """A new key of the client that asks."""
        sent = json_request(request.environ, self.services.url(CLIENT_SECRET_PATH))
        answer = renew_client_key(sent, self.services)
        # Clients use a new key as soon as they are answered, and any worker may be asked.
        self.wait(self.services.clients.fresh)
        return respond(answer)
