"""HTML pages, and the headers that every one of them has (threats P10, P11).

No page has a script, and none shows anything that was not escaped.
"""

from collections.abc import Iterable
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from werkzeug import Request

from tillit_server.issuer.answers import ERROR_ID_HEADER, Answer
from tillit_server.web.answering import tell_code
from tillit_server.web.texts import TEST_MARKS, TEXTS, language_of
from tillit_server.web.urls import ICON_PATH, STYLE_PATH

HTML: Final = "text/html; charset=utf-8"
ASSETS: Final = {
    STYLE_PATH: ("tillit.css", "text/css; charset=utf-8"),
    ICON_PATH: ("tillit.svg", "image/svg+xml"),
}

SEE_OTHER: Final = 303
_LIMITED: Final = 429
_SHOWN: Final = frozenset({405, 413, _LIMITED})
_OURS: Final = 500
_PASSED_ON: Final = (ERROR_ID_HEADER, "Retry-After", "Allow")


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

    def error(self, request: Request, answer: Answer, *, title: str) -> Response:
        """A refusal to a person: its code, what it means, and the id that leads to the log.

        ``title``: the name of the text that says what cannot go on. Whatever a browser would make something
        else of (401, a login of its own) is 400.
        """
        tell_code(request.environ, answer)
        headers = dict(answer.headers)
        response = self.page(
            request,
            "error.html",
            status=answer.status if answer.status >= _OURS or answer.status in _SHOWN else 400,
            title="limited_title" if answer.status == _LIMITED else title,
            wait=headers.get("Retry-After") if answer.status == _LIMITED else None,
            error=answer.body["error"],
            description=answer.body.get("error_description", ""),
            error_id=headers[ERROR_ID_HEADER],
        )
        response.headers.update({name: headers[name] for name in _PASSED_ON if name in headers})
        return response

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
