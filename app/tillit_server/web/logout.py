"""The pages at the end of a session (OpenID Connect RP-Initiated Logout)."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from flask import Response, request

from tillit.protocol.authorization_response import redirect_location
from tillit.protocol.metadata import ENDPOINTS
from tillit_server.issuer.browser import Browser, SendBack
from tillit_server.issuer.logout import CONFIRM, RETURN_TO, Confirm, log_out
from tillit_server.issuer.services import Services
from tillit_server.web.cookies import Cookies
from tillit_server.web.errors import answer_error
from tillit_server.web.login import Route, View, error_page
from tillit_server.web.pages import Pages, origin_source
from tillit_server.web.translate import body_parameters, query_parameters

END_SESSION_PATH: Final = ENDPOINTS["end_session_endpoint"]


@dataclass(frozen=True, slots=True)
class LogoutDoor:
    """The end_session endpoint."""

    services: Services
    pages: Pages
    cookies: Cookies

    def routes(self) -> tuple[Route, ...]:
        """Method, path below the issuer's, and view."""
        return (
            ("GET", END_SESSION_PATH, self._page(self.end_session)),
            ("POST", END_SESSION_PATH, self._page(self.end_session_by_form)),
        )

    def end_session(self) -> Response:
        """End the session, or ask first."""
        parameters, _ = query_parameters(request.environ)
        # What is confirmed comes from our own form, never from an address that somebody may have written.
        parameters.pop(CONFIRM, None)
        return self._end(parameters)

    def end_session_by_form(self) -> Response:
        """The same by POST, which clients may use and our own form does."""
        parameters, _ = body_parameters(request.environ)
        if self._session() is None and CONFIRM not in parameters:
            # A browser keeps its cookies from a form of another site; the GET that follows brings them.
            return self.pages.redirect(f"{self.pages.path}{END_SESSION_PATH}?{urlencode(parameters)}")
        return self._end(parameters)

    def _end(self, parameters: dict[str, str]) -> Response:
        outcome = log_out(Browser(parameters=parameters, session=self._session()), self.services)
        ui_locales = parameters.get("ui_locales", "").split()
        if isinstance(outcome, Confirm):
            address = outcome.parameters.get(RETURN_TO)
            return self.pages.page(
                request,
                "log_out.html",
                ui_locales=ui_locales,
                # CSP holds the redirect after the form too.
                form_action=f"'self' {origin_source(address)}" if address else "'self'",
                client_name=outcome.client_name,
                action=self.pages.path + END_SESSION_PATH,
                fields=outcome.parameters,
            )
        if isinstance(outcome, SendBack):
            response = self.pages.redirect(redirect_location(outcome.redirect_uri, outcome.parameters))
        else:
            response = self.pages.page(request, "logged_out.html", ui_locales=ui_locales)
        self.cookies.remove(response, self.cookies.session)
        return response

    def _session(self) -> str | None:
        return self.cookies.read(request, self.cookies.session)

    def _page(self, view: View) -> View:
        def shown() -> Response:
            try:
                return view()
            except Exception as error:  # noqa: BLE001 (the one place that turns whatever it is into a page)
                answer = answer_error(error, self.services)
                return error_page(self.pages, answer, title="log_out_error_title")

        return shown
