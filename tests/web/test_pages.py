"""What every answer to a browser has: headers, cookies, languages, and a code on error pages."""

import re
from typing import Any

import pytest
from flask import Flask, Request, Response
from werkzeug.test import EnvironBuilder

from support.relying_party import authorize_url
from support.visitor import ANAESTHETIST, Page, Returned, Visitor
from tillit_server.web.cookies import cookies_of
from tillit_server.web.pages import Pages, origin_source
from tillit_server.web.texts import TEXTS, language_of


def every_answer(house: Any) -> list[Any]:
    """The answers of a browser that goes everywhere."""
    visitor = Visitor(house.service)
    client = house.client
    page = visitor.open(authorize_url(client, client.request_uri()))
    assert isinstance(page, Page)
    test_page = visitor.follow(page, "idp-test")
    assert isinstance(test_page, Page)
    visitor.submit(test_page, "other", number="1")
    visitor.submit(test_page, "people", person=ANAESTHETIST)
    form = visitor.open(authorize_url(client, client.request_uri(response_mode="form_post")))
    assert isinstance(form, Page)
    visitor.open(house.service.issuer + "/connect/authorize?client_id=x")
    visitor.open(house.service.issuer + "/connect/login?interaction=x")
    visitor.open(house.service.issuer + "/connect/login/cancel?interaction=x")
    visitor.open(house.service.issuer + "/connect/login/callback?state=x")
    visitor.open(house.service.issuer + "/test-provider/authorize?request_uri=x&client_id=tillit")
    house.standin.away = True
    other = visitor.open(authorize_url(client, client.request_uri(acr_values="idp:standin", prompt="login")))
    assert isinstance(other, Page)
    return visitor.seen


def test_p11_every_answer_has_its_headers(house: Any) -> None:
    """No page may be framed, kept, or sniffed at, and none runs a script; redirects are 303."""
    answers = every_answer(house)
    assert {answer.status_code for answer in answers} == {200, 303, 400, 503}
    for answer in answers:
        assert answer.headers["Cache-Control"] == "no-store", answer.url
        assert answer.headers["Referrer-Policy"] == "no-referrer", answer.url
        assert answer.headers["X-Content-Type-Options"] == "nosniff", answer.url
        assert answer.headers["X-Frame-Options"] == "DENY", answer.url
        if answer.status_code != 303:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "base-uri 'none'" in policy
            assert "form-action " in policy
            assert "unsafe" not in policy
            assert "script-src" not in policy


def test_p11_pages_hold_nothing_that_runs(house: Any) -> None:
    """No script, no style in the page, no handler, nothing from elsewhere."""
    for answer in every_answer(house):
        assert not re.search(r"<script|<style|\son[a-z]+=|\sstyle=|javascript:|<iframe|<object", answer.text)
        assert not re.search(r"(?:src|href)=\"(?:https?:)?//", answer.text)


def test_assets_are_served(house: Any) -> None:
    """The style sheet and the icon come from us and may be kept."""
    for path, kind in (("/connect/tillit.css", "text/css"), ("/connect/tillit.svg", "image/svg+xml")):
        answer = Visitor(house.service)._send("GET", house.service.issuer + path)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith(kind)
        assert "max-age" in answer.headers["Cache-Control"]


def test_an_error_page_tells_code_and_id(house: Any) -> None:
    """The code is in the element `error`, and the id is the one of the header and of the log."""
    page = Visitor(house.service).open(house.service.issuer + "/connect/authorize?client_id=nobody")
    assert isinstance(page, Page)
    assert page.status == 400
    assert page.error == "invalid_request"
    assert page.texts["error-id"] == page.headers["Error-Id"]
    assert page.texts["error-id"] in house.service.log()


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "invalid_request"),
        ("client_id=a&client_id=b", "invalid_request"),
        ("client_id=%zz", "invalid_request"),
        ("client_id=%ff", "invalid_request"),
        ("client_id=%00", "invalid_request"),
        ("&".join(f"p{number}=1" for number in range(60)), "invalid_request"),
    ],
)
def test_p5_an_unclear_query_is_a_page(house: Any, query: str, code: str) -> None:
    """A parameter given twice, and what cannot be read, is an error page and never a redirect."""
    page = Visitor(house.service).open(f"{house.service.issuer}/connect/authorize?{query}")
    assert isinstance(page, Page)
    assert (page.status, page.error) == (400, code)


def test_p5_a_parameter_in_form_and_query(house: Any) -> None:
    """A form that is sent to an address with a query is refused."""
    answer = Visitor(house.service)._send(
        "POST", house.service.issuer + "/connect/authorize?client_id=a", data={"client_id": "a"}
    )
    assert answer.status_code == 400


def test_cookies_on_loopback(house: Any) -> None:
    """Development on http has cookies without the prefix, HttpOnly and SameSite=Lax all the same."""
    visitor = Visitor(house.service)
    visitor.open(authorize_url(house.client, house.client.request_uri()))
    written = visitor.seen[-1].headers["Set-Cookie"]
    assert re.fullmatch(r"tillit-login=[\w-]{43}; HttpOnly; Path=/; SameSite=Lax", written)


def test_cookies_of_an_https_issuer() -> None:
    """An issuer with https has the prefix that no other host can set, and Secure."""
    cookies = cookies_of("https://tillit.example/issuer")
    response = Response()
    cookies.write(response, cookies.session, "A" * 43)
    assert response.headers["Set-Cookie"] == (
        f"__Host-tillit-session={'A' * 43}; Secure; HttpOnly; Path=/; SameSite=Lax"
    )
    cookies.remove(response, cookies.binding)
    removal = response.headers.getlist("Set-Cookie")[1]
    assert removal.startswith("__Host-tillit-login=; Expires=Thu, 01 Jan 1970")
    assert "Secure; HttpOnly; Path=/; SameSite=Lax" in removal


@pytest.mark.parametrize(
    "value", ["", "short", "A" * 129, "A" * 20 + "é", "A" * 20 + " b", '"' + "A" * 20 + '"']
)
def test_what_is_no_cookie_of_ours(value: str) -> None:
    """A cookie value of another form counts as no cookie."""
    cookies = cookies_of("http://127.0.0.1")
    request = Request(EnvironBuilder(headers={"Cookie": f"tillit-session={value}"}).get_environ())
    assert cookies.read(request, cookies.session) is None or cookies.read(
        request, cookies.session
    ) == value.strip('"')


def test_hsts_for_https_only() -> None:
    """Strict-Transport-Security comes with every page of an https issuer, and with none of development."""
    with Flask("test").test_request_context("/"):
        for issuer, expected in (
            ("https://tillit.example", "max-age=31536000"),
            ("http://127.0.0.1:1", None),
        ):
            assert Pages(issuer).redirect("/x").headers.get("Strict-Transport-Security") == expected


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://ehr.example/callback?x=1", "https://ehr.example"),
        ("http://127.0.0.1:8123/cb", "http://127.0.0.1:8123"),
        ("http://[::1]:8123/cb", "http:"),
        ("no.example.app:/cb", "no.example.app:"),
    ],
)
def test_the_source_of_a_redirect_uri(url: str, source: str) -> None:
    """What a page's form may lead to is said as narrowly as CSP can say it."""
    assert origin_source(url) == source


@pytest.mark.parametrize(
    ("locales", "accepted", "language"),
    [
        ((), (), "nb"),
        ((), ("en-GB", "nb"), "en"),
        ((), ("fr", "de"), "nb"),
        ((), ("nn-NO",), "nb"),
        (("nb",), ("en",), "nb"),
        (("fr", "en-US"), ("nb",), "en"),
        ((), ("*",), "nb"),
    ],
)
def test_languages(locales: tuple[str, ...], accepted: tuple[str, ...], language: str) -> None:
    """The client's wish stands before the browser's, and bokmål before a language we do not have."""
    assert language_of(locales, accepted) == language


def test_both_languages_say_everything() -> None:
    """No text is missing in either language."""
    assert set(TEXTS["nb"]) == set(TEXTS["en"])


@pytest.mark.parametrize(("header", "language"), [("nb-NO,nb;q=0.9", "nb"), ("en-US,en;q=0.5", "en")])
def test_pages_speak_the_readers_language(house: Any, header: str, language: str) -> None:
    """Accept-Language decides, and the page says which language it is in."""
    page = Visitor(house.service, **{"Accept-Language": header}).open(
        house.service.issuer + "/connect/authorize"
    )
    assert isinstance(page, Page)
    assert f'<html lang="{language}">' in page.html
    assert page.headers["Content-Language"] == language
    assert TEXTS[language]["error_title"] in page.html


def test_form_post_brings_the_answer_in_a_form(house: Any) -> None:
    """With response_mode=form_post the answer is a form with a button, and only the client may receive it."""
    visitor = Visitor(house.service)
    house.standin.claims.clear()
    page = visitor.open(
        authorize_url(
            house.client, house.client.request_uri(prompt="none", response_mode="form_post", state='"><b>')
        )
    )
    assert isinstance(page, Page)
    form = page.form()
    assert form.method == "post"
    assert form.action == house.client.redirect_uri
    assert form.fields["error"] == "login_required"
    assert form.fields["state"] == '"><b>'
    assert form.fields["iss"] == house.service.issuer
    assert "form-action https://ehr.example" in page.headers["Content-Security-Policy"]
    assert isinstance(visitor.submit(page), Returned)
