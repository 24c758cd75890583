"""Answers of the issuer as HTTP responses."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from flask import Response, request

from tillit_server.issuer.answers import Answer

JSON: Final = "application/json"

Route = tuple[str, str, Callable[[], Response]]
"""Method, path below the issuer's, and view."""

CODE: Final = "tillit.code"
"""Where the door finds, for the metrics, which OAuth code was answered with."""


def tell_code(environ: dict[str, Any], answer: Answer) -> None:
    """Leave the code of a refusal where whoever counts answers looks for it."""
    if answer.status >= HTTPStatus.BAD_REQUEST:
        environ[CODE] = answer.body.get("error")


def respond(answer: Answer) -> Response:
    """``answer`` as an HTTP response."""
    tell_code(request.environ, answer)
    return Response(orjson.dumps(answer.body), answer.status, headers=list(answer.headers), mimetype=JSON)


def publish(document: Mapping[str, Any], max_age: int) -> Response:
    """A document that anybody may read and keep for ``max_age`` seconds."""
    headers = {"Cache-Control": f"public, max-age={max_age}", "Access-Control-Allow-Origin": "*"}
    return Response(orjson.dumps(document), headers=headers, mimetype=JSON)
