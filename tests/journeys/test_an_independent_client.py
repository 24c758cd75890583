"""Nothing of ours at the other end: Authlib asks for tokens, joserfc makes the proofs, PyJWT and joserfc verify."""

import time

import pytest
from authlib.integrations.base_client import OAuthError
from joserfc import jwk as jose_jwk

from support.backstage import SELF_SERVICE, Backstage
from support.ehr import ATTESTATION
from support.foreign_authlib import Independent
from support.service import PHR

pytestmark = pytest.mark.xdist_group("journeys")


def test_authlib_fetches_an_attested_and_bound_token(backstage: Backstage):
    """Authlib with private_key_jwt and a proof made by hand gets what our own client gets, after one challenge."""
    client = Independent(backstage, "independent")
    issuer, key = client.metadata["issuer"], jose_jwk.ECKey.generate_key("P-256")
    with client.session, pytest.raises(OAuthError) as caught:
        client.fetch(issuer, proof=client.proof(key), assertion_details=ATTESTATION)
    assert caught.value.error == "use_dpop_nonce"
    with client.session:
        token = client.fetch(issuer, proof=client.proof(key), assertion_details=[ATTESTATION])
    assert (token["token_type"], token["expires_in"], token["scope"]) == ("DPoP", 600, PHR)
    claims = client.verified(token["access_token"], "nhn:phr")
    assert claims["cnf"] == {"jkt": key.thumbprint()}
    assert (
        claims["nhn:tillitsrammeverk:parameters"]["practitioner"]["identifier"]["name"] == "KLAR SKOGSTJERNE"
    )


def test_authlib_as_it_comes_is_a_legacy_client(backstage: Backstage):
    """With nothing added to Authlib but the sixty seconds, a legacy client gets a Bearer token for any API's checks."""
    client = Independent(backstage, "independent-legacy", profile="legacy")
    with client.session:
        token = client.fetch(client.metadata["token_endpoint"], scope=SELF_SERVICE)
    assert (token["token_type"], token["scope"]) == ("Bearer", SELF_SERVICE)
    assert "cnf" not in client.verified(token["access_token"], "nhn:selvbetjening")
    used = backstage.awaited("issuer.tolerance.used", client_id="independent-legacy")
    assert [entry.public["tolerances"] for entry in used] == [["token_endpoint_audience", "bearer_token"]]


def test_authlib_as_it_comes_is_no_strict_client(backstage: Backstage):
    """In the strict profile the audience is the issuer, and a lifetime of an hour is refused in every profile."""
    strict = Independent(backstage, "independent-strict")
    legacy = Independent(backstage, "independent-long", profile="legacy")
    with strict.session, pytest.raises(OAuthError, match="invalid_client"):
        strict.fetch(strict.metadata["token_endpoint"], scope=SELF_SERVICE)
    with legacy.session, pytest.raises(OAuthError, match="invalid_client"):
        legacy.fetch(legacy.metadata["token_endpoint"], scope=SELF_SERVICE, exp=int(time.time()) + 3600)
