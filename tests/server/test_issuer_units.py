"""Small promises of the issuer that need no running service."""

from pathlib import Path

import pytest

from tillit.protocol.errors import OAuthError
from tillit_server.issuer.apis import Api, ApiConfigError, ApiRegistry, load_apis
from tillit_server.issuer.claims import AT_WISH
from tillit_server.issuer.clients.client import client_from
from tillit_server.issuer.clients.rules import ClientError
from tillit_server.issuer.grants.basis import Basis
from tillit_server.issuer.request import Request
from tillit_server.issuer.targeting import narrow_scope

LIST, PATIENT, OTHER = "ward/list", "ward/patient", "clinic/list"
APIS = ApiRegistry((Api("ward", (LIST, PATIENT)), Api("clinic", (OTHER,))))


def narrowed(scope, *, granted=(LIST, PATIENT), resources=()):
    form = {} if scope is None else {"scope": scope}
    request = Request("https://as.example/connect/token", form, resources=resources)
    basis = Basis("ehr", frozenset(granted), "legal_entity")
    return narrow_scope(request, basis, APIS, issuer="https://as.example.no")


@pytest.mark.parametrize(
    "scope", ['a"b', "a\\b", "ward/list  ward/patient", " ward/list", "ward/list ", "å", "x" * 5000]
)
def test_a_scope_outside_the_grammar_is_refused(scope):
    """What RFC 6749 3.3 does not allow is ``invalid_scope`` and never an error of ours."""
    with pytest.raises(OAuthError) as caught:
        narrowed(scope)
    assert (caught.value.code, caught.value.status) == ("invalid_scope", 400)


@pytest.mark.parametrize("scope", [OTHER, "openid", "helseid://scopes/identity/pid", "nobody/knows", ""])
def test_a_scope_that_is_not_granted_is_refused(scope):
    """Another client's scope, a user's scope without a user, an unknown one and none at all are refused alike."""
    with pytest.raises(OAuthError) as caught:
        narrowed(scope)
    assert caught.value.code == "invalid_scope"


def test_without_scope_every_api_scope_of_the_client_is_meant():
    """An omitted scope means all of the client's, as long as they belong to one API."""
    assert narrowed(None).scopes == (LIST, PATIENT)
    with pytest.raises(OAuthError) as caught:
        narrowed(None, granted=(LIST, OTHER))
    assert caught.value.code == "invalid_target"


def test_a_resource_chooses_among_several_apis():
    """With ``resource`` the scopes of one API are left; one that no scope belongs to is ``invalid_target``."""
    target = narrowed(f"{LIST} {OTHER}", granted=(LIST, OTHER), resources=("clinic",))
    assert (target.api.audience, target.scopes) == ("clinic", (OTHER,))
    for resources in (("nobody",), ("ward", "clinic")):
        with pytest.raises(OAuthError) as caught:
            narrowed(f"{LIST} {OTHER}", granted=(LIST, OTHER), resources=resources)
        assert caught.value.code == "invalid_target"


@pytest.mark.parametrize("scope", ['a"b', "two words", "", "å"])
def test_a_client_cannot_be_registered_for_what_is_no_scope(scope):
    """A registration with a scope outside the grammar names the member at fault."""
    with pytest.raises(ClientError, match="scopes"):
        client_from(
            {
                "id": "ehr",
                "keys": [KEY],
                "legal_entities": ["310000019"],
                "scopes": [scope],
                "grants": ["client_credentials"],
            }
        )


KEY = {
    "kty": "EC",
    "crv": "P-256",
    "alg": "ES256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}


@pytest.mark.parametrize(
    "claim", ["helseid://claims/identity/pidd", "PID", "", "sub", "nhn:tillitsrammeverk:parameters"]
)
def test_an_api_cannot_ask_for_a_claim_that_nobody_knows(claim: str, tmp_path: Path):
    """A name that would silently give nothing stops the start, and the message says whose it is."""
    (tmp_path / "a.toml").write_text(
        f'[[api]]\naudience = "example:api"\nscopes = ["example:api/read"]\nclaims = ["name", "{claim}"]\n'
    )
    with pytest.raises(ApiConfigError, match=f"example:api: claims: nobody knows {claim}$"):
        load_apis(tmp_path)


def test_an_api_can_ask_for_every_claim_there_is(tmp_path: Path):
    """All names of the list are taken."""
    (tmp_path / "a.toml").write_text(
        f'[[api]]\naudience = "example:api"\nscopes = ["example:api/read"]\nclaims = {sorted(AT_WISH)}\n'
    )
    assert load_apis(tmp_path).by_audience["example:api"].claims == AT_WISH
