"""The doors of the test provider."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Response, request

from tillit.protocol.errors import OAuthError
from tillit.protocol.metadata import OPENID_PATH
from tillit_server.issuer.answers import NO_STORE
from tillit_server.web.answering import Route
from tillit_server.web.pages import Pages
from tillit_server.web.test_provider.provider import PATH, DevelopmentProvider
from tillit_server.web.translate import body_parameters, query_parameters

# A form-action counts for the redirects that follow, too: to the callback, and from there to the client.
_ANY_CLIENT = "'self' https: http://127.0.0.1:* http://localhost:*"


@dataclass(frozen=True, slots=True)
class TestProviderDoor:
    """Documents and endpoints for the service, pages for people."""

    provider: DevelopmentProvider
    pages: Pages

    def routes(self) -> tuple[Route, ...]:
        """Method, path below the issuer's, and view."""
        return (
            ("GET", PATH + OPENID_PATH, lambda: _json(self.provider.metadata())),
            ("GET", PATH + "/jwks", lambda: _json(self.provider.jwks())),
            ("POST", PATH + "/par", lambda: _answered(self.provider.push, 201)),
            ("POST", PATH + "/token", lambda: _answered(self.provider.redeem, 200)),
            ("GET", PATH + "/authorize", self.show),
            ("POST", PATH + "/authorize", self.choose),
        )

    def show(self) -> Response:
        """The page to choose a person on."""
        try:
            parameters, _ = query_parameters(request.environ)
            return self._page(parameters)
        except OAuthError as error:
            return self._fault(error)

    def choose(self) -> Response:
        """What was chosen, or to leave."""
        try:
            form, _ = body_parameters(request.environ)
            asked = self.provider.request(form)
        except OAuthError as error:
            return self._fault(error)
        if "cancel" in form:
            return self.pages.redirect(self.provider.cancel(asked))
        login = self.provider.login_of(form)
        if login is None:
            return self._page(form, fault=True)
        return self.pages.redirect(self.provider.log_in(asked, login))

    def _page(self, parameters: Mapping[str, str], *, fault: bool = False) -> Response:
        asked = self.provider.request(parameters)
        return self.pages.page(
            request,
            "test_provider.html",
            status=400 if fault else 200,
            ui_locales=asked.ui_locales,
            form_action=_ANY_CLIENT,
            action=self.pages.path + PATH + "/authorize",
            client_id=parameters["client_id"],
            request_uri=parameters["request_uri"],
            people=self.provider.practitioners,
            fault=fault,
        )

    def _fault(self, error: OAuthError) -> Response:
        return self.pages.page(request, "test_provider_error.html", status=400, description=error.description)


def _answered(act: Callable[[Mapping[str, str]], Mapping[str, Any]], status: int) -> Response:
    try:
        form, _ = body_parameters(request.environ)
        return _json(act(form), status)
    except OAuthError as error:
        return _json(error.body(), error.status)


def _json(document: Mapping[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, headers=list(NO_STORE), mimetype="application/json")
