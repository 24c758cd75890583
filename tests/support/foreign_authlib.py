"""Authlib as a client, with proofs by joserfc: nothing of ours at that end."""

import hashlib
import secrets
import time
from base64 import urlsafe_b64encode
from typing import Any

import jwt
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc import jwk as jose_jwk
from joserfc import jwt as jose_jwt

from support.backstage import Backstage
from support.service import PHR, http_json
from tillit.protocol.jose import load_private_jwk

FORM = "application/x-www-form-urlencoded;charset=UTF-8"


class Independent:
    """An Authlib session for one registered client, and the joserfc key that it signs with."""

    def __init__(
        self, backstage: Backstage, client_id: str, redirect_uri: str | None = None, **members: Any
    ) -> None:
        self.metadata = http_json("GET", backstage.service.issuer + "/.well-known/openid-configuration")[2]
        self.key = jose_jwk.ECKey.generate_key("P-256")
        backstage.register(
            client_id, load_private_jwk(self.key.as_dict(private=True) | {"alg": "ES256"}), **members
        )
        self.session = OAuth2Session(
            client_id,
            self.key,
            token_endpoint_auth_method="private_key_jwt",
            revocation_endpoint_auth_method="private_key_jwt",
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
        )
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
        self.authenticate(audience, **claims)
        headers = {"Content-Type": FORM} | ({} if proof is None else {"DPoP": proof})
        endpoint = self.metadata["token_endpoint"]
        return dict(
            self.session.fetch_token(endpoint, grant_type="client_credentials", scope=scope, headers=headers)
        )

    def authenticate(self, audience: str, **claims: Any) -> None:
        """Have Authlib sign a new assertion for the next request: it keeps the ``jti`` that it makes."""
        claims = {"exp": int(time.time()) + 60, **claims}
        self.session.register_client_auth_method(PrivateKeyJWT(audience, claims=claims, alg="ES256"))

    def proof(
        self, key: jose_jwk.ECKey, method: str = "POST", url: str | None = None, token: str = ""
    ) -> str:
        """A proof, made by joserfc: for the token endpoint, or for ``url`` and an access token."""
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
        claims = {
            "jti": secrets.token_hex(16),
            "htm": method,
            "htu": url or self.metadata["token_endpoint"],
            "iat": int(time.time()),
        }
        if token:
            claims["ath"] = urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).decode().rstrip("=")
        elif self.nonce:
            claims["nonce"] = self.nonce
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
