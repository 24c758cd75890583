"""Authorization responses: what is sent back, and what a client believes."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.json_values import COUNT, values
from tillit.protocol.authorization_response import (
    check_authorization_response,
    redirect_location,
    response_parameters,
)
from tillit.protocol.errors import OAuthError, Rejected

ISSUER = "https://as.example.no/tenant"
STATE = "af0ifjsldkj-._~" * 8
REGISTERED = "https://ehr.example/cb?dummy1=lorem&dummy2=ipsum"
GOOD = {"code": "SplxlOBeZQQYbYS6WxSbIA", "state": STATE, "iss": ISSUER}


def check(parameters: Any, **more: Any) -> str:
    return check_authorization_response(parameters, **({"issuer": ISSUER, "state": STATE} | more))


def test_a_code_goes_back_with_state_and_issuer():
    """A code, the state untouched, the issuer, and nothing else."""
    assert response_parameters(issuer=ISSUER, state=STATE, code=GOOD["code"]) == GOOD
    assert response_parameters(issuer=ISSUER, state=None, code="x") == {"code": "x", "iss": ISSUER}


def test_an_error_goes_back_with_state_and_issuer():
    """An error tells its code and description and where it comes from."""
    answer = response_parameters(
        issuer=ISSUER, state="s", error=OAuthError("access_denied", 'no "thanks"\r\n', detail="secret")
    )
    assert answer == {
        "error": "access_denied",
        "error_description": "no 'thanks'??",
        "state": "s",
        "iss": ISSUER,
    }


@pytest.mark.parametrize("given_answer", [{}, {"code": "x", "error": OAuthError("access_denied", "no")}])
def test_a_response_is_one_of_two(given_answer):
    """A code and an error together, or neither, is our own mistake."""
    with pytest.raises(ValueError, match="code or an error"):
        response_parameters(issuer=ISSUER, state=None, **given_answer)


@pytest.mark.parametrize(
    ("registered", "location"),
    [
        ("https://ehr.example/cb", "https://ehr.example/cb?code=a%20b%2B%26&iss=x"),
        ("https://ehr.example/cb?a=b", "https://ehr.example/cb?a=b&code=a%20b%2B%26&iss=x"),
        ("https://ehr.example/cb?", "https://ehr.example/cb?code=a%20b%2B%26&iss=x"),
        ("https://ehr.example/cb?a&", "https://ehr.example/cb?a&code=a%20b%2B%26&iss=x"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000?code=a%20b%2B%26&iss=x"),
        ("no.ehr.app:/cb", "no.ehr.app:/cb?code=a%20b%2B%26&iss=x"),
    ],
)
def test_the_registered_query_is_kept(registered, location):
    """Our parameters follow those the redirect URI was registered with."""
    assert redirect_location(registered, {"code": "a b+&", "iss": "x"}) == location


@pytest.mark.parametrize(
    "registered",
    ["", "https://ehr.example/#f", "https://ehr.example/\r\nSet-Cookie: a=b", "https://ø.no/", "a b"],
)
def test_addresses_that_are_never_redirected_to(registered):
    """No fragment, and no character that could end a header."""
    with pytest.raises(ValueError, match="redirect URI"):
        redirect_location(registered, GOOD)


def test_what_we_send_is_what_we_take():
    """Over the redirect the code arrives; parameters of others do not disturb."""
    location = redirect_location(REGISTERED, {**GOOD, "session_state": "x", "scope": "openid"})
    assert location.startswith(REGISTERED + "&")
    assert check(parse_qsl(urlsplit(location).query)) == GOOD["code"]
    assert check(GOOD) == GOOD["code"]
    assert check({"code": "x", "iss": ISSUER}, state=None) == "x"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"iss": ...}, "iss"),
        ({"iss": "https://as.example.no/tenant/"}, "iss"),
        ({"iss": "https://AS.example.no/tenant"}, "iss"),
        ({"iss": "https://other.example"}, "iss"),
        ({"iss": "https://other.example", "error": "access_denied", "code": ...}, "iss"),
        ({"state": ...}, "state"),
        ({"state": ""}, "state"),
        ({"state": STATE + "x"}, "state"),
        ({"state": STATE.upper()}, "state"),
        ({"state": "x", "error": "access_denied", "code": ...}, "state"),
        ({"state": "\ud800"}, "state"),
        ({"code": ...}, "code"),
        ({"code": ""}, "code"),
        ({"code": "ø"}, "code"),
        ({"code": "c" * 2049}, "code"),
        ({"code": 7}, "code"),
        ({"error": "access_denied"}, "error"),
        ({"error": "", "code": ...}, "error"),
        ({"error": 'a"', "code": ...}, "error"),
        ({"error": "e" * 101, "code": ...}, "error"),
    ],
)
def test_p9_answers_that_are_not_believed(changes, pointer):
    """An answer of another issuer or to another login is rejected, an error too; what is missing is called so."""
    with pytest.raises(Rejected) as caught:
        check({name: value for name, value in (GOOD | changes).items() if value is not ...})
    assert caught.value.pointer == pointer
    assert (caught.value.reason == "missing") == (changes.get(pointer) is ...)
    assert STATE not in str(caught.value)


@pytest.mark.parametrize("name", ["code", "state", "iss", "error"])
def test_p5_a_parameter_twice(name):
    """No parameter of the answer may come twice, even with the same value."""
    with pytest.raises(Rejected, match="twice"):
        check([*GOOD.items(), (name, GOOD.get(name, "x")), (name, GOOD.get(name, "x"))])


def test_a_state_that_was_never_sent():
    """Without a state in the request none may come back."""
    with pytest.raises(Rejected, match="state"):
        check(GOOD, state=None)


def test_an_error_is_raised_as_what_it_is():
    """The error of the issuer reaches the caller with its description."""
    with pytest.raises(OAuthError) as caught:
        check({"error": "access_denied", "error_description": "HID-X: no", "state": STATE, "iss": ISSUER})
    assert (caught.value.code, caught.value.description) == ("access_denied", "HID-X: no")


@COUNT
@given(st.text(min_size=1), st.text(min_size=1))
def test_state_survives_the_redirect(state, code):
    """Any state comes back as it was, and no answer adds a parameter or a fragment."""
    location = redirect_location(REGISTERED, response_parameters(issuer=ISSUER, state=state, code=code))
    pairs = parse_qsl(urlsplit(location).query, keep_blank_values=True)
    assert pairs[2:] == [("code", code), ("state", state), ("iss", ISSUER)]
    assert "#" not in location


def outcome(parameters: Any) -> str | Rejected | OAuthError:
    try:
        return check(parameters)
    except (Rejected, OAuthError) as refusal:
        return refusal


@COUNT
@given(st.lists(st.tuples(st.sampled_from([*GOOD, "error", "error_description", "x"]), st.text() | values)))
def test_answers_survive_anything(pairs):
    """Any list of parameters is a code, an error of the issuer, or Rejected."""
    for parameters in (pairs, dict(pairs), GOOD | dict(pairs)):
        assert str(outcome(parameters))
