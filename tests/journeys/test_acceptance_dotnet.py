"""What the .NET clients of the field send beside the acceptance list: chapters 3 and 11.3 of the national service's profile."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from support.backstage import ATTESTATION_SCOPE, WARD_LIST, Backstage
from support.ehr import ORGNR, attestation
from support.foreign_clients import claims_of, registered
from support.foreign_logins import LOGIN, ForeignBrowser, LoginClient
from support.service import PHR

UNNAMED = attestation(practitioner__identifier=...)
SCOPE = f"openid profile offline_access {WARD_LIST}"
UNIT, OTHER_UNIT = "311540025", "310000027"
CLAIM = "helseid://claims/client/claims/"

pytestmark = pytest.mark.xdist_group("journeys")


@pytest.fixture(scope="module")
def client(backstage: Backstage) -> LoginClient:
    """A web application of the ``helseid`` profile that may name two units."""
    return registered(LoginClient, backstage, profile="helseid", **LOGIN | {"children": [UNIT, OTHER_UNIT]})


def unit(number: str) -> dict[str, Any]:
    """The structure with which a single-tenant client names a unit."""
    identifier = {"system": ORGNR, "type": "ENH", "value": number}
    return {
        "type": "helseid_authorization",
        "practitioner_role": {"organization": {"identifier": identifier}},
    }


def test_the_answer_may_come_by_form(client: LoginClient):
    """ASP.NET asks for ``form_post``: the browser brings code, state and issuer in a form that goes to the client."""
    pushed = client.push(client.parameters(SCOPE, response_mode="form_post"))
    back = ForeignBrowser().open(client.address(pushed), client.redirect_uri)
    assert client.redeem(client.came_back(back)).status == 200


def test_the_key_of_the_tokens_may_be_named_when_pushing(client: LoginClient):
    """With ``dpop_jkt`` the code is good with that key, and with another key it is not."""
    code = client.logged_in(SCOPE, dpop_jkt=client.key.thumbprint)
    assert claims_of(client.redeem(code))["cnf"] == {"jkt": client.key.thumbprint}
    other = client.logged_in(SCOPE, dpop_jkt="0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I")
    answer = client.redeem(other)
    assert (answer.status, answer.error) == (400, "invalid_dpop_proof")


@pytest.mark.parametrize(
    ("values", "level", "served"),
    [
        ("Level4", "level4", True),
        ("Level4", "level3", False),
        ("Level3 Level4", "level3", True),
        ("High", "level3", False),
        ("Substantial", "level3", True),
        ("Level4 amr:bankid bp:amr:sc", "level4", True),
    ],
)
def test_levels_are_asked_for_in_the_words_of_the_field(
    values: str, level: str, served: bool, client: LoginClient
):
    """The level may have either name, several may be given, and what is meant for other providers is overlooked."""
    pushed = client.push(client.parameters(SCOPE, acr_values=values))
    back = ForeignBrowser(level=level).open(client.address(pushed), client.redirect_uri)
    said = parse_qs(urlsplit(back).query)
    assert ("code" in said) is served
    assert (said.get("error") is None) is served
    assert said["iss"] == [client.metadata["issuer"]]


def test_a_named_provider_is_gone_to_at_once(client: LoginClient):
    """``idp:`` with a name leads to that provider, without a choice."""
    name = client.providers()[0]
    pushed = client.push(client.parameters(SCOPE, acr_values=f"Level4 idp:{name}"))
    assert client.came_back(ForeignBrowser().open(client.address(pushed), client.redirect_uri))


def test_the_unit_is_chosen_anew_with_each_refresh(client: LoginClient):
    """An organisation in the assertion of a refresh is in that token; so nobody logs in again to change places."""
    first = client.redeem(client.logged_in(SCOPE), details=unit(UNIT))
    assert claims_of(first)[CLAIM + "orgnr_child"] == UNIT
    second = client.refresh(first.json["refresh_token"], details=unit(OTHER_UNIT))
    assert claims_of(second)[CLAIM + "orgnr_child"] == OTHER_UNIT
    assert CLAIM + "orgnr_child" not in claims_of(client.refresh(first.json["refresh_token"]))


def test_organisation_and_attestation_travel_together_at_login(client: LoginClient):
    """Both structures in the request object are in every token of the login."""
    request = client.request_object(authorization_details=[unit(UNIT), UNNAMED])
    scope = f"openid offline_access {PHR} {ATTESTATION_SCOPE}"
    pushed = client.push([*client.parameters(scope), ("request", request)])
    answer = client.redeem(
        client.came_back(ForeignBrowser().open(client.address(pushed), client.redirect_uri))
    )
    for token in (claims_of(answer), claims_of(client.refresh(answer.json["refresh_token"]))):
        assert token[CLAIM + "orgnr_child"] == UNIT
        assert token["nhn:tillitsrammeverk:parameters"]["patients"]


def test_who_leaves_is_sent_back(client: LoginClient):
    """A login that the person gives up ends at the client, with an error, the state and the issuer."""
    pushed = client.push(client.parameters(SCOPE))
    back = ForeignBrowser(person="").open(client.address(pushed), client.redirect_uri)
    said = parse_qs(urlsplit(back).query)
    assert (said["error"], said["state"]) == (["access_denied"], [client.state])
