"""Group D of the threat table, at the API: a proof is for one method, one address, and one minute."""

import pytest

from support.stand_in import NOW, URL, World
from tillit.protocol.dpop import access_token_hash
from tillit.protocol.jose import generate_key, private_jwk, sign
from tillit.verifier import Refused


def is_bad_proof(refused):
    assert dict(refused.headers)["WWW-Authenticate"].startswith("DPoP error=")
    return (refused.status, refused.error) == (401, "invalid_dpop_proof")


ACCEPTED_ADDRESSES = [
    URL,
    URL + "?a=b",
    URL + "#part",
    URL + "?a=b#part",
    "HTTPS://source.example/documents",
    "https://SOURCE.example/documents",
    "https://source.example:443/documents",
    "https://source.example:443/documents?x",
]
REFUSED_ADDRESSES = [
    "https://source.example/documents/",
    "https://source.example/Documents",
    "https://source.example/document%73",
    "https://source.example/%2e/documents",
    "https://source.example/./documents",
    "https://source.example/x/../documents",
    "https://source.example//documents",
    "https://source.example/",
    "https://source.example",
    "https://source.example:8443/documents",
    "https://source.example:80/documents",
    "http://source.example/documents",
    "http://source.example:443/documents",
    "https://user@source.example/documents",
    "https://user:pw@source.example/documents",
    "https://source.example./documents",
    "https://other.example/documents",
    "https://source.example.other.example/documents",
    "//source.example/documents",
    "/documents",
    "source.example/documents",
    "https:///documents",
    "https://source.example/documents ",
    " https://source.example/documents",
    "https://source.example/documents\n",
    "https://source.example\\documents",
    "https://sourc\u0435.example/documents",
]


@pytest.mark.parametrize("htu", ACCEPTED_ADDRESSES)
def test_d3_the_same_address_in_another_spelling(world, htu):
    """Query, fragment, case of scheme and host, and the default port make no difference."""
    token = world.token()

    assert world.verify(token, world.proof(token, htu=htu))


@pytest.mark.parametrize("htu", REFUSED_ADDRESSES)
def test_d3_another_address(world, htu):
    """A proof for another address is refused, however like ours it looks."""
    token = world.token()

    assert is_bad_proof(world.refusal(token, world.proof(token, htu=htu)))


@pytest.mark.parametrize("htu", [7, None, [URL], {"url": URL}, True])
def test_d3_an_address_that_is_no_string(world, htu):
    """The address must be a string."""
    token = world.token()

    assert is_bad_proof(world.refusal(token, world.proof(token, htu=htu)))


def test_d3_forwarded_headers_say_nothing(world):
    """Whatever Host and forwarded headers claim, the address given by the owner counts."""
    token = world.token()
    spoofed = [("Host", "evil.example"), ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "http")]
    spoofed += [("Forwarded", "host=evil.example;proto=http")]
    proof = world.proof(token, htu="http://evil.example/documents")
    with pytest.raises(Refused) as caught:
        world.verifier.verify("GET", URL, [("Authorization", f"DPoP {token}"), ("DPoP", proof), *spoofed])

    assert is_bad_proof(caught.value)


@pytest.mark.parametrize("htm", ["get", "Get", "POST", "GET ", "*", "HEAD"])
def test_d4_another_method(world, htm):
    """Methods are compared with regard to case."""
    token = world.token()

    assert is_bad_proof(world.refusal(token, world.proof(token, htm=htm)))


@pytest.mark.parametrize("offset", [-60, -59, -10, -8, 0, 8, 10])
def test_d4_a_proof_made_within_the_window(world, offset):
    """A proof is good for sixty seconds, and its maker's clock may be ten seconds ahead."""
    token = world.token()

    assert world.verify(token, world.proof(token, iat=NOW + offset))


@pytest.mark.parametrize("offset", [-3600, -61, 11, 61, 3600])
def test_d4_a_proof_made_outside_the_window(world, offset):
    """One second more in either direction is refused."""
    token = world.token()

    assert is_bad_proof(world.refusal(token, world.proof(token, iat=NOW + offset)))


@pytest.mark.parametrize("claims", [{"exp": NOW - 6}, {"nbf": NOW + 11}, {"exp": "soon"}, {"nbf": []}])
def test_d4_a_proof_outside_its_own_times(world, claims):
    """A proof that limits itself is held to it."""
    token = world.token()

    assert is_bad_proof(world.refusal(token, world.proof(token, **claims)))


def test_d5_a_private_key_in_the_header(world):
    """A proof that gives its private key away is refused; whoever reads the header could make more."""
    token = world.token()
    refused = world.refusal(token, world.proof(token, header={"jwk": private_jwk(world.dpop_key)}))

    assert is_bad_proof(refused)
    assert "private" in refused.detail


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "RSA", "n": "AQAB" * 43, "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": "A" * 43},
    ],
)
def test_d5_a_key_that_is_none_or_too_weak(world, jwk):
    """Symmetric, short, malformed and non-signature keys are refused."""
    token = world.token()

    assert is_bad_proof(world.refusal(token, world.proof(token, header={"jwk": jwk})))


def test_d5_a_certificate_beside_the_key(world):
    """Keys come as jwk and in no other way."""
    token = world.token()
    for header in ({"x5c": ["MIIB"]}, {"jku": "https://evil.example"}, {"x5u": "https://evil.example"}):
        assert is_bad_proof(world.refusal(token, world.proof(token, header=header)))


def test_d5_an_algorithm_that_is_not_allowed(world):
    """RS256 proofs are refused unless the owner allows them."""
    key = generate_key("RS256")
    for verifier_world in (world, World(proof_algorithms=("ES256", "RS256"))):
        token = verifier_world.token(cnf={"jkt": key.public.thumbprint})
        proof = verifier_world.proof(token, key=key)
        if verifier_world is world:
            assert is_bad_proof(verifier_world.refusal(token, proof))
        else:
            assert verifier_world.verify(token, proof)


def test_d5_a_signature_by_another_key(world):
    """The key in the header must have made the signature."""
    token = world.token()
    other = generate_key("ES256")
    payload = {"jti": "x", "htm": "GET", "htu": URL, "iat": NOW, "ath": access_token_hash(token)}
    forged = sign({"typ": "dpop+jwt", "jwk": dict(world.dpop_key.public.bare_jwk)}, payload, other)

    assert is_bad_proof(world.refusal(token, forged))


def test_d6_a_stolen_token_with_the_thiefs_key(world):
    """A token presented with another key than the one it is bound to is refused."""
    token = world.token()
    thief = generate_key("ES256")

    assert is_bad_proof(world.refusal(token, world.proof(token, key=thief)))


@pytest.mark.parametrize("proofs", [0, 1])
def test_d6_a_bound_token_as_bearer(world, proofs):
    """A bound token never passes as Bearer, with or without a proof beside it."""
    token = world.token()
    headers = [("Authorization", f"Bearer {token}"), *([("DPoP", world.proof(token))] * proofs)]
    with pytest.raises(Refused) as caught:
        world.verifier.verify("GET", URL, headers)

    assert (caught.value.status, caught.value.error) == (401, "invalid_token")
    assert dict(caught.value.headers)["WWW-Authenticate"].startswith("DPoP ")


def test_d6_a_token_without_proof(world):
    """A bound token without a proof is refused."""
    with pytest.raises(Refused) as caught:
        world.verifier.verify("GET", URL, [("Authorization", f"DPoP {world.token()}")])

    assert is_bad_proof(caught.value)


def test_d6_a_proof_for_another_token(world):
    """A proof holds the hash of its own token."""
    token, other = world.token(), world.token()

    assert is_bad_proof(world.refusal(token, world.proof(other)))


def test_d6_a_token_that_is_bound_to_no_key(world):
    """An unbound token is refused, whatever proof comes with it."""
    token = world.token(cnf=...)
    refused = world.refusal(token, world.proof(token))

    assert (refused.status, refused.error) == (401, "invalid_token")


def test_d9_a_clock_set_back_does_not_revive_a_proof(world):
    """After the clock went on and back, the proof that was used stays used."""
    token = world.token(exp=NOW + 600)
    proof = world.proof(token)
    world.verify(token, proof)
    world.now = NOW + 300
    world.verify()
    world.now = NOW

    assert is_bad_proof(world.refusal(token, proof))
