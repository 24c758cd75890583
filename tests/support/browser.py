"""A real browser: Debian's Chromium, driven by Playwright; and a client's own address for it to come back to."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NO_BROWSER = "no browser here"
PATIENCE = 30
"""Seconds, for a machine that has much to do."""
OWN = Path(__file__).parents[2] / ".cache" / "chromium" / "chromium"
ARGUMENTS = (
    "--no-sandbox",  # as root there is none; it only ever sees pages of ours, on loopback
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def chromium_path() -> str | None:
    """Where Chromium is, if it is here: named by CHROMIUM, installed, or got by `make browser`."""
    named = os.environ.get("CHROMIUM")
    if named:
        return named if Path(named).exists() else None
    return shutil.which("chromium") or (str(OWN) if OWN.exists() else None)


@contextmanager
def chromium() -> Iterator["Browser"]:
    """A running Chromium without a window; without one the test is skipped, and counted at the end."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip(f"{NO_BROWSER}: playwright is not installed")
    path = chromium_path()
    if path is None:
        pytest.skip(f"{NO_BROWSER}: chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


_FORM = """fields => {
  const form = document.createElement("form");
  form.method = "post";
  form.action = fields.action;
  for (const name of Object.keys(fields)) {
    if (name === "action") continue;
    const input = document.createElement("input");
    input.name = name;
    input.value = fields[name];
    form.append(input);
  }
  document.body.append(form);
  form.submit();
}"""


class Tab:
    """A window of a browser of its own, with everything it did: addresses, answers, complaints."""

    def __init__(self, browser: "Browser", **context: Any) -> None:
        self.context = browser.new_context(**{"locale": "nb-NO", **context})
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self.answers: list[Any] = []
        self.page = self.another()

    def another(self) -> "Page":
        """Another tab of the same browser."""
        page = self.context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requested.append(request.url))
        page.on("response", lambda answer: self.answers.append(answer))  # noqa: PLW0108 (a built-in will not do)
        return page

    def send_form(self, fields: dict[str, str]) -> None:
        """Send a form by POST from the page that is shown; its ``action`` is one of the fields."""
        self.page.evaluate(_FORM, fields)

    def cookies(self) -> dict[str, dict[str, Any]]:
        """The cookies by name."""
        return {cookie["name"]: dict(cookie) for cookie in self.context.cookies()}

    def close(self) -> None:
        """Close the window."""
        self.context.close()


class ClientDoor:
    """A client's redirect URI on a port of its own: takes what browsers bring, by GET or POST."""

    def __init__(self) -> None:
        door = self
        self.brought: list[dict[str, str]] = []
        self.methods: list[str] = []
        self._news = threading.Condition()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._take("GET", urlsplit(self.path).query)

            def do_POST(self) -> None:
                self._take("POST", self.rfile.read(int(self.headers["Content-Length"])).decode())

            def _take(self, method: str, text: str) -> None:
                body = b'<!doctype html><html lang="en"><title>client</title><link rel="icon" href="data:,"><h1 id="client">client</h1>'
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                if urlsplit(self.path).path == "/callback":
                    door.take(method, dict(parse_qsl(text, keep_blank_values=True)))

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.redirect_uri = f"http://127.0.0.1:{self._server.server_address[1]}/callback"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def take(self, method: str, parameters: dict[str, str]) -> None:
        """A browser has come."""
        with self._news:
            self.methods.append(method)
            self.brought.append(parameters)
            self._news.notify_all()

    def next(self, act: Callable[[], Any]) -> dict[str, str]:
        """What the browser brings after ``act``."""
        before = len(self.brought)
        act()
        with self._news:
            assert self._news.wait_for(lambda: len(self.brought) > before, timeout=PATIENCE), (
                "nobody came back"
            )
            return self.brought[-1]

    def close(self) -> None:
        """Close the door."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
