"""The pages at the end of a session (OpenID Connect RP-Initiated Logout)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flask import Response, request

from tillit.protocol.authorization_response import redirect_location
from tillit_server.issuer.login.browser import Browser, SendBack
from tillit_server.issuer.login.logout import CONFIRM, RETURN_TO, TAKEN, Confirm, log_out
from tillit_server.issuer.services import Services
from tillit_server.web.answering import Route
from tillit_server.web.cookies import Cookies
from tillit_server.web.pages import Pages, origin_source
from tillit_server.web.translate import body_parameters, query_parameters
from tillit_server.web.urls import END_SESSION_PATH

_FROM_HERE: Final = "from_here"
_LOCALES: Final = "ui_locales"


@dataclass(frozen=True, slots=True)
class LogoutDoor:
    """The end_session endpoint."""

    services: Services
    pages: Pages
    cookies: Cookies

    def routes(self) -> tuple[Route, ...]:
        """Method, path below the issuer's, and view."""
        return (
            ("GET", END_SESSION_PATH, self.end_session),
            ("POST", END_SESSION_PATH, self.end_session_by_form),
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
        from_here = parameters.pop(_FROM_HERE, None) is not None or CONFIRM in parameters
        if self._session() is None and not from_here:
            return self._press(parameters)
        return self._end(parameters)

    def _press(self, parameters: dict[str, str]) -> Response:
        """A button of our own.

        A browser keeps its cookies from a form of another site and brings them with ours. No redirect does
        that: the hint, which may hold who somebody is, would stand in its address.
        """
        outcome = log_out(Browser(parameters=parameters), self.services)  # judged, and nobody logged out
        kept: dict[str, str] = {name: parameters[name] for name in (*TAKEN, _LOCALES) if name in parameters}
        return self._form(
            {**kept, _FROM_HERE: "yes"},
            lead="log_out_press",
            ui_locales=parameters.get(_LOCALES, "").split(),
            address=outcome.redirect_uri if isinstance(outcome, SendBack) else None,
        )

    def _form(
        self,
        fields: Mapping[str, str],
        *,
        lead: str,
        ui_locales: list[str],
        address: str | None,
        client_name: str | None = None,
    ) -> Response:
        return self.pages.page(
            request,
            "log_out.html",
            ui_locales=ui_locales,
            # CSP holds the redirect after the form too.
            form_action=f"'self' {origin_source(address)}" if address else "'self'",
            client_name=client_name,
            lead=lead,
            action=self.pages.path + END_SESSION_PATH,
            fields=fields,
        )

    def _end(self, parameters: dict[str, str]) -> Response:
        outcome = log_out(Browser(parameters=parameters, session=self._session()), self.services)
        ui_locales = parameters.get(_LOCALES, "").split()
        if isinstance(outcome, Confirm):
            return self._form(
                outcome.parameters,
                lead="log_out_lead",
                ui_locales=ui_locales,
                address=outcome.parameters.get(RETURN_TO),
                client_name=outcome.client_name,
            )
        if isinstance(outcome, SendBack):
            response = self.pages.redirect(redirect_location(outcome.redirect_uri, outcome.parameters))
        else:
            response = self.pages.page(request, "logged_out.html", ui_locales=ui_locales)
        if self._session() is not None:
            # Only what was brought: a form of another site must not take away what it cannot see.
            self.cookies.remove(response, self.cookies.session)
        return response

    def _session(self) -> str | None:
        return self.cookies.read(request, self.cookies.session)
