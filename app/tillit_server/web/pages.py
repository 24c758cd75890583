"""HTML pages, and the headers that every one of them has (threats P10, P11).

No page has a script, and none shows anything that was not escaped.
"""

from collections.abc import Iterable
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Request, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from tillit_server.web.texts import TEST_MARKS, TEXTS, language_of
from tillit_server.web.urls import ICON_PATH, STYLE_PATH

HTML: Final = "text/html; charset=utf-8"
ASSETS: Final = {
    STYLE_PATH: ("tillit.css", "text/css; charset=utf-8"),
    ICON_PATH: ("tillit.svg", "image/svg+xml"),
}

SEE_OTHER: Final = 303


class Pages:
    """The pages of one issuer, in the language of whoever asks. ``path``: the path of the issuer."""

    def __init__(self, issuer: str) -> None:
        parts = urlsplit(issuer)
        self.path = parts.path.rstrip("/")
        self._https = parts.scheme == "https"
        self._templates = Environment(
            loader=PackageLoader("tillit_server.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def page(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        ui_locales: Iterable[str] = (),
        form_action: str = "'none'",
        **values: Any,
    ) -> Response:
        """A page. ``form_action``: where its forms may lead, redirects included, as CSP sources."""
        language = language_of(ui_locales, request.accept_languages.values())
        html = self._templates.get_template(template).render(
            language=language,
            t=TEXTS[language],
            test_marks=TEST_MARKS,
            style=self.path + STYLE_PATH,
            icon=self.path + ICON_PATH,
            **values,
        )
        response = Response(html, status, content_type=HTML)
        response.headers["Content-Language"] = language
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
            f"frame-ancestors 'none'; form-action {form_action}"
        )
        return self.harden(response)

    def redirect(self, location: str) -> Response:
        """On to ``location`` by GET, whatever the method was (RFC 9700 §4.12)."""
        return self.harden(Response(status=SEE_OTHER, headers={"Location": location}))

    def asset(self, url: str) -> Response:
        """The style sheet or the icon."""
        name, media_type = ASSETS[url]
        body = files("tillit_server.web").joinpath("templates", name).read_bytes()
        response = self.harden(Response(body, content_type=media_type))
        response.headers["Cache-Control"] = "public, max-age=86400"
        return response

    def harden(self, response: Response) -> Response:
        """Give ``response`` what every answer to a browser has."""
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        if self._https:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        return response


def origin_source(url: str) -> str:
    """The origin of ``url`` as a CSP source; its scheme where CSP cannot write the host (IPv6, apps)."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or ":" in parts.hostname:
        return f"{parts.scheme}:"
    return f"{parts.scheme}://{parts.netloc}"
