"""Other people's libraries as witnesses: they make what we accept, and accept what we make."""

import hashlib
import json

import jwt as pyjwt
import pytest
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt

from support.stand_in import AUDIENCE, ISSUER, NOW, URL, claim
from tillit.protocol.access_token import TYP, access_token_claims
from tillit.protocol.dpop import make_proof
from tillit.protocol.jose import base64url, generate_key, private_jwk, sign

# joserfc warns of EdDSA, whose name RFC 9864 splits in two; HelseID's world still says EdDSA.
pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")

CLAIMS = {
    "practitioner_established_by": "login",
    "helseid://claims/identity/pid": "14857527039",
    "helseid://claims/identity/security_level": "4",
    "nhn:tillitsrammeverk:parameters": claim(),
}


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "PS256", "EdDSA"])
def test_a_token_and_a_proof_made_by_joserfc_are_accepted(world, alg):
    """An access token and a DPoP proof made by joserfc alone, with the right claims, give access."""
    issuer_key = joserfc_jwk.import_key(
        {**private_jwk(generate_key(alg)), "kid": "theirs", "alg": alg, "use": "sig"}
    )
    holder_key = joserfc_jwk.ECKey.generate_key("P-256")
    world.issuer.jwks = {"keys": [issuer_key.as_dict(private=False)]}
    payload = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "k3x9q0v7",
        "client_id": "ehr-nordfjell",
        "scope": ["x"],
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 600,
        "jti": "1",
        "cnf": {"jkt": holder_key.thumbprint()},
        **CLAIMS,
    }
    header = {"typ": "at+jwt", "alg": alg, "kid": "theirs"}
    token = joserfc_jwt.encode(header, payload, issuer_key, algorithms=[alg])
    ath = base64url(hashlib.sha256(token.encode()).digest())
    proof = joserfc_jwt.encode(
        {"typ": "dpop+jwt", "alg": "ES256", "jwk": holder_key.as_dict(private=False, use=None)},
        {"jti": "p", "htm": "GET", "htu": URL, "iat": NOW, "ath": ath},
        holder_key,
    )

    assert world.verify(token, proof).person.number == "14857527039"


@pytest.mark.parametrize("alg", ["ES256", "ES384", "PS256", "EdDSA", "RS256"])
def test_pyjwt_and_joserfc_verify_what_we_make(alg):
    """PyJWT and joserfc verify our access tokens and proofs, and read the same claims."""
    key = generate_key(alg)
    public = dict(key.public.jwk)
    payload = access_token_claims(
        issuer=ISSUER,
        subject="k3x9q0v7",
        audience=AUDIENCE,
        client_id="ehr-nordfjell",
        scope=["x"],
        now=NOW,
        lifetime=600,
        jkt=key.public.thumbprint,
        claims=CLAIMS,
    )
    token = sign({"typ": TYP}, payload, key)
    read = pyjwt.decode(
        token,
        pyjwt.PyJWK({**public, "alg": alg}),
        algorithms=[alg],
        audience=AUDIENCE,
        issuer=ISSUER,
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )
    assert read == payload
    assert pyjwt.get_unverified_header(token) == {"typ": "at+jwt", "alg": alg, "kid": key.kid}

    theirs = joserfc_jwt.decode(token, joserfc_jwk.import_key(public), algorithms=[alg])
    assert theirs.claims == payload

    proof = make_proof(key, "GET", URL + "?page=2", now=NOW, access_token=token)
    embedded = pyjwt.get_unverified_header(proof)["jwk"]
    assert joserfc_jwk.import_key(embedded).thumbprint() == key.public.thumbprint
    made = pyjwt.decode(
        proof, pyjwt.PyJWK({**embedded, "alg": alg}), algorithms=[alg], options={"verify_iat": False}
    )
    assert (made["htm"], made["htu"], made["iat"]) == ("GET", URL, NOW)


def test_the_examples_of_rfc_9449_hold():
    """The thumbprint and the token hash of RFC 9449's examples come out as printed there."""
    from tillit.protocol.dpop import access_token_hash
    from tillit.protocol.jose import thumbprint

    jwk = json.loads(
        '{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",'
        '"y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}'
    )
    token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"

    assert thumbprint(jwk) == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    assert access_token_hash(token) == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
