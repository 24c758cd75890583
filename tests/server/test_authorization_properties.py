"""Whatever a request holds, it is taken or refused in good order, and what was taken is kept to the letter."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.intakes import REQUEST, claims, header
from support.json_values import values
from support.login import LoginEhr, Reception
from support.service import PHR
from support.tokens import compact
from tillit.protocol.authorization_response import redirect_location, response_parameters
from tillit_server.issuer.login.asked import Asked
from tillit_server.issuer.login.authorization_steps import AUTHORIZATION_STEPS, asked_of
from tillit_server.issuer.login.browser import Browser
from tillit_server.issuer.login.front_channel import FrontChannelFacts
from tillit_server.issuer.steps import Refused, run

NAMES = (
    "acr_values",
    "authorization_details",
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "dpop_jkt",
    "id_token_hint",
    "login_hint",
    "max_age",
    "nonce",
    "prompt",
    "redirect_uri",
    "request",
    "request_uri",
    "resource",
    "response_mode",
    "response_type",
    "scope",
    "state",
    "ui_locales",
)
CODES = {
    "invalid_request",
    "invalid_request_object",
    "invalid_scope",
    "invalid_target",
    "invalid_authorization_details",
    "unsupported_response_type",
    "access_denied",
}
QUIET = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module", params=["fapi2", "helseid", "legacy"])
def ehr(request: pytest.FixtureRequest, reception: Reception) -> LoginEhr:
    """A client of each profile."""
    return reception.client(profile=request.param)


def judged(reception: Reception, ehr: LoginEhr, form: dict[str, str], resources: tuple[str, ...] = ()) -> Any:
    """What the steps make of a request, and a look at every refusal."""
    facts = FrontChannelFacts(
        reception.registered(ehr), Browser(form, resources), reception.services, ehr.service.now()
    )
    try:
        return asked_of(run(AUTHORIZATION_STEPS, facts))
    except Refused as refusal:
        error = refusal.error
        assert error.code in CODES
        assert error.status == 400
        assert len(error.description) < 500
        return None


@QUIET
@given(changes=st.dictionaries(st.sampled_from(NAMES), st.text(max_size=40), max_size=4), data=st.data())
def test_parameters_of_any_kind_are_taken_or_refused(
    changes: dict[str, str], data: st.DataObject, reception: Reception, ehr: LoginEhr
):
    """No text in any parameter is an error of ours; what is taken can be kept, and sent back unchanged."""
    resources = tuple(data.draw(st.lists(st.text(max_size=20), max_size=3)))
    form = {"client_id": ehr.client_id, **ehr.parameters(scope=f"openid {PHR}"), **changes}
    asked = judged(reception, ehr, form, resources)
    if asked is None:
        return
    assert Asked.from_json(asked.to_json()) == asked
    assert asked.request.state == (form.get("state") or None)
    assert asked.request.redirect_uri == ehr.redirect_uri
    back = response_parameters(issuer=ehr.service.issuer, state=asked.request.state, code="c")
    assert redirect_location(asked.request.redirect_uri, back).startswith(ehr.redirect_uri + "?")


@QUIET
@given(changes=st.dictionaries(st.sampled_from((*NAMES, "iat", "nbf", "jti", "sub")), values, max_size=3))
def test_claims_of_any_kind_are_taken_or_refused(
    changes: dict[str, Any], reception: Reception, ehr: LoginEhr
):
    """No JSON value of any claim of a signed request is an error of ours."""
    token = compact(header(REQUEST, ehr), claims(REQUEST, ehr, **changes), ehr.key)
    asked = judged(reception, ehr, {"client_id": ehr.client_id, "request": token})
    if asked is not None:
        assert Asked.from_json(asked.to_json()) == asked
