"""Key sets and metadata that must not be believed."""

import json

import pytest

from support.stand_in import ISSUER, NOW, World
from tillit.outbound import Response
from tillit.protocol.jose import generate_key, private_jwk


@pytest.mark.parametrize(
    "issuer", [ISSUER + "/", "https://issuer.example:443", "https://other.example", None, [ISSUER]]
)
def test_metadata_of_another_issuer_is_refused(world, issuer):
    """The issuer in the metadata must be the configured one to the letter (RFC 8414 §3.3)."""
    world.issuer.metadata["issuer"] = issuer

    assert world.refusal().status == 503


@pytest.mark.parametrize(
    "uri", ["http://issuer.example/jwks", "file:///etc/passwd", "data:,x", "ftp://x/jwks", 7, ""]
)
def test_k6_a_key_set_at_an_unsafe_address(world, uri):
    """Keys are fetched over https alone."""
    world.issuer.metadata["jwks_uri"] = uri

    assert world.refusal().status == 503
    assert world.issuer.key_fetches == 0


JWK = dict(generate_key("ES256").public.jwk)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":[]}',
        b'{"keys":[],"keys":[]}',
        b"\xef\xbb\xbf{}",
        b'{"keys":[' + b"[" * 200 + b"]" * 200 + b"]}",
        json.dumps({"keys": [JWK, JWK]}).encode(),
        json.dumps({"keys": [{**JWK, "kid": str(number)} for number in range(101)]}).encode(),
        json.dumps({"keys": [{**JWK, "use": "enc"}]}).encode(),
        json.dumps({"keys": [private_jwk(generate_key("ES256"))]}).encode(),
        b'{"keys":[' + b" " * 600_000 + b"]}",
    ],
    ids=(
        "empty",
        "an array",
        "no keys member",
        "keys an object",
        "no keys",
        "keys twice",
        "byte order mark",
        "too deep",
        "one kid twice",
        "too many keys",
        "for encryption only",
        "a private key",
        "too large",
    ),
)
def test_k6_a_key_set_that_is_none(world, document):
    """An empty, ambiguous, huge or leaking key set is no key set; the last good one stays."""
    spoiled = False

    def send(request):
        answer = world.issuer(request)
        return (
            Response(200, answer.headers, document) if spoiled and request.url.endswith("/jwks") else answer
        )

    world.verifier._keys._send = send
    world.verify()
    spoiled = True
    world.now = NOW + 600
    assert world.verify()

    fresh = World(http=send)
    fresh.now = world.now
    assert fresh.refusal().status == 503


def test_a_key_that_is_not_for_us_does_not_spoil_the_set(world):
    """Encryption keys, unknown types and algorithms beside the signing key are passed over (RFC 7517 §5)."""
    good = dict(world.issuer.keys[0].public.jwk)
    strange = [
        {"kty": "new", "kid": "a"},
        {**JWK, "use": "enc", "kid": "b"},
        {**JWK, "alg": "ES999", "kid": "c"},
    ]
    world.issuer.jwks = {"keys": [*strange, good]}

    assert world.verify()
