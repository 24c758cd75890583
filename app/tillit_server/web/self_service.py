"""Where clients look after themselves: their keys (docs/for-ehr-clients.md).

Answers that are no success are problem documents (RFC 9457), as clients of the national service read them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import orjson
from flask import Response, request

from tillit_server.issuer.answers import ERROR_ID_HEADER, Answer
from tillit_server.issuer.client_secret import CLIENT_SECRET_PATH, list_client_keys, renew_client_key
from tillit_server.issuer.services import Services
from tillit_server.web.answering import respond, tell_code
from tillit_server.web.endpoints import Route
from tillit_server.web.translate import json_request

PROBLEM: Final = "application/problem+json"
_TYPE: Final = "urn:tillit:problem:"


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


def refuse(refusal: Answer, base: str) -> Response:
    """A refusal in the form of whichever part of the service was asked. ``base``: the path of the issuer.

    It goes by the path, since it is the same where no view was reached: another method, a fault of ours.
    ``instance`` of a problem holds the error id, under which the log has the reason.
    """
    if request.path != base + CLIENT_SECRET_PATH:
        return respond(refusal)
    tell_code(request.environ, refusal)
    code = refusal.body["error"]
    error_id = dict(refusal.headers).get(ERROR_ID_HEADER, "")
    document = {
        "type": _TYPE + code,
        "title": code.replace("_", " ").capitalize(),
        "status": refusal.status,
        "detail": refusal.body["error_description"],
        "instance": f"urn:tillit:error:{error_id}",
    }
    return Response(
        orjson.dumps(document), refusal.status, headers=list(refusal.headers), content_type=PROBLEM
    )
