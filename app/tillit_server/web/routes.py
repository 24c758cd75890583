"""The front door: what it publishes itself, and the doors whose URLs it puts together.

A view translates, calls one function, translates back.

The token endpoint, which is asked for at every patient, has a door of its own that spares it the
framework; it shares the translation, the answers and the errors with all others, and no other door
leads to it (docs/decisions/0002-token-door.md).
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.http import HTTP_STATUS_CODES

from tillit.protocol.errors import OAuthError
from tillit.protocol.metadata import (
    DETAILS_METADATA_PATH,
    IDPS_PATH,
    OAUTH_PATH,
    OPENID_PATH,
)
from tillit_server.issuer.answers import Answer
from tillit_server.issuer.authorization_server import TokenServer
from tillit_server.issuer.details_metadata import details_metadata
from tillit_server.issuer.discovery import TOKEN_PATH, available_idps
from tillit_server.issuer.explain import ExplainLimit, explain_token_request
from tillit_server.issuer.limiting import Addresses
from tillit_server.issuer.login.idps import IdpRegistry
from tillit_server.issuer.login.pushed_requests import PAR_PATH, push_request
from tillit_server.issuer.services import Services
from tillit_server.web.answering import JSON, Route, publish, respond, tell_code
from tillit_server.web.cookies import cookies_of
from tillit_server.web.endpoints import EndpointsDoor
from tillit_server.web.errors import answer_error
from tillit_server.web.login import LoginDoor
from tillit_server.web.logout import LogoutDoor
from tillit_server.web.pages import Pages
from tillit_server.web.refusing import RefusalForms
from tillit_server.web.self_service import SelfServiceDoor
from tillit_server.web.test_provider.provider import DevelopmentProvider
from tillit_server.web.test_provider.views import TestProviderDoor
from tillit_server.web.translate import form_request
from tillit_server.web.upstream import Upstream
from tillit_server.web.urls import CALLBACK_PATH, EXPLAIN_PATH

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


@dataclass(frozen=True, slots=True)
class Doors:
    """What the front door needs beside the services.

    ``path``: the path of the issuer, before every URL. ``max_age``: of metadata, in seconds. ``idps``: where
    people log in; ``test_provider`` is one of them in development mode, and None outside it. ``monotonic``
    measures how long documents of the providers are kept.
    """

    path: str
    metadata: Mapping[str, Any]
    max_age: int
    explain_limit: ExplainLimit
    idps: IdpRegistry = field(default_factory=IdpRegistry)
    test_provider: DevelopmentProvider | None = None
    addresses: Addresses = field(default_factory=Addresses)
    monotonic: Callable[[], float] = time.monotonic


def make_app(services: Services, doors: Doors) -> "WSGIApplication":
    """The public application: metadata, keys, tokens, explanations."""
    refuse = RefusalForms(Pages(services.issuer))
    others = framework_app(services, doors, refuse)
    app = token_door(TokenServer(services), services, doors.path + TOKEN_PATH, others)
    return limited_door(services, doors.addresses, refuse, app)


def limited_door(
    services: Services, addresses: Addresses, refuse: RefusalForms, app: "WSGIApplication"
) -> "WSGIApplication":
    """``app`` for whoever does not ask too often, as far as addresses tell."""

    def door(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        try:
            services.limits.require_address(environ["PATH_INFO"], addresses.of(environ))
        except OAuthError as error:
            return refuse(environ, answer_error(error, services))(environ, start_response)
        return app(environ, start_response)

    return door


def _json_answer(
    answer: Answer, environ: "WSGIEnvironment", start_response: "StartResponse"
) -> Iterable[bytes]:
    """``answer`` without the framework."""
    tell_code(environ, answer)
    body = orjson.dumps(answer.body)
    headers = [("Content-Type", JSON), ("Content-Length", str(len(body))), *answer.headers]
    start_response(f"{answer.status} {HTTP_STATUS_CODES[answer.status]}", headers)
    return [body]


def token_door(
    token_server: TokenServer, services: Services, path: str, others: "WSGIApplication"
) -> "WSGIApplication":
    """POST ``path`` answered at once; everything else goes to ``others``."""

    def door(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"] != path:
            return others(environ, start_response)
        try:
            if environ["REQUEST_METHOD"] != "POST":
                raise MethodNotAllowed(["POST"])  # noqa: TRY301 (the handler below answers)
            sent = form_request(environ, services.token_endpoint)
            answer = token_server.create_token_response(sent)
        except Exception as error:  # noqa: BLE001 (the one place that turns whatever it is into an answer)
            answer = answer_error(error, services)
        return _json_answer(answer, environ, start_response)

    return door


def framework_app(services: Services, doors: Doors, refuse: RefusalForms) -> Flask:
    """Everything but the token endpoint."""
    app = Flask("tillit", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = None  # translate.py counts, and answers in JSON
    app.url_map.strict_slashes = True

    def configuration() -> Response:
        return publish(doors.metadata, doors.max_age)

    def explain() -> Response:
        # What is explained is a request for the token endpoint, so that is what its proof speaks of.
        sent = form_request(request.environ, services.token_endpoint)
        return respond(explain_token_request(sent, services, doors.explain_limit))

    def pushed() -> Response:
        return respond(push_request(form_request(request.environ, services.url(PAR_PATH)), services))

    routes: tuple[Route, ...] = (
        ("GET", doors.path + OPENID_PATH, configuration),
        ("GET", doors.path + OAUTH_PATH, configuration),
        ("POST", doors.path + EXPLAIN_PATH, explain),
        ("POST", doors.path + PAR_PATH, pushed),
        # RFC 8414 §3.1: with an issuer that has a path, the well-known part stands before it
        *([("GET", OAUTH_PATH + doors.path, configuration)] if doors.path else []),
    )
    pages, cookies = refuse.pages, cookies_of(services.issuer)
    upstream = Upstream(
        app, doors.idps, services, callback=services.url(CALLBACK_PATH), monotonic=doors.monotonic
    )
    published = {IDPS_PATH: available_idps(doors.idps), DETAILS_METADATA_PATH: details_metadata()}
    more = [
        *EndpointsDoor(services, published, doors.max_age).routes(),
        *SelfServiceDoor(services).routes(),
        *LoginDoor(services, pages, cookies, doors.idps, upstream).routes(),
        *LogoutDoor(services, pages, cookies).routes(),
    ]
    if doors.test_provider is not None:
        more += TestProviderDoor(doors.test_provider, pages).routes()
    routes += tuple((method, doors.path + url, view) for method, url, view in more)
    for method, url, view in routes:
        app.add_url_rule(
            url, endpoint=f"{method} {url}", view_func=view, methods=[method], provide_automatic_options=False
        )
    # To open a page of a login may end the login, so whoever only looks at its headers (HEAD) is refused.
    for rule in app.url_map.iter_rules():
        if rule.rule in refuse.shown and rule.methods is not None:
            rule.methods.discard("HEAD")

    def failed(error: Exception) -> Response:
        return refuse(request.environ, answer_error(error, services))

    app.register_error_handler(Exception, failed)
    app.register_error_handler(HTTPException, failed)
    return app
