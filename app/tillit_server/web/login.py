"""The browser's way through a login: to the provider, back from it, and back to the client.

Whatever goes wrong before a client's address is known and right is a page of ours (RFC 9700 §4.11).
"""

import logging
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from flask import Response, request

from tillit.protocol.authorization_response import redirect_location
from tillit.protocol.errors import OAuthError
from tillit_server.issuer.answers import ERROR_ID_HEADER, new_error_id
from tillit_server.issuer.login.authorization import (
    complete_login,
    open_authorization,
    peek_interaction,
    refuse_login,
)
from tillit_server.issuer.login.browser import Browser, LogIn, SendBack
from tillit_server.issuer.login.idps import IdpRegistry
from tillit_server.issuer.services import Services
from tillit_server.web.answering import Route
from tillit_server.web.cookies import Cookies
from tillit_server.web.pages import ASSETS, Pages, origin_source
from tillit_server.web.translate import body_parameters, invalid_request_with, query_parameters
from tillit_server.web.upstream import ProviderAway, Upstream
from tillit_server.web.urls import AUTHORIZE_PATH, CALLBACK_PATH, CANCEL_PATH, LOGIN_PATH

_MAX_QUERY: Final = 4_000  # longer than this, with the other headers, a request line may be refused
_CANCELLED: Final = "The login was cancelled."
_NOWHERE: Final = "There is no identity provider to log in at."

_log = logging.getLogger("tillit.web")


@dataclass(frozen=True, slots=True)
class LoginDoor:
    """The pages between the authorization request and its answer."""

    services: Services
    pages: Pages
    cookies: Cookies
    idps: IdpRegistry
    upstream: Upstream

    def routes(self) -> tuple[Route, ...]:
        """Method, path below the issuer's, and view."""
        return (
            ("GET", AUTHORIZE_PATH, self.authorize),
            ("POST", AUTHORIZE_PATH, self.authorize_by_form),
            ("GET", LOGIN_PATH, self.log_in),
            ("GET", CANCEL_PATH, self.cancel),
            ("GET", CALLBACK_PATH, self.come_back),
            *(("GET", url, lambda url=url: self.pages.asset(url)) for url in ASSETS),
        )

    def authorize(self) -> Response:
        """The authorization endpoint (RFC 6749 §3.1)."""
        parameters, resources = query_parameters(request.environ)
        return self._open(parameters, resources)

    def authorize_by_form(self) -> Response:
        """The same by POST (OpenID Connect Core §3.1.2.1)."""
        parameters, resources = body_parameters(request.environ)
        query = urlencode([*parameters.items(), *(("resource", value) for value in resources)])
        if len(query) > _MAX_QUERY:
            # Answered here it would come without those cookies, and give the browser others instead.
            raise invalid_request_with(413, "the form is too long for an address; push the request")
        # A browser keeps its cookies from a form of another site; the GET that follows brings them.
        return self.pages.redirect(f"{self._path(AUTHORIZE_PATH)}?{query}")

    def log_in(self) -> Response:
        """Choose a provider, or go on to the one chosen; also begin again after the provider was away."""
        parameters, _ = query_parameters(request.environ)
        login = self._peek(parameters.get("interaction"))
        # A provider that the client has named is not the browser's to choose.
        named = login.idp if self.idps.find(login.idp) else parameters.get("idp")
        return self._to_provider(login, named)

    def cancel(self) -> Response:
        """Leave without having logged in."""
        parameters, _ = query_parameters(request.environ)
        return self._leave(self._peek(parameters.get("interaction")), _CANCELLED)

    def come_back(self) -> Response:
        """The provider's answer."""
        parameters, _ = query_parameters(request.environ)
        pending = self.upstream.pending(parameters.get("state"))
        login = self._peek(pending.interaction)
        self.upstream.take(pending)
        try:
            user = self.upstream.user(pending, parameters)
        except ProviderAway as error:
            self.upstream.put_back(pending)
            return self._away(login, error)
        except OAuthError as error:
            event = {"idp": pending.idp.name, "detail": error.detail}
            _log.info("login at the provider came to nothing", extra={"event": event})
            outcome = refuse_login(login.interaction, login.binding, error, self.services)
        else:
            outcome = complete_login(login.interaction, login.binding, user, self.services)
        return self._send_back(outcome)

    def _open(self, parameters: dict[str, str], resources: tuple[str, ...]) -> Response:
        browser = Browser(
            parameters=parameters,
            resources=resources,
            binding=self._binding(),
            session=self.cookies.read(request, self.cookies.session),
        )
        outcome = open_authorization(browser, self.services, self.idps)
        if isinstance(outcome, SendBack):
            return self._send_back(outcome)
        response = self._to_provider(outcome, outcome.idp)
        self.cookies.write(response, self.cookies.binding, outcome.binding)
        return response

    def _to_provider(self, login: LogIn, name: str | None) -> Response:
        idp = self.idps.find(name) or self.idps.find(None)
        if idp is None:
            return self._choose(login) if len(self.idps) else self._leave(login, _NOWHERE)
        try:
            return self.pages.redirect(self.upstream.begin(login, idp))
        except ProviderAway as error:
            return self._away(login, error)

    def _leave(self, login: LogIn, description: str) -> Response:
        denied = OAuthError("access_denied", description)
        return self._send_back(refuse_login(login.interaction, login.binding, denied, self.services))

    def _choose(self, login: LogIn) -> Response:
        choices = [
            {"name": idp.name, "title": idp.title, "url": self._url(LOGIN_PATH, login, idp=idp.name)}
            for idp in self.idps
        ]
        return self.pages.page(
            request,
            "choose.html",
            ui_locales=login.ui_locales,
            client_name=login.client_name,
            choices=choices,
            cancel=self._url(CANCEL_PATH, login),
        )

    def _away(self, login: LogIn, error: ProviderAway) -> Response:
        error_id = new_error_id()
        _log.error("provider away", extra={"event": {"error_id": error_id, "reason": str(error)}})
        response = self.pages.page(
            request,
            "away.html",
            status=503,
            ui_locales=login.ui_locales,
            again=self._url(LOGIN_PATH, login),
            cancel=self._url(CANCEL_PATH, login),
            error_id=error_id,
        )
        response.headers["Retry-After"] = "2"
        response.headers[ERROR_ID_HEADER] = error_id
        return response

    def _send_back(self, outcome: SendBack) -> Response:
        if outcome.mode == "form_post":
            # OAuth 2.0 Form Post Response Mode §2, with a button in the place of its script
            response = self.pages.page(
                request,
                "form_post.html",
                form_action=origin_source(outcome.redirect_uri),
                action=outcome.redirect_uri,
                fields=outcome.parameters,
            )
        else:
            response = self.pages.redirect(redirect_location(outcome.redirect_uri, outcome.parameters))
        if outcome.session is not None:
            self.cookies.write(response, self.cookies.session, outcome.session)
        return response

    def _peek(self, interaction: str | None) -> LogIn:
        return peek_interaction(interaction or "", self._binding(), self.services)

    def _binding(self) -> str | None:
        return self.cookies.read(request, self.cookies.binding)

    def _path(self, path: str) -> str:
        return self.pages.path + path

    def _url(self, path: str, login: LogIn, **more: str) -> str:
        return f"{self._path(path)}?{urlencode({'interaction': login.interaction, **more})}"
