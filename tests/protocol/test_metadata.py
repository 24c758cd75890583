"""Metadata: what we publish, and what a client or source accepts as ours."""

import pytest

from tillit.protocol.errors import Rejected
from tillit.protocol.jose import ALGORITHMS
from tillit.protocol.metadata import (
    DOCUMENTS,
    ENDPOINTS,
    OAUTH_PATH,
    OPENID_PATH,
    check_metadata,
    location,
    make_metadata,
)

ISSUER = "https://as.example.no/tenant"


def test_what_we_publish_is_what_we_accept():
    """Both ends agree, for an issuer with a path too."""
    document = make_metadata(
        ISSUER, endpoints=tuple(ENDPOINTS), scopes=("a",), authorization_details_types=("t",)
    )
    assert check_metadata(document, ISSUER) == document
    assert document["token_endpoint"] == f"{ISSUER}/connect/token"
    assert document["jwks_uri"] == f"{ISSUER}/.well-known/openid-configuration/jwks"
    assert document["authorization_details_types_supported"] == ["t"]


def test_only_what_works_is_advertised():
    """An endpoint, a type list or an algorithm that is not there is not promised."""
    document = make_metadata(ISSUER)
    assert [name for name in document if name.endswith("_endpoint")] == ["token_endpoint"]
    assert "authorization_details_types_supported" not in document
    assert document["dpop_signing_alg_values_supported"] == list(ALGORITHMS)
    assert document["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert "none" not in str(document)


def test_login_is_advertised_where_it_works():
    """With the endpoints of login come the members that clients read before they begin one."""
    document = make_metadata(
        ISSUER,
        endpoints=(*ENDPOINTS, *DOCUMENTS),
        signing_algorithms=("ES256",),
        id_token_algorithms=("ES256", "RS256"),
        acr_values=("Level3", "Level4"),
        subject_types=("pairwise",),
        ui_locales=("nb", "en"),
    )
    assert check_metadata(document, ISSUER) == document
    assert {
        "require_pushed_authorization_requests": True,
        "response_modes_supported": ["query", "form_post"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "acr_values_supported": ["Level3", "Level4"],
        "subject_types_supported": ["pairwise"],
        "ui_locales_supported": ["nb", "en"],
        "claims_parameter_supported": False,
        "authorization_response_iss_parameter_supported": True,
        "request_parameter_supported": True,
        "request_uri_parameter_supported": False,
        "request_object_signing_alg_values_supported": list(ALGORITHMS),
        "id_token_signing_alg_values_supported": ["ES256", "RS256"],
        "introspection_endpoint_auth_methods_supported": ["private_key_jwt"],
        "introspection_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "introspection_signing_alg_values_supported": ["ES256"],
        "revocation_endpoint_auth_methods_supported": ["private_key_jwt"],
        "revocation_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "expired_jwks_uri": f"{ISSUER}/connect/expiredjwks",
        "available_idps": f"{ISSUER}/connect/availableidps",
        "authorization_details_types_metadata_endpoint": f"{ISSUER}/connect/authorizationdetails",
    }.items() <= document.items()


@pytest.mark.parametrize("name", [*ENDPOINTS, *DOCUMENTS])
def test_an_endpoint_alone_brings_its_own_members_alone(name):
    """Members about an endpoint that is not there are not promised."""
    alone = make_metadata(ISSUER, endpoints=("token_endpoint", name), acr_values=("Level4",))
    about = {
        "authorization_endpoint": {"acr_values_supported", "response_modes_supported"},
        "pushed_authorization_request_endpoint": {"require_pushed_authorization_requests"},
        "introspection_endpoint": {"introspection_signing_alg_values_supported"},
        "revocation_endpoint": {"revocation_endpoint_auth_methods_supported"},
    }
    for endpoint, members in about.items():
        assert (members <= alone.keys()) == (endpoint == name)
    assert {other for other in (*ENDPOINTS, *DOCUMENTS) if other in alone} == {"token_endpoint", name}


def test_pushing_may_be_optional():
    """An issuer with clients that cannot push says so."""
    endpoints = ("token_endpoint", "pushed_authorization_request_endpoint")
    document = make_metadata(
        ISSUER, endpoints=endpoints, require_pushed_requests=False, request_object_algorithms=("RS256",)
    )
    assert document["require_pushed_authorization_requests"] is False
    assert document["request_object_signing_alg_values_supported"] == ["RS256"]


def test_extra_members():
    """A caller adds or replaces members, but none that published clients copy into their requests."""
    assert make_metadata(ISSUER, extra={"request_parameter_supported": True})["request_parameter_supported"]
    for name in ("response_mode", "nonce", "prompt", "login_hint", "scope", "code_challenge_method"):
        with pytest.raises(ValueError, match=name):
            make_metadata(ISSUER, extra={name: "x"})


@pytest.mark.parametrize(
    "issuer",
    [
        "https://as.example.no/",
        "as.example.no",
        "ftp://as.example.no",
        "https://as.example.no?x",
        "https://a@b.no",
        "https://as.example.no#",
        "https://",
        "",
        "https://as.example.no?",
    ],
)
def test_what_is_no_issuer(issuer):
    """An issuer has no query, fragment, user information or slash at the end."""
    with pytest.raises(ValueError, match="not an issuer"):
        make_metadata(issuer)


def test_both_well_known_places():
    """RFC 8414 puts its suffix before the issuer's path, OpenID Connect after it."""
    assert (
        location(ISSUER, OAUTH_PATH) == "https://as.example.no/.well-known/oauth-authorization-server/tenant"
    )
    assert location(ISSUER, OPENID_PATH) == f"{ISSUER}/.well-known/openid-configuration"
    assert (
        location("http://127.0.0.1:8080", OAUTH_PATH)
        == "http://127.0.0.1:8080/.well-known/oauth-authorization-server"
    )


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"issuer": "https://other.example"}, "issuer"),
        ({"issuer": f"{ISSUER}/"}, "issuer"),
        ({"issuer": None}, "issuer"),
        ({"token_endpoint": "http://as.example.no/token"}, "token_endpoint"),
        ({"token_endpoint": "//as.example.no/token"}, "token_endpoint"),
        ({"token_endpoint": 7}, "token_endpoint"),
        ({"jwks_uri": "file:///etc/passwd"}, "jwks_uri"),
        ({"jwks_uri": "https://[::1/x"}, "jwks_uri"),
        ({"userinfo_endpoint": "javascript:x"}, "userinfo_endpoint"),
        ({"expired_jwks_uri": "http://as.example.no/x"}, "expired_jwks_uri"),
        ({"prompt_values_supported": "login"}, "prompt_values_supported"),
        (
            {"request_object_signing_alg_values_supported": ["none"]},
            "request_object_signing_alg_values_supported",
        ),
        ({"grant_types_supported": "client_credentials"}, "grant_types_supported"),
        ({"scopes_supported": [1]}, "scopes_supported"),
        (
            {"id_token_signing_alg_values_supported": ["ES256", "None"]},
            "id_token_signing_alg_values_supported",
        ),
    ],
)
def test_documents_that_are_refused(changes, pointer):
    """Another issuer, an address that is not https, a list that is none, unsigned tokens."""
    with pytest.raises(Rejected) as refusal:
        check_metadata(make_metadata(ISSUER) | changes, ISSUER)
    assert refusal.value.pointer == pointer


@pytest.mark.parametrize("name", ["token_endpoint", "jwks_uri"])
def test_what_must_be_there(name):
    """A document without token endpoint or keys is of no use."""
    document = {key: value for key, value in make_metadata(ISSUER).items() if key != name}
    with pytest.raises(Rejected, match="missing"):
        check_metadata(document, ISSUER)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:9"])
def test_plain_http_on_loopback(host):
    """Development on loopback needs no https."""
    issuer = f"http://{host}"
    assert check_metadata(make_metadata(issuer), issuer)
