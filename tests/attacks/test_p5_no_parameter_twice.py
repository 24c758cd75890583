"""P5: a parameter that is given twice is refused, at the push and at the authorization endpoint."""

import secrets
from urllib.parse import urlencode

import pytest

from support.login import LoginEhr, Reception
from support.relying_party import authorize_url
from support.visitor import Page, Visitor
from support.wire import FORM


@pytest.fixture(scope="module")
def ehr(reception: Reception) -> LoginEhr:
    """A client whose users log in."""
    return reception.client()


def test_p5_no_parameter_twice_at_the_push(ehr: LoginEhr):
    """Every parameter, equal or not, known or not, with or without a value: 400, and nothing was spent."""
    form = ehr.pushed_form(unknown="1", prompt="login", max_age="5")
    for name in form:
        for second in (form[name], secrets.token_urlsafe(8), ""):
            answer = ehr.send([*form.items(), (name, second)], None, url=ehr.par)
            assert (answer.status, answer.error) == (400, "invalid_request"), name
    assert ehr.send(form, None, url=ehr.par).status == 201


def test_p5_resource_alone_may_repeat(reception: Reception):
    """One ``resource`` for each API of the scopes (RFC 8707); twice the same counts once."""
    ehr = reception.client()
    form = ehr.pushed_form(scope="openid nhn:phr/mhd/read-document example:ward/list")
    both = [("resource", "nhn:phr"), ("resource", "example:ward"), ("resource", "nhn:phr")]
    assert ehr.send([*form.items(), *both], None, url=ehr.par).status == 201


def test_p5_no_parameter_twice_in_a_request_object(ehr: LoginEhr):
    """What is signed twice is refused as well, and so is a form that names the object twice."""
    form = ehr.signed_form(ehr.request_object())
    answer = ehr.send([*form.items(), ("request", ehr.request_object())], None, url=ehr.par)
    assert (answer.status, answer.error) == (400, "invalid_request")


@pytest.mark.parametrize("name", ["client_id", "request_uri", "state", "unknown"])
def test_p5_no_parameter_twice_at_the_authorization_endpoint(name: str, ehr: LoginEhr):
    """In the query or in the form, equal or not: an error page of our own, and the link is good afterwards."""
    uri = ehr.request_uri()
    parameters = {"client_id": ehr.client_id, "request_uri": uri, "state": "s", "unknown": "u"}
    visitor = Visitor(ehr.service)
    for second in (parameters[name], "another", ""):
        twice = urlencode([*parameters.items(), (name, second)])
        url = f"{ehr.service.issuer}/connect/authorize"
        by_get = visitor.open(f"{url}?{twice}")
        by_form = visitor.session.post(
            url, data=twice, headers={"Content-Type": FORM}, allow_redirects=False, timeout=10
        )
        assert isinstance(by_get, Page)
        assert (by_get.status, by_get.error) == (400, "invalid_request"), second
        assert by_form.status_code == 400, second
    assert visitor.log_in(authorize_url(ehr, uri)).code


def test_p5_query_and_form_are_not_put_together(ehr: LoginEhr):
    """A parameter in the query of a form's address makes the form ambiguous: refused."""
    parameters = {"client_id": ehr.client_id, "request_uri": ehr.request_uri()}
    url = f"{ehr.service.issuer}/connect/authorize?client_id={ehr.client_id}"
    answer = Visitor(ehr.service).session.post(url, data=parameters, allow_redirects=False, timeout=10)
    assert answer.status_code == 400
    answer = ehr.send(ehr.pushed_form(), None, url=f"{ehr.par}?client_id={ehr.client_id}")
    assert (answer.status, answer.error) == (400, "invalid_request")
