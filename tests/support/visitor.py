"""A browser without a screen: keeps cookies, follows our redirects, fills in forms, and stops at the client's door."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import requests

from support.service import Service

ANAESTHETIST = "14857527039"


@dataclass
class Form:
    """A form of a page: where it goes, and the fields that are filled in already."""

    ident: str
    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self._open: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given.get("id", ""), given.get("method", "get"), given.get("action", "")))
        elif tag == "input" and self.forms and given.get("name"):
            if given.get("type") != "radio" or "checked" in given:
                self.forms[-1].fields[given["name"]] = given.get("value", "")
        elif tag == "a":
            self.links[given.get("id", "")] = given.get("href", "")
        if "id" in given:
            self._open = given["id"]
            self.texts.setdefault(self._open, "")

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.texts[self._open] += data

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 (the signature of the parser)
        self._open = None


@dataclass(frozen=True)
class Page:
    """A page of ours as it was shown. ``texts`` and ``links`` are by element id."""

    url: str
    status: int
    headers: Mapping[str, str]
    html: str
    forms: tuple[Form, ...]
    links: Mapping[str, str]
    texts: Mapping[str, str]

    @property
    def error(self) -> str:
        """The OAuth error code that the page shows."""
        return self.texts["error"].strip()

    def form(self, ident: str = "") -> Form:
        """The form of that id; without one the only form."""
        found = [form for form in self.forms if not ident or form.ident == ident]
        assert len(found) == 1, f"forms {[form.ident for form in self.forms]}: {self.html}"
        return found[0]


@dataclass(frozen=True)
class Returned:
    """The browser is sent away, to the client: ``location`` is where, ``parameters`` are what it brings."""

    location: str
    parameters: Mapping[str, str]

    @property
    def code(self) -> str:
        """The authorization code."""
        assert "code" in self.parameters, self.parameters
        return self.parameters["code"]

    @property
    def error(self) -> str | None:
        """The OAuth error, if there is one."""
        return self.parameters.get("error")


class Visitor:
    """One browser, which may have many tabs."""

    def __init__(self, service: Service, **headers: str) -> None:
        self.service = service
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update({"Accept-Language": "en", **headers})
        self.seen: list[requests.Response] = []

    def open(self, url: str) -> Page | Returned:
        """Go to an address of the service."""
        return self._follow(self._send("GET", url))

    def follow(self, page: Page, link: str) -> Page | Returned:
        """Click a link, named by its id."""
        return self.open(urljoin(page.url, page.links[link]))

    def submit(self, page: Page, ident: str = "", **fields: str) -> Page | Returned:
        """Press a button of a form; ``fields`` are what was chosen or typed, and the button itself."""
        form = page.form(ident)
        url = urljoin(page.url, form.action)
        if not self._ours(url):
            return Returned(url, {**form.fields, **fields})
        return self._follow(self._send(form.method.upper(), url, data={**form.fields, **fields}))

    def log_in(
        self, url: str, *, person: str = ANAESTHETIST, level: str = "level4", cancel: bool = False
    ) -> Returned:
        """From the client's link through the test provider and back to the client."""
        page = self.open(url)
        if isinstance(page, Page) and any(form.ident == "people" for form in page.forms):
            if cancel:
                page = self.submit(page, "leave", cancel="yes")
            else:
                page = self.submit(page, "other", number=person, level=level)
        if isinstance(page, Page):
            page = self.submit(page)
        assert isinstance(page, Returned), page
        return page

    def _send(self, method: str, url: str, **arguments: Any) -> requests.Response:
        answer = self.session.request(method, url, allow_redirects=False, timeout=10, **arguments)
        self.seen.append(answer)
        return answer

    def _follow(self, answer: requests.Response) -> Page | Returned:
        while answer.is_redirect:
            assert answer.status_code == 303, answer.status_code
            location = urljoin(answer.url, answer.headers["Location"])
            if not self._ours(location):
                return Returned(location, dict(parse_qsl(urlsplit(location).query, keep_blank_values=True)))
            answer = self._send("GET", location)
        reader = _Reader()
        reader.feed(answer.text)
        return Page(
            answer.url,
            answer.status_code,
            answer.headers,
            answer.text,
            tuple(reader.forms),
            reader.links,
            reader.texts,
        )

    def _ours(self, url: str) -> bool:
        return any(url == origin or url.startswith(origin + "/") for origin in self.service.origins)
