"""Nothing of ours at the other end: Authlib asks for tokens, joserfc makes the proofs, PyJWT and joserfc verify."""

import secrets
import time
from typing import Any

import jwt
import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc import jwk as jose_jwk
from joserfc import jwt as jose_jwt

from support.backstage import SELF_SERVICE, Backstage
from support.ehr import ATTESTATION
from support.service import PHR, http_json
from tillit.protocol.jose import load_private_jwk

FORM = "application/x-www-form-urlencoded;charset=UTF-8"

pytestmark = pytest.mark.xdist_group("journeys")


class Independent:
    """An Authlib session for one registered client, and the joserfc key that it signs with."""

    def __init__(self, backstage: Backstage, client_id: str, **members: Any) -> None:
        self.metadata = http_json("GET", backstage.service.issuer + "/.well-known/openid-configuration")[2]
        self.key = jose_jwk.ECKey.generate_key("P-256")
        backstage.register(
            client_id, load_private_jwk(self.key.as_dict(private=True) | {"alg": "ES256"}), **members
        )
        self.session = OAuth2Session(client_id, self.key, token_endpoint_auth_method="private_key_jwt")
        self.session.trust_env = False
        self.session.register_compliance_hook("access_token_response", self._keep_nonce)
        self.nonce: str | None = None

    def _keep_nonce(self, response: Any) -> Any:
        self.nonce = response.headers.get("DPoP-Nonce")
        return response

    def fetch(
        self, audience: str, *, proof: str | None = None, scope: str = PHR, **claims: Any
    ) -> dict[str, Any]:
        """One token request by Authlib; claims are added to its assertion."""
        # A fresh one for each request: it keeps the jti that it makes.
        claims = {"exp": int(time.time()) + 60, **claims}
        self.session.register_client_auth_method(PrivateKeyJWT(audience, claims=claims, alg="ES256"))
        headers = {"Content-Type": FORM} | ({} if proof is None else {"DPoP": proof})
        endpoint = self.metadata["token_endpoint"]
        return dict(
            self.session.fetch_token(endpoint, grant_type="client_credentials", scope=scope, headers=headers)
        )

    def proof(self, key: jose_jwk.ECKey) -> str:
        """A proof for the token endpoint, made by joserfc."""
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
        claims = {
            "jti": secrets.token_hex(16),
            "htm": "POST",
            "htu": self.metadata["token_endpoint"],
            "iat": int(time.time()),
        }
        claims |= {"nonce": self.nonce} if self.nonce else {}
        return jose_jwt.encode(header, claims, key, algorithms=["ES256"])

    def verified(self, token: str, audience: str) -> dict[str, Any]:
        """The claims of a token, after both libraries have verified it with the published keys."""
        published = http_json("GET", self.metadata["jwks_uri"])[2]
        by_joserfc = jose_jwt.decode(token, jose_jwk.KeySet.import_key_set(published), algorithms=["ES256"])
        assert by_joserfc.header["typ"] == "at+jwt"
        jose_jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": self.metadata["issuer"]},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
        ).validate(by_joserfc.claims)
        key = jwt.PyJWKClient(self.metadata["jwks_uri"]).get_signing_key_from_jwt(token)
        required = ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"]
        by_pyjwt = jwt.decode(
            token,
            key,
            algorithms=["ES256"],
            audience=audience,
            issuer=self.metadata["issuer"],
            options={"require": required},
        )
        assert by_pyjwt == by_joserfc.claims
        return by_pyjwt


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
