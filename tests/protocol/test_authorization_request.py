"""Authorization requests: what is read, what is refused, and with which code."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.json_values import COUNT, values
from tillit.protocol.authorization_request import AuthorizationRequest, read_authorization_request
from tillit.protocol.errors import OAuthError

CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
PERSON = "14857527039"
DETAIL = {"type": "nhn:tillitsrammeverk:parameters", "practitioner": {}}
MINIMAL: dict[str, Any] = {
    "client_id": "ehr",
    "response_type": "code",
    "redirect_uri": "https://ehr.example/cb?a=b",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
FULL: dict[str, Any] = MINIMAL | {
    "scope": "openid nhn:phr/read",
    "state": "s-._~" * 20,
    "nonce": "n" * 64,
    "response_mode": "form_post",
    "prompt": "login consent",
    "max_age": "3600",
    "acr_values": "Level4 idp:dev-idp",
    "login_hint": PERSON,
    "ui_locales": "nb-NO en",
    "dpop_jkt": JKT,
    "authorization_details": json.dumps([DETAIL]),
    "id_token_hint": "eyJ.eyJ.AAAA",
}
ANYTHING = st.sampled_from(sorted({*FULL, "resource", "request_uri", "display"}))


def request(**changes: Any) -> dict[str, Any]:
    """The full request with changes; ``...`` removes a parameter."""
    return {name: value for name, value in (FULL | changes).items() if value is not ...}


def refusal(parameters: dict[str, Any], **more: Any) -> OAuthError:
    with pytest.raises(OAuthError) as caught:
        read_authorization_request(parameters, **more)
    assert caught.value.status == 400
    return caught.value


def test_a_request_with_everything():
    """Each parameter arrives in its own form."""
    assert read_authorization_request(FULL, resources=["nhn:phr", "nhn:kj"]) == AuthorizationRequest(
        client_id="ehr",
        redirect_uri="https://ehr.example/cb?a=b",
        scope=("openid", "nhn:phr/read"),
        state="s-._~" * 20,
        nonce="n" * 64,
        code_challenge=CHALLENGE,
        response_mode="form_post",
        prompt=frozenset({"login", "consent"}),
        max_age=3600,
        acr_values=("Level4", "idp:dev-idp"),
        login_hint=PERSON,
        ui_locales=("nb-NO", "en"),
        resources=("nhn:phr", "nhn:kj"),
        dpop_jkt=JKT,
        details=(DETAIL,),
        id_token_hint="eyJ.eyJ.AAAA",
    )


def test_a_request_with_nothing_more_than_needed():
    """What is optional is None or empty, and the answer goes by query."""
    read = read_authorization_request(MINIMAL)
    assert (read.scope, read.state, read.nonce, read.response_mode) == ((), None, None, "query")
    assert (read.prompt, read.max_age, read.acr_values, read.login_hint) == (frozenset(), None, (), None)
    assert (read.resources, read.dpop_jkt, read.details, read.id_token_hint) == ((), None, None, None)


@pytest.mark.parametrize("parameters", [FULL, MINIMAL])
def test_a_request_comes_back_from_storage(parameters):
    """What is kept as JSON is read back as the same request."""
    read = read_authorization_request(parameters, resources=["nhn:phr"])
    assert AuthorizationRequest.from_json(json.loads(json.dumps(read.to_json()))) == read


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"request_uri": "urn:x"}, "invalid_request", "request_uri"),
        ({"response_type": ...}, "unsupported_response_type", "response_type"),
        ({"response_type": ""}, "unsupported_response_type", "response_type"),
        ({"response_type": "token"}, "unsupported_response_type", "response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type", "response_type"),
        ({"response_type": "CODE"}, "unsupported_response_type", "response_type"),
        ({"response_type": ["code"]}, "invalid_request", "response_type"),
        ({"client_id": ...}, "invalid_request", "client_id"),
        ({"client_id": 7}, "invalid_request", "client_id"),
        ({"client_id": "c" * 257}, "invalid_request", "client_id"),
        ({"redirect_uri": ...}, "invalid_request", "redirect_uri"),
        ({"redirect_uri": ""}, "invalid_request", "redirect_uri"),
        ({"redirect_uri": None}, "invalid_request", "redirect_uri"),
        ({"redirect_uri": "https://ehr.example/\r\nx"}, "invalid_request", "redirect_uri"),
        ({"redirect_uri": "u" * 2049}, "invalid_request", "redirect_uri"),
        ({"redirect_uri": "https://ehr.example/" + "a" * 1_000_000}, "invalid_request", "redirect_uri"),
        ({"scope": "a  b"}, "invalid_scope", "scope"),
        ({"scope": 'a"'}, "invalid_scope", "scope"),
        ({"scope": "å"}, "invalid_scope", "scope"),
        ({"scope": ["openid"]}, "invalid_request", "scope"),
        ({"state": "s" * 1025}, "invalid_request", "state"),
        ({"state": "a\nb"}, "invalid_request", "state"),
        ({"state": "a\u202eb"}, "invalid_request", "state"),
        ({"state": 7}, "invalid_request", "state"),
        ({"nonce": "n" * 513}, "invalid_request", "nonce"),
        ({"nonce": {"a": 1}}, "invalid_request", "nonce"),
        ({"code_challenge": ...}, "invalid_request", "code_challenge"),
        ({"code_challenge": ""}, "invalid_request", "code_challenge"),
        ({"code_challenge": ..., "code_challenge_method": ...}, "invalid_request", "code_challenge"),
        ({"code_challenge_method": ...}, "invalid_request", "code_challenge_method"),
        ({"code_challenge_method": "plain"}, "invalid_request", "code_challenge_method"),
        ({"code_challenge": "a" * 42}, "invalid_request", "code_challenge"),
        ({"response_mode": "fragment"}, "invalid_request", "response_mode"),
        ({"response_mode": "jwt"}, "invalid_request", "response_mode"),
        ({"response_mode": True}, "invalid_request", "response_mode"),
        ({"prompt": "none login"}, "invalid_request", "prompt"),
        ({"prompt": "create"}, "invalid_request", "prompt"),
        ({"prompt": "Login"}, "invalid_request", "prompt"),
        ({"max_age": "-1"}, "invalid_request", "max_age"),
        ({"max_age": "1.5"}, "invalid_request", "max_age"),
        ({"max_age": "١"}, "invalid_request", "max_age"),
        ({"max_age": "9" * 11}, "invalid_request", "max_age"),
        ({"max_age": -1}, "invalid_request", "max_age"),
        ({"max_age": True}, "invalid_request", "max_age"),
        ({"max_age": 1.0}, "invalid_request", "max_age"),
        ({"acr_values": ["Level4"]}, "invalid_request", "acr_values"),
        ({"acr_values": "a" * 1025}, "invalid_request", "acr_values"),
        ({"login_hint": "x\x00"}, "invalid_request", "login_hint"),
        ({"ui_locales": 1}, "invalid_request", "ui_locales"),
        ({"dpop_jkt": JKT[:-1]}, "invalid_request", "dpop_jkt"),
        ({"dpop_jkt": JKT + "A"}, "invalid_request", "dpop_jkt"),
        ({"dpop_jkt": JKT[:-1] + "J"}, "invalid_request", "dpop_jkt"),
        ({"dpop_jkt": [JKT]}, "invalid_request", "dpop_jkt"),
        ({"resource": "https://a.example/#f"}, "invalid_target", "resource"),
        ({"resource": "phr"}, "invalid_target", "resource"),
        ({"resource": "/phr"}, "invalid_target", "resource"),
        ({"resource": ["nhn:phr", 7]}, "invalid_target", "resource"),
        ({"resource": {"nhn:phr": 1}}, "invalid_target", "resource"),
        ({"resource": ["nhn:phr"] * 17}, "invalid_target", "resource"),
        ({"resource": "nhn:" + "a" * 509}, "invalid_target", "resource"),
        ({"authorization_details": "{"}, "invalid_authorization_details", "authorization_details"),
        ({"authorization_details": None}, "invalid_authorization_details", "authorization_details"),
        (
            {"authorization_details": {"type": "unknown"}},
            "invalid_authorization_details",
            "authorization_details.type",
        ),
        ({"id_token_hint": "e" * 8193}, "invalid_request", "id_token_hint"),
        ({"id_token_hint": ["e"]}, "invalid_request", "id_token_hint"),
    ],
)
def test_requests_that_are_refused(changes, code, pointer):
    """Each parameter that is missing or wrong is named, under the code that certification runs demand."""
    refused = refusal(request(**changes))
    assert (refused.code, refused.pointer) == (code, pointer)


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"state": "s" * 1000}, "state", "s" * 1000),
        ({"state": "s" * 1024}, "state", "s" * 1024),
        ({"nonce": "n" * 384}, "nonce", "n" * 384),
        ({"state": ..., "nonce": ""}, "nonce", None),
        ({"max_age": 0}, "max_age", 0),
        ({"max_age": "0"}, "max_age", 0),
        ({"max_age": "9999999999"}, "max_age", 10**9),
        ({"prompt": "none"}, "prompt", frozenset({"none"})),
        ({"prompt": ""}, "prompt", frozenset()),
        ({"acr_values": "1 2"}, "acr_values", ("1", "2")),
        ({"ui_locales": "se"}, "ui_locales", ("se",)),
        ({"ui_locales": "nb <script> en"}, "ui_locales", ("nb", "en")),
        ({"scope": "b a b"}, "scope", ("b", "a")),
        ({"resource": "https://a.example/x?y=1"}, "resources", ("https://a.example/x?y=1",)),
        ({"resource": ["nhn:b", "nhn:a", "nhn:b"]}, "resources", ("nhn:b", "nhn:a")),
        (
            {"resource": "norsk-helsenett:python-sample-api"},
            "resources",
            ("norsk-helsenett:python-sample-api",),
        ),
        ({"authorization_details": DETAIL}, "details", (DETAIL,)),
        ({"authorization_details": [DETAIL]}, "details", (DETAIL,)),
        ({"display": "page", "claims": "{}", "unknown": ["x"]}, "client_id", "ehr"),
    ],
)
def test_requests_that_are_accepted(changes, name, value):
    """Long values, request object forms, and parameters nobody knows."""
    assert getattr(read_authorization_request(request(**changes)), name) == value


def test_a_resource_of_the_request_object_takes_precedence():
    """The signed resource wins over those beside it."""
    read = read_authorization_request(request(resource=["nhn:signed"]), resources=["nhn:beside"])
    assert read.resources == ("nhn:signed",)


def test_pkce_may_be_left_out_where_the_caller_says_so():
    """Without the demand a request may have no challenge, but never half of one, nor plain."""
    without = request(code_challenge=..., code_challenge_method=...)
    assert read_authorization_request(without, require_pkce=False).code_challenge is None
    assert read_authorization_request(FULL, require_pkce=False).code_challenge == CHALLENGE
    for changes in (
        {"code_challenge": ...},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": ...},
    ):
        assert refusal(request(**changes), require_pkce=False).code == "invalid_request"


@pytest.mark.parametrize(
    "name", ["login_hint", "authorization_details", "state", "acr_values", "redirect_uri"]
)
def test_a_persons_number_is_never_repeated(name):
    """No refusal repeats what was sent, and the request's own representation hides the hint."""
    hidden = f"{PERSON}\x00" if name != "authorization_details" else f'"{PERSON}'
    refused = refusal(request(**{name: hidden}))
    assert PERSON not in f"{refused} {refused.body()} {refused.detail} {refused.found}"
    assert PERSON not in repr(read_authorization_request(FULL))


def taken(parameters: dict[str, Any], **more: Any) -> AuthorizationRequest | OAuthError:
    try:
        return read_authorization_request(parameters, **more)
    except OAuthError as refused:
        return refused


@COUNT
@given(ANYTHING, values, st.booleans())
def test_requests_survive_any_value(name, value, pkce):
    """A request with any JSON value in any parameter is read or refused with a code of ours."""
    read = taken(FULL | {name: value}, require_pkce=pkce)
    if isinstance(read, OAuthError):
        assert read.code in {
            "invalid_request",
            "unsupported_response_type",
            "invalid_scope",
            "invalid_target",
            "invalid_authorization_details",
        }
    else:
        assert AuthorizationRequest.from_json(json.loads(json.dumps(read.to_json()))) == read


@COUNT
@given(st.dictionaries(ANYTHING, st.text(max_size=50)))
def test_requests_survive_any_form(form):
    """Any form is read or refused with the parameter at fault."""
    read = taken(form, resources=list(form.values()))
    assert isinstance(read, AuthorizationRequest) or read.pointer
