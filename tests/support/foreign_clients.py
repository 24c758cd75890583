"""Machine clients shaped like those in the field, octet for octet on the wire; signed by PyJWT, not by us.

What each sends is described in chapter 11 of the national service's profile: how long its assertions live, what
it repeats, what it leaves out, and what it demands of an answer.
"""

import hashlib
import json
import secrets
import time
from base64 import urlsafe_b64encode
from typing import Any, TypeVar
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from support.backstage import Backstage
from support.ehr import ASSERTION_TYPE, Answer
from support.service import Service, http
from tillit.protocol.jose import SigningKey, load_private_jwk

CHALLENGE = "use_dpop_nonce"

Shape = TypeVar("Shape", bound="ForeignClient")


class ForeignKey:
    """A key as these clients keep it: one JWK for authentication and proofs alike."""

    def __init__(self, alg: str, *, kid: str | None = None) -> None:
        self.alg = alg
        self.kid = kid
        if alg.startswith("ES"):
            self.private: Any = ec.generate_private_key({"ES256": ec.SECP256R1, "ES384": ec.SECP384R1}[alg]())
            self.algorithm: Any = ECAlgorithm
            self.bare = ("crv", "kty", "x", "y")
        else:
            self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            self.algorithm = RSAAlgorithm
            self.bare = ("e", "kty", "n")
        public = self.algorithm.to_jwk(self.private.public_key(), as_dict=True)
        self.public = {name: public[name] for name in self.bare}

    @property
    def registered(self) -> SigningKey:
        """The same key in the form in which our tests register it."""
        private = {**self.algorithm.to_jwk(self.private, as_dict=True), "alg": self.alg}
        private = {name: value for name, value in private.items() if name not in {"key_ops", "use"}}
        return load_private_jwk(private | ({"kid": self.kid} if self.kid else {}))

    @property
    def thumbprint(self) -> str:
        """RFC 7638."""
        text = json.dumps(self.public, sort_keys=True, separators=(",", ":"))
        return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")

    def sign(self, claims: dict[str, Any], header: dict[str, Any]) -> str:
        """A compact JWS."""
        header = header | ({"kid": self.kid} if self.kid and "jwk" not in header else {})
        return jwt.encode(claims, self.private, algorithm=self.alg, headers=header)


class ForeignClient:
    """What all of them have in common; ``authority`` is what its owner typed into its settings."""

    typ: str | None = "client-authentication+jwt"
    lifetime = 60
    kid: str | None = "client-key"
    alg = "PS256"
    content_type = "application/x-www-form-urlencoded"
    headers: dict[str, str] = {}

    def __init__(self, service: Service, client_id: str, *, authority: str | None = None) -> None:
        self.authority = authority or service.issuer
        self.client_id = client_id
        self.key = ForeignKey(self.alg, kid=self.kid)
        _, _, body = http("GET", self.authority.rstrip("/") + "/.well-known/openid-configuration")
        self.metadata = json.loads(body)
        self.requests = 0

    def audience(self) -> Any:
        """The ``aud`` of its assertions."""
        return self.metadata["issuer"]

    def assertion(self, **claims: Any) -> str:
        """A client assertion."""
        now = int(time.time())
        payload = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.audience(),
            "jti": secrets.token_hex(16),
        }
        payload |= {"iat": now, "nbf": now, "exp": now + self.lifetime, **claims}
        # PyJWT writes "typ": "JWT" unless it is told otherwise.
        return self.key.sign(payload, {"typ": self.typ})

    def proof(self, nonce: str | None = None) -> str:
        """A DPoP proof for the token endpoint."""
        claims = {
            "jti": secrets.token_hex(16),
            "htm": "POST",
            "htu": self.metadata["token_endpoint"],
            "iat": int(time.time()),
        }
        jwk = self.key.public | ({"alg": self.alg} if "n" in self.key.public else {})
        return self.key.sign(claims | ({"nonce": nonce} if nonce else {}), {"typ": "dpop+jwt", "jwk": jwk})

    def form(self, assertion: str, scope: str) -> dict[str, str]:
        """The fields of a token request."""
        return {
            "client_assertion": assertion,
            "client_assertion_type": ASSERTION_TYPE,
            "grant_type": "client_credentials",
            "scope": scope,
        }

    def post(self, form: dict[str, str], proof: str | None, **headers: str) -> Answer:
        """Send a token request."""
        self.requests += 1
        sent = {"Content-Type": self.content_type, "Accept": "application/json", **self.headers, **headers}
        sent |= {"DPoP": proof} if proof else {}
        return Answer(
            *http("POST", self.metadata["token_endpoint"], headers=sent, body=urlencode(form).encode())
        )


class CSharpShaped(ForeignClient):
    """Reads two members of the metadata, ``aud`` as configured, ten seconds, a new assertion for the second try."""

    lifetime = 10

    def audience(self) -> Any:
        """Verbatim what was typed, so with the slash if there was one."""
        return self.authority

    def token(self, scope: str, **claims: Any) -> Answer:
        """The whole dance; what it reads of a good answer must have the types that it expects."""
        form = {"client_id": self.client_id, **self.form(self.assertion(**claims), scope)}
        answer = self.post(form, self.proof())
        nonce = answer.headers["DPoP-Nonce"]
        if not 200 <= answer.status < 300 and nonce:
            form["client_assertion"] = self.assertion(**claims)
            answer = self.post(form, self.proof(nonce))
        body = answer.json
        if answer.status == 200:
            assert type(body["access_token"]) is str
            assert type(body["expires_in"]) is int
            assert type(body["scope"]) is str
            assert None not in body.values()
        else:
            assert type(body["error"]) is str
        return answer


class JavaShaped(ForeignClient):
    """No ``client_id`` field, an assertion of five seconds that it sends twice, and an offer of HTTP/2."""

    lifetime = 5
    alg = "ES384"
    kid = None
    content_type = "application/x-www-form-urlencoded; charset=UTF-8"
    headers = {
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": "h2c",
        "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABk",
    }

    def __init__(self, service: Service, client_id: str, *, authority: str | None = None) -> None:
        super().__init__(service, client_id, authority=authority)
        assert self.metadata["issuer"] == self.authority
        # Its OpenID Connect library cannot read a document without these.
        assert {"issuer", "jwks_uri", "subject_types_supported"} <= set(self.metadata)

    def token(self, scope: str, **claims: Any) -> tuple[Answer, str]:
        """The whole dance with one assertion, which is given too."""
        assertion = self.assertion(**claims)
        answer = self.post(self.form(assertion, scope), self.proof())
        assert answer.status == 400
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.error == CHALLENGE
        answer = self.post(self.form(assertion, scope), self.proof(answer.headers["DPoP-Nonce"]))
        if answer.status == 200:
            assert answer.json["token_type"] == "DPoP"
            assert answer.json["expires_in"] > 0
            claimed = jwt.decode(answer.json["access_token"], options={"verify_signature": False})
            assert claimed["cnf"]["jkt"] == self.key.thumbprint
        return answer, assertion


class PythonShaped(ForeignClient):
    """Of 2021: the token endpoint as audience, ``typ`` JWT, a charset, Bearer tokens."""

    typ = "JWT"
    content_type = "application/x-www-form-urlencoded;charset=UTF-8"

    def audience(self) -> Any:
        """The token endpoint."""
        return self.metadata["token_endpoint"]

    def token(self, scope: str) -> Answer:
        """One request, no proof."""
        return self.post({"client_id": self.client_id, **self.form(self.assertion(), scope)}, None)


class GoShaped(PythonShaped):
    """Of 2021: no ``typ``, an array as audience, and a first try with a Basic header and no ``client_id``."""

    typ = None
    content_type = "application/x-www-form-urlencoded"

    def audience(self) -> Any:
        """The token endpoint in an array."""
        return [self.metadata["token_endpoint"]]

    def tries(self, scope: str) -> tuple[Answer, Answer]:
        """The first try and the second, with the same assertion."""
        form = self.form(self.assertion(), scope)
        first = self.post(
            form, None, Authorization="Basic " + urlsafe_b64encode(f"{self.client_id}:".encode()).decode()
        )
        return first, self.post({"client_id": self.client_id, **form}, None)


def registered(
    shape: type[Shape], backstage: Backstage, *, authority: str | None = None, **members: Any
) -> Shape:
    """A client of a shape, registered with a profile and members as given."""
    client = shape(backstage.service, f"{shape.__name__}-{secrets.token_hex(4)}", authority=authority)
    backstage.register(client.client_id, client.key.registered, **members)
    return client


def claims_of(answer: Answer) -> dict[str, Any]:
    """What the token of a good answer says."""
    assert answer.status == 200, answer.body
    return dict(jwt.decode(answer.json["access_token"], options={"verify_signature": False}))
