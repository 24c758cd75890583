"""A refusal in the form of whichever part of the service was asked.

It goes by the path, since it is the same where no view was reached: too many requests, another method, a
fault of ours.
"""

from typing import TYPE_CHECKING, Any, Final

import orjson
from flask import Response
from werkzeug import Request

from tillit_server.issuer.answers import ERROR_ID_HEADER, Answer
from tillit_server.issuer.client_secret import CLIENT_SECRET_PATH
from tillit_server.web.answering import JSON, tell_code
from tillit_server.web.pages import Pages
from tillit_server.web.urls import END_SESSION_PATH, PAGES

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

PROBLEM: Final = "application/problem+json"
_TYPE: Final = "urn:tillit:problem:"


class RefusalForms:
    """Pages where people are (``shown``), problem documents where clients renew their keys, else JSON."""

    def __init__(self, pages: Pages) -> None:
        self.pages = pages
        self.shown = frozenset(pages.path + url for url in PAGES)

    def __call__(self, environ: "WSGIEnvironment", refusal: Answer) -> Response:
        """``refusal`` as a response."""
        path: str = environ["PATH_INFO"]
        if path in self.shown:
            leaving = path == self.pages.path + END_SESSION_PATH
            title = "log_out_error_title" if leaving else "error_title"
            return self.pages.error(Request(environ), refusal, title=title)
        tell_code(environ, refusal)
        problem = path == self.pages.path + CLIENT_SECRET_PATH
        body: Any = _problem(refusal) if problem else refusal.body
        kind = PROBLEM if problem else JSON
        return Response(orjson.dumps(body), refusal.status, headers=list(refusal.headers), content_type=kind)


def _problem(refusal: Answer) -> dict[str, Any]:
    """A problem document (RFC 9457), as clients of the national service read them.

    ``instance`` holds the error id, under which the log has the reason.
    """
    code = refusal.body["error"]
    return {
        "type": _TYPE + code,
        "title": code.replace("_", " ").capitalize(),
        "status": refusal.status,
        "detail": refusal.body["error_description"],
        "instance": f"urn:tillit:error:{dict(refusal.headers).get(ERROR_ID_HEADER, '')}",
    }
