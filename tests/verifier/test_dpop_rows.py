"""Group D of the threat table, at the API: a stolen token is worth nothing without its key, a proof works once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.stand_in import URL
from tillit.protocol.jose import generate_key
from tillit.verifier import Refused


def is_bad_proof(refused):
    assert dict(refused.headers)["WWW-Authenticate"].startswith("DPoP error=")
    return (refused.status, refused.error) == (401, "invalid_dpop_proof")


@pytest.mark.parametrize("name", ["jti", "htm", "htu", "iat", "ath"])
@pytest.mark.parametrize("value", [..., None, 7.5, True, ["x"], {}, ""])
def test_d1_a_claim_missing_or_of_the_wrong_type(world, name, value):
    """Each of the five claims must be there and of its type."""
    token = world.token()

    assert is_bad_proof(world.refusal(token, world.proof(token, **{name: value})))


@pytest.mark.parametrize("typ", [..., "JWT", "DPOP+JWT", "application/dpop+jwt", "at+jwt", 7])
def test_d1_another_type_is_no_proof(world, typ):
    """The type must be dpop+jwt to the letter."""
    token = world.token()

    assert is_bad_proof(world.refusal(token, world.proof(token, header={"typ": typ})))


@pytest.mark.parametrize("jwk", [..., None, "key", [], {"kty": "EC"}])
def test_d1_a_proof_without_its_key(world, jwk):
    """A proof brings its public key."""
    token = world.token()

    assert is_bad_proof(world.refusal(token, world.proof(token, header={"jwk": jwk})))


@pytest.mark.parametrize("proof", ["", "x", "a.b.c", "a.b", "{}", "null"])
def test_d1_something_that_is_no_jwt(world, proof):
    """A DPoP header that is no JWT is refused."""
    assert is_bad_proof(world.refusal(world.token(), proof))


def test_d1_two_dpop_headers(world):
    """Two DPoP headers are refused, also when they are the same, also when a server joined them with a comma."""
    token = world.token()
    proof, other = world.proof(token), world.proof(token)
    for proofs in ([proof, other], [proof, proof], [f"{proof},{other}"], [f"{proof}, {other}"], []):
        headers = [("Authorization", f"DPoP {token}"), *(("DPoP", value) for value in proofs)]
        with pytest.raises(Refused) as caught:
            world.verifier.verify("GET", URL, headers)
        assert is_bad_proof(caught.value)


def test_d1_members_we_do_not_know_are_ignored(world):
    """A proof may say more than it must."""
    token = world.token()

    assert world.verify(token, world.proof(token, extra="x", header={"extra": 1}))


def test_d2_the_same_proof_again(world):
    """A proof works once."""
    token = world.token()
    proof = world.proof(token)
    world.verify(token, proof)
    refused = world.refusal(token, proof)

    assert is_bad_proof(refused)
    assert "already used" in refused.description


def test_d2_the_same_jti_for_another_address(world):
    """An id is spent for every address, not only for the one it was used at."""
    token = world.token()
    world.verify(token, world.proof(token, jti="one"))
    other = world.proof(token, jti="one", htu=URL + "/2")

    assert is_bad_proof(world.refusal(token, other, url=URL + "/2"))


def test_d2_the_same_jti_by_another_key_is_another_proof(world):
    """Ids are per key: one client cannot spend another's."""
    token = world.token()
    world.verify(token, world.proof(token, jti="one"))
    key = generate_key("ES256")
    theirs = world.token(cnf={"jkt": key.public.thumbprint})

    assert world.verify(theirs, world.proof(theirs, jti="one", key=key))


def test_d2_the_twin_of_a_signature_is_the_same_proof(world):
    """J15: the high-s twin of an ECDSA signature verifies too, and fails as a replay, for the id is what counts."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    token = world.token()
    proof = world.proof(token)
    world.verify(token, proof)
    signing_input, _, signature = proof.rpartition(".")
    import base64

    octets = base64.urlsafe_b64decode(signature + "==")
    s = order - int.from_bytes(octets[32:], "big")
    twin = base64.urlsafe_b64encode(octets[:32] + s.to_bytes(32, "big")).rstrip(b"=").decode()
    refused = world.refusal(token, f"{signing_input}.{twin}")

    assert twin != signature
    assert "already used" in refused.description


def test_d2_sixty_four_at_once_exactly_one_wins(world):
    """Sixty-four threads with one proof: exactly one gets access, the others a proper refusal."""
    world.verifier.ping()
    for _ in range(5):
        token = world.token()
        proof = world.proof(token)
        barrier = threading.Barrier(64)

        def ask(token=token, proof=proof, barrier=barrier):
            barrier.wait(30)
            try:
                return world.verify(token, proof).client_id
            except Refused as refused:
                return refused.error

        with ThreadPoolExecutor(64) as pool:
            outcomes = list(pool.map(lambda ask: ask(), [ask] * 64))

        assert outcomes.count("ehr-nordfjell") == 1
        assert outcomes.count("invalid_dpop_proof") == 63
