"""Logging in at an identity provider that is somebody else's: what it is asked, and what is believed of it."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from support.provider import NAME, callback
from support.relying_party import authorize_url
from support.visitor import Page, Returned, Visitor


def to_standin(house: Any, visitor: Visitor, **fields: Any) -> dict[str, str]:
    """Begin a login at the stand-in, and give what the browser brings there."""
    fields.setdefault("acr_values", f"idp:{NAME}")
    away = visitor.open(authorize_url(house.client, house.client.request_uri(**fields)))
    assert isinstance(away, Returned), away
    assert away.location.startswith(house.standin.issuer + "/authorize?")
    return dict(away.parameters)


def back(house: Any, visitor: Visitor, **parameters: str) -> Page | Returned:
    """Come back from the stand-in with a code."""
    state = house.standin.pushed[-1]["state"]
    return visitor.open(callback(house.service, **{"code": "a-code", "state": state, **parameters}))


def test_the_browser_carries_nothing_but_a_reference(house: Any) -> None:
    """What the browser takes to the provider is our name there and the address of the pushed request."""
    brought = to_standin(house, Visitor(house.service))
    assert set(brought) == {"client_id", "request_uri"}
    assert brought["client_id"] == "tillit-at-standin"


def test_the_pushed_request_is_complete(house: Any) -> None:
    """PKCE S256, state, nonce, the level asked for, the hint, the language, and a proof of who we are."""
    to_standin(
        house,
        Visitor(house.service),
        acr_values=f"idp:{NAME} Level4",
        login_hint="somebody",
        ui_locales="nn en",
        prompt="login",
    )
    pushed = house.standin.pushed[-1]
    assert pushed["response_type"] == "code"
    assert pushed["redirect_uri"] == house.service.issuer + "/connect/login/callback"
    assert pushed["code_challenge_method"] == "S256"
    assert len(pushed["code_challenge"]) == 43
    assert len(pushed["nonce"]) >= 20
    assert len(pushed["state"]) >= 40
    assert pushed["scope"] == "openid profile"
    assert pushed["acr_values"] == "high"
    assert pushed["prompt"] == "login"
    assert pushed["login_hint"] == "somebody"
    assert pushed["ui_locales"] == "nn en"
    key = ECKey.import_key(json.loads((house.service.data / "idps" / f"{NAME}.jwk").read_bytes()))
    assertion = jwt.decode(pushed["client_assertion"], key)
    assert assertion.claims["aud"] == house.standin.issuer
    assert assertion.claims["iss"] == assertion.claims["sub"] == pushed["client_id"] == "tillit-at-standin"
    assert assertion.claims["exp"] - assertion.claims["iat"] <= 60


def test_a_login_at_the_provider_gives_a_code(house: Any) -> None:
    """The code is redeemed with its verifier and a new assertion, and the client gets a code of ours."""
    visitor = Visitor(house.service)
    to_standin(house, visitor)
    returned = back(house, visitor)
    assert isinstance(returned, Returned)
    assert returned.code
    redeemed = house.standin.redeemed[-1]
    assert redeemed["grant_type"] == "authorization_code"
    assert redeemed["code"] == "a-code"
    assert redeemed["redirect_uri"] == house.standin.pushed[-1]["redirect_uri"]
    assert len(redeemed["code_verifier"]) >= 43
    assert redeemed["client_assertion"] != house.standin.pushed[-1]["client_assertion"]
    session = house.backstage.entries("issuer.user.logged_in", idp=NAME)[-1]
    assert session.public["security_level"] == "4"


def test_a_lower_level_is_known_as_such(house: Any) -> None:
    """The provider's own word for a level becomes ours."""
    visitor = Visitor(house.service)
    house.standin.claims["acr"] = "substantial"
    to_standin(house, visitor)
    assert isinstance(back(house, visitor), Returned)
    assert house.backstage.entries("issuer.user.logged_in", idp=NAME)[-1].public["security_level"] == "3"


FAULTS: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://other.example"},
    "another audience": {"aud": "somebody-else"},
    "two audiences": {"aud": ["tillit-at-standin", "somebody-else"]},
    "another nonce": {"nonce": "not-ours"},
    "no nonce": {"nonce": ...},
    "expired": {"exp": 1_000_000_000},
    "no expiry": {"exp": ...},
    "issued in the future": {"iat": 4_000_000_000, "exp": 4_000_000_060},
    "no number": {"pid": ...},
    "a number that is none": {"pid": "14857527038"},
    "a help number": {"pid": "80000000098"},
    "a number that is a number": {"pid": 14857527039},
    "no level": {"acr": ...},
    "a level nobody knows": {"acr": "very-high"},
    "a level that is a list": {"acr": ["high"]},
    "another token's hash": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_id_token_that_is_not_ours_lets_nobody_in(house: Any, fault: str) -> None:
    """The client hears access_denied with its state, nobody is logged in, and the log says why."""
    visitor = Visitor(house.service)
    house.standin.claims.update(FAULTS[fault])
    to_standin(house, visitor, state="my-state")
    refused(house, visitor, back(house, visitor))


def refused(house: Any, visitor: Visitor, returned: Page | Returned) -> None:
    """The client was told, and there is no session."""
    assert isinstance(returned, Returned), returned
    assert returned.location.startswith(house.client.redirect_uri)
    assert returned.error == "access_denied"
    assert returned.parameters["state"] == "my-state"
    assert returned.parameters["iss"] == house.service.issuer
    assert "code" not in returned.parameters
    assert "tillit-session" not in visitor.session.cookies


def test_a_signature_by_another_key(house: Any) -> None:
    """An ID token that the published keys did not sign is not believed."""
    visitor = Visitor(house.service)
    house.standin.signer = ECKey.generate_key("P-256", {"kid": "standin-1"})
    to_standin(house, visitor, state="my-state")
    refused(house, visitor, back(house, visitor))


@pytest.mark.parametrize(
    "token", ["", "x", "eyJhbGciOiJub25lIn0.e30.", None, 7], ids=["empty", "x", "none", "null", "number"]
)
def test_what_is_no_id_token(house: Any, token: Any) -> None:
    """Without a signed token nobody has logged in."""
    visitor = Visitor(house.service)
    house.standin.token_changes["id_token"] = token
    to_standin(house, visitor, state="my-state")
    refused(house, visitor, back(house, visitor))


def test_the_provider_refuses_the_code(house: Any) -> None:
    """An error of the token endpoint ends the login."""
    visitor = Visitor(house.service)
    house.standin.token_changes.update(error="invalid_grant")
    to_standin(house, visitor, state="my-state")
    refused(house, visitor, back(house, visitor))


@pytest.mark.parametrize(
    "error", ["access_denied", "login_required", "server_error", "<script>alert(1)</script>"]
)
def test_the_provider_says_no(house: Any, error: str) -> None:
    """Whatever the provider's error is called, the client hears access_denied, and no text of the provider."""
    visitor = Visitor(house.service)
    to_standin(house, visitor, state="my-state")
    state = house.standin.pushed[-1]["state"]
    returned = visitor.open(callback(house.service, error=error, error_description="canary", state=state))
    refused(house, visitor, returned)
    assert "canary" not in str(returned)


def test_the_answer_of_another_provider(house: Any) -> None:
    """An answer that names another issuer is not believed, whatever it holds (RFC 9207)."""
    visitor = Visitor(house.service)
    to_standin(house, visitor, state="my-state")
    refused(house, visitor, back(house, visitor, iss="https://other.example"))
    assert house.standin.redeemed == []


def test_a_provider_that_promised_its_name_must_give_it(house: Any) -> None:
    """A provider that says it names itself in every answer is held to it; ours does, in development."""
    visitor = Visitor(house.service)
    page = visitor.open(
        authorize_url(house.client, house.client.request_uri(acr_values="idp:test", state="my-state"))
    )
    assert isinstance(page, Page)
    answer = visitor._send(
        "POST",
        f"{house.service.issuer}/test-provider/authorize",
        data={**page.form("other").fields, "number": "14857527039"},
    )
    location = answer.headers["Location"]
    query = dict(parse_qsl(urlsplit(location).query))
    del query["iss"]
    refused(house, visitor, visitor.open(callback(house.service, **query)))


def test_a_new_login_is_asked_for_and_must_be_shown(house: Any) -> None:
    """With prompt=login the provider is told so, and an ID token that does not say when is not believed."""
    visitor = Visitor(house.service)
    to_standin(house, visitor, prompt="login", state="my-state")
    assert house.standin.pushed[-1]["max_age"] == "0"
    assert house.standin.pushed[-1]["prompt"] == "login"
    house.standin.claims["auth_time"] = ...
    refused(house, visitor, back(house, visitor))


def test_without_such_a_wish_the_time_may_be_missing(house: Any) -> None:
    """A provider need not say when the person logged in, unless it was asked."""
    visitor = Visitor(house.service)
    to_standin(house, visitor)
    assert {"max_age", "prompt"}.isdisjoint(house.standin.pushed[-1])
    house.standin.claims["auth_time"] = ...
    returned = back(house, visitor)
    assert isinstance(returned, Returned)
    assert returned.code
