"""Group J of the threat table, at the intake for access tokens."""

import base64
import hashlib
import hmac
import json

import pytest

from support.stand_in import AUDIENCE, ISSUER, NOW, URL
from tillit.protocol.client_assertion import make_assertion
from tillit.protocol.jose import generate_key, sign


def part(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def refused_as_token(world, token):
    refused = world.refusal(token, world.proof(token) if token.isascii() else "x")
    return (refused.status, refused.error) == (401, "invalid_token")


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "", None, 1, ..., "es256"])
@pytest.mark.parametrize("signature", ["empty", "kept"])
def test_j1_no_algorithm(world, alg, signature):
    """A token that asks not to be checked is refused, in every spelling."""
    _, payload, kept = world.token().split(".")
    header = {"typ": "at+jwt", "kid": world.issuer.keys[0].kid, **({} if alg is ... else {"alg": alg})}

    assert refused_as_token(world, f"{part(header)}.{payload}.{kept if signature == 'kept' else ''}")


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("form", ["jwk", "x", "jwks"])
def test_j2_the_public_key_as_a_shared_secret(world, alg, form):
    """A token signed by HMAC with the published key as secret is refused."""
    jwk = dict(world.issuer.keys[0].public.jwk)
    secret = {
        "jwk": json.dumps(jwk).encode(),
        "x": base64.urlsafe_b64decode(jwk["x"] + "="),
        "jwks": json.dumps({"keys": [jwk]}).encode(),
    }[form]
    _, payload, _ = world.token().split(".")
    signing_input = f"{part({'typ': 'at+jwt', 'alg': alg, 'kid': jwk['kid']})}.{payload}"
    mac = hmac.new(secret, signing_input.encode(), getattr(hashlib, f"sha{alg[2:]}")).digest()

    assert refused_as_token(world, f"{signing_input}.{part(mac)}")


def test_j3_an_algorithm_that_is_not_the_keys(world):
    """A key verifies its own algorithm alone: a header with another one is refused."""
    key = generate_key("PS256")
    world.issuer.keys.append(key)
    _, payload, signature = world.token(key=key).split(".")
    for alg in ("PS384", "PS512", "RS256", "ES256"):
        header = {"typ": "at+jwt", "alg": alg, "kid": key.kid}
        assert refused_as_token(world, f"{part(header)}.{payload}.{signature}")


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c"])
def test_j4_a_key_in_the_token(world, member):
    """A token that brings its own key, or says where to fetch it, is refused, and nothing is fetched for it."""
    thief = generate_key("ES256")
    world.verifier.ping()
    asked = len(world.issuer.asked)
    value = {
        "jwk": dict(thief.public.jwk),
        "jku": "https://evil.example/jwks",
        "x5u": "https://evil.example/cert",
        "x5c": ["MIIB"],
    }[member]
    token = world.token(key=thief, header={member: value})

    assert refused_as_token(world, token)
    assert len(world.issuer.asked) == asked


@pytest.mark.parametrize(
    "kid", ["../../dev/null", "' OR 1=1--", "\0", "k" * 10_000, 7, [], {}, "", "unknown", None]
)
def test_j5_a_key_id_that_names_no_key(world, kid):
    """A key id is a name and nothing else: it opens no file, asks no database, and fails when unknown."""
    token = world.token()
    _, payload, signature = token.split(".")
    header = {"typ": "at+jwt", "alg": "ES256", "kid": kid}

    assert refused_as_token(world, f"{part(header)}.{payload}.{signature}")


def test_j5_ten_thousand_unknown_key_ids_cost_one_fetch(world):
    """However many unknown key ids come in a row, the issuer is asked at most once more in five minutes."""
    world.verifier.ping()
    before = world.issuer.key_fetches
    header, payload, signature = world.token().split(".")
    keys = world.verifier._keys
    from tillit.protocol.gate import read_jws

    for number in range(10_000):
        header = part({"typ": "at+jwt", "alg": "ES256", "kid": f"unknown-{number}"})
        keys(read_jws(f"{header}.{payload}.{signature}"))

    assert refused_as_token(world, f"{header}.{payload}.{signature}")
    assert world.issuer.key_fetches == before + 1


def test_j8_two_members_of_one_name(world):
    """A header or payload that says something twice is refused: two readers would read two tokens."""
    header, payload, signature = world.token().split(".")
    claims = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    doubled = part(claims[:-1] + b',"aud":"nhn:phr"}')

    assert refused_as_token(world, f"{header}.{doubled}.{signature}")


def foreign_tokens(world):
    """One token of each other kind, all signed by a key that the issuer publishes."""
    key = world.issuer.keys[0]
    own = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "k3x9q0v7",
        "client_id": "ehr-nordfjell",
        "iat": NOW,
        "exp": NOW + 60,
    }
    bound = {**own, "jti": "1", "scope": [], "cnf": {"jkt": world.dpop_key.public.thumbprint}}
    return {
        "an ID token": sign({"typ": "JWT"}, {**bound, "aud": "ehr-nordfjell"}, key),
        "an ID token for our audience": sign({"typ": "JWT"}, bound, key),
        "a token without type": sign({}, bound, key),
        "a client assertion": make_assertion(key, "ehr-nordfjell", ISSUER, now=NOW),
        "an assertion made to look like ours": sign({"typ": "client-authentication+jwt"}, bound, key),
        "a proof": sign(
            {"typ": "dpop+jwt", "jwk": dict(key.public.bare_jwk)}, {**bound, "htm": "GET", "htu": URL}, key
        ),
        "a proof without its key": sign({"typ": "dpop+jwt"}, bound, key),
        "a request object": sign({"typ": "oauth-authz-req+jwt"}, bound, key),
        "a logout token": sign({"typ": "logout+jwt"}, bound, key),
        "an introspection answer": sign({"typ": "token-introspection+jwt"}, bound, key),
        "a type in capitals": sign({"typ": "AT+JWT"}, bound, key),
    }


def test_j18_another_kind_of_token_is_no_access_token(world):
    """Every other kind of token that the issuer may sign or take is refused as an access token."""
    for kind, token in foreign_tokens(world).items():
        assert refused_as_token(world, token), kind


def test_j18_the_full_media_type_is_an_access_token(world):
    """RFC 9068 §4 allows the type with its prefix."""
    assert world.verify(world.token(header={"typ": "application/at+jwt"}))
