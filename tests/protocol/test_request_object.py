"""Request objects: RFC 9101 with the rules of FAPI 2.0 Message Signing, tolerances by name."""

from typing import Any

import pytest

from support.tokens import CLIENT, ISSUER, NOW, compact, key_for, request_claims
from tillit.protocol.authorization_request import read_authorization_request
from tillit.protocol.errors import OAuthError
from tillit.protocol.request_object import RequestProfile, check_request_object, make_request_object

KEY = key_for()
ALL_TOLERANCES = RequestProfile(
    general_typ=True,
    assertion_typ=True,
    missing_client_id=True,
    missing_nbf=True,
    string_iat=True,
    trailing_slash_audience=True,
)
PARAMETERS = {"response_type": "code", "scope": "openid", "redirect_uri": "https://c.example/cb"}


def check(token: str, **more: Any) -> Any:
    given: dict[str, Any] = {"keys": [KEY.public], "client_id": CLIENT, "issuer": ISSUER, "now": NOW}
    return check_request_object(token, **(given | more))


def by_hand(header: dict[str, Any] | None = None, key: Any = KEY, **changes: Any) -> str:
    head = {"typ": "oauth-authz-req+jwt", "alg": key.alg, "kid": KEY.kid} | (header or {})
    return compact({n: v for n, v in head.items() if v is not ...}, request_claims(**changes), key)


def refusal(token: str, **more: Any) -> OAuthError:
    with pytest.raises(OAuthError) as caught:
        check(token, **more)
    assert (caught.value.code, caught.value.status) == ("invalid_request_object", 400)
    return caught.value


def test_an_object_we_make_is_one_we_take():
    """Both ends agree; parameters come back without the envelope."""
    taken = check(make_request_object(KEY, CLIENT, ISSUER, PARAMETERS, now=NOW, jti="one"))
    assert taken.parameters == PARAMETERS | {"client_id": CLIENT}
    assert (taken.client_id, taken.jti, taken.iat) == (CLIENT, "one", NOW)
    assert (taken.expires_at, taken.key, taken.tolerances_used) == (NOW + 65, KEY.public, ())


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"iss": "other"}, "payload.iss"),
        ({"iss": ...}, "payload.iss"),
        ({"client_id": "other"}, "payload.client_id"),
        ({"client_id": ...}, "payload.client_id"),
        ({"client_id": None}, "payload.client_id"),
        ({"aud": "https://other.example"}, "payload.aud"),
        ({"aud": f"{ISSUER}/"}, "payload.aud"),
        ({"aud": ["https://other.example"]}, "payload.aud"),
        ({"aud": ...}, "payload.aud"),
        ({"exp": ...}, "payload.exp"),
        ({"exp": NOW - 6, "nbf": NOW - 60}, "payload.exp"),
        ({"exp": NOW + 3601}, "payload.exp"),
        ({"nbf": ...}, "payload.nbf"),
        ({"nbf": NOW + 11}, "payload.nbf"),
        ({"nbf": NOW - 3601, "exp": NOW + 1}, "payload.nbf"),
        ({"iat": NOW + 11}, "payload.iat"),
        ({"iat": str(NOW)}, "payload.iat"),
        ({"request": "x"}, "payload.request"),
        ({"request_uri": "urn:x"}, "payload.request_uri"),
        ({"jti": ""}, "payload.jti"),
        ({"jti": "j" * 129}, "payload.jti"),
    ],
)
def test_objects_that_are_refused(changes, pointer):
    """Each claim that is wrong is refused as invalid_request_object, and named."""
    assert refusal(by_hand(**changes)).pointer == pointer


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": [ISSUER]},
        {"aud": [ISSUER, "https://other.example"]},
        {"exp": NOW + 3600},
        {"nbf": NOW - 3600, "exp": NOW},
        {"nbf": NOW + 10},
        {"exp": NOW - 5, "nbf": NOW - 60},
        {"iat": ...},
        {"jti": ...},
        {"sub": CLIENT},
    ],
)
def test_objects_that_are_accepted(changes):
    """An audience that contains the issuer and the boundaries of an hour are accepted."""
    assert check(by_hand(**changes)).client_id == CLIENT


@pytest.mark.parametrize(
    "typ", ["oauth-authz-req+jwt", "OAuth-Authz-Req+JWT", "application/oauth-authz-req+jwt", ...]
)
def test_types_that_are_accepted(typ):
    """The type is optional and compared without regard to case."""
    assert check(by_hand({"typ": typ}))


@pytest.mark.parametrize("typ", ["JWT", "client-authentication+jwt", "at+jwt", "dpop+jwt", "", None, 7])
def test_types_that_are_refused(typ):
    """Tokens of other kinds are refused; the general type and an assertion's only without their tolerance."""
    assert refusal(by_hand({"typ": typ})).pointer == "header.typ"
    if typ in {"JWT", "client-authentication+jwt"}:
        assert check(by_hand({"typ": typ}), profile=ALL_TOLERANCES)
    else:
        assert refusal(by_hand({"typ": typ}), profile=ALL_TOLERANCES).pointer == "header.typ"


def test_tolerances():
    """Old clients leave out client_id and nbf and write iat as a string; all of it by name."""
    old = by_hand({"typ": "JWT"}, client_id=..., nbf=..., iat=str(NOW), aud=f"{ISSUER}/")
    taken = check(old, profile=ALL_TOLERANCES)
    assert (taken.client_id, taken.iat) == (CLIENT, NOW)
    assert sorted(taken.tolerances_used) == [
        "general_typ",
        "missing_client_id",
        "missing_nbf",
        "string_iat",
        "trailing_slash_audience",
    ]
    typ = check(by_hand({"typ": "client-authentication+jwt"}), profile=ALL_TOLERANCES).tolerances_used
    assert typ == ("assertion_typ",)
    assert check(by_hand(), profile=ALL_TOLERANCES).tolerances_used == ()
    assert "client_id" not in taken.parameters
    assert refusal(by_hand(client_id="other"), profile=ALL_TOLERANCES).pointer == "payload.client_id"
    long = by_hand(nbf=..., iat=..., exp=NOW + 3601)
    assert refusal(long, profile=ALL_TOLERANCES).pointer == "payload.exp"
    assert refusal(by_hand(nbf=..., iat=NOW - 3601), profile=ALL_TOLERANCES).pointer == "payload.nbf"


@pytest.mark.parametrize(
    ("header", "changes"),
    [
        ({"typ": ...}, {"iat": ..., "exp": NOW + 300}),
        ({"typ": "oAuTH-AuthZ-rEQ+Jwt"}, {"exp": NOW + 300}),
        ({}, {"aud": [ISSUER, "https://other1.example", "invalid"]}),
        ({}, {"nbf": NOW + 8}),
    ],
)
def test_certification_objects_that_succeed(header, changes):
    """The two clients of a certification run, several audiences, and nbf 8 seconds ahead."""
    assert check(by_hand(header, **changes)).client_id == CLIENT


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": ...},
        {"nbf": ...},
        {"exp": NOW - 3600, "nbf": NOW - 3660},
        {"aud": "https://other.example"},
        {"exp": NOW + 4200},
        {"nbf": NOW - 4200, "exp": NOW - 600},
        {"nbf": NOW - 4200, "exp": NOW + 60},
        {"request_uri": "urn:ietf:params:oauth:request_uri:x"},
    ],
)
def test_certification_objects_that_fail(changes):
    """What the certification modules send is refused under the one code they accept."""
    assert refusal(by_hand(**changes)).code == "invalid_request_object"


@pytest.mark.parametrize("resource", ["nhn:phr", ["nhn:phr", "nhn:kj"]])
def test_an_object_read_as_a_request(resource):
    """The claims of an object are an authorization request, resources as a string or an array."""
    claims = {
        "redirect_uri": "https://c.example/cb",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
        "max_age": 60,
        "resource": resource,
    }
    read = read_authorization_request(check(by_hand(**claims)).parameters)
    assert read.resources == ((resource,) if isinstance(resource, str) else tuple(resource))
    assert (read.client_id, read.max_age) == (CLIENT, 60)
    with pytest.raises(OAuthError, match="invalid_request: PKCE"):
        read_authorization_request(check(by_hand(**claims | {"code_challenge": ...})).parameters)


def test_signature_and_form():
    """Another client's key, RS256 by default, no signature and no token are refused."""
    for token in (
        by_hand(key=key_for("ES256", 1)),
        by_hand(key=key_for("RS256")),
        by_hand().rpartition(".")[0] + ".AAAA",
        by_hand().rpartition(".")[0] + ".",
        "x",
        "",
    ):
        assert refusal(token).code == "invalid_request_object"


def test_a_request_object_says_from_when_it_is_good():
    """The instant is that of nbf, else of iat: what it carries is not younger."""
    assert check(by_hand(nbf=NOW - 60, iat=...)).not_before == NOW - 60
    assert check(by_hand(nbf=..., iat=NOW - 30), profile=ALL_TOLERANCES).not_before == NOW - 30
